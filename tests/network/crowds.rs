//! Many at once: no address is given twice.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use ch04_network::New;
use dockster_tests::Failed;

use crate::hosts::{Dockster, Netns, PART, Part, ask, ip, links};

pub const PARTS: &[Part] = &[
    ("two_hundred_at_once_have_their_own_addresses", two_hundred_at_once),
    ("sixty_coming_and_going", sixty_coming_and_going),
    ("many_networks_at_once_do_not_overlap", many_networks_at_once),
];

/// What is no test by itself.
pub const PLAYED: &[Part] = &[("ten_of_two_hundred", ten_of_two_hundred)];

/// Where those of another process find what they share.
const DIR: &str = "DOCKSTER_TEST_NETWORKS";
/// Which of the processes it is.
const WHICH: &str = "DOCKSTER_TEST_WHICH";

/// Twenty processes with ten threads each, on one host.
fn two_hundred_at_once() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    // A namespace that nobody is in takes its links along: so all stay until all are there.
    let mut others = Vec::new();
    for which in 0..20 {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(PART, "ten_of_two_hundred").env(DIR, &dockster.site.dir);
        command.env(WHICH, which.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        others.push(command.spawn()?);
    }
    for other in &mut others {
        let mut said = String::new();
        let output = other.stdout.take().ok_or("a pipe")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut said)?;
        assert_eq!(said, "attached\n");
    }
    let leases = dockster.leases("bridge")?;
    assert_eq!(leases.len(), 200);
    let given: BTreeSet<_> = leases.iter().flat_map(|lease| &lease.addresses).collect();
    assert_eq!(given.len(), 200, "an address was given twice: {given:?}");
    // Each has its port on the bridge, and nothing else is there.
    let ports = ip("link show master dockster0")?;
    assert_eq!(ports.as_array().map(Vec::len), Some(200));
    assert_eq!(links()?.len(), 201);
    for mut other in others {
        drop(other.stdin.take());
        assert!(other.wait()?.success());
    }
    dockster.lock()?.sweep(|_| false)?;
    assert_eq!(links()?, [""; 0]);
    Ok(())
}

fn ten_of_two_hundred() -> Result<(), Failed> {
    let (dir, which) = (std::env::var_os(DIR).ok_or("no place")?, std::env::var(WHICH)?);
    let (dir, prefix) = (std::path::PathBuf::from(dir), "dockster".to_owned());
    let common = dir.with_file_name("common");
    let site = ch04_network::Site { dir, prefix, common };
    // One namespace for all ten: many at once take the kernel long to clear away.
    let netns = Netns::new()?;
    std::thread::scope(|scope| {
        let attach = |number| {
            let name = format!("c{which}-{number}");
            Ok(site.lock()?.attach(netns.0.as_fd(), &[ask(&name, "bridge")])?)
        };
        let threads: Vec<_> = (0..10).map(|number| scope.spawn(move || attach(number))).collect();
        let attached = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        attached.collect::<Result<Vec<_>, Failed>>()
    })?;
    println!("attached");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// The address of one who is gone goes to the next, and never to two.
fn sixty_coming_and_going() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let threads: Vec<_> = (0..6)
        .map(|which| {
            let site = dockster.site.clone();
            std::thread::spawn(move || -> Result<(), Failed> {
                for number in 0..10 {
                    let (name, netns) = (format!("c{which}-{number}"), Netns::new()?);
                    let leases = site.lock()?.attach(netns.0.as_fd(), &[ask(&name, "bridge")])?;
                    let networks = site.lock()?;
                    let all = networks.leases(networks.find("bridge")?)?;
                    let same = all.iter().filter(|one| one.addresses == leases[0].addresses);
                    assert_eq!(same.count(), 1, "{all:?}");
                    drop(networks);
                    site.lock()?.detach(&name)?;
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("it does not panic")?;
    }
    assert_eq!(links()?, [""; 0]);
    assert_eq!(dockster.leases("bridge")?, []);
    Ok(())
}

/// All of docker's default ranges are had once, and then there is none.
fn many_networks_at_once() -> Result<(), Failed> {
    let dockster = Dockster::new("dockster");
    let threads: Vec<_> = (0..30)
        .map(|number| {
            let site = dockster.site.clone();
            let new = New { name: format!("n{number}"), ..New::default() };
            std::thread::spawn(move || site.lock().and_then(|mut networks| networks.create(new)))
        })
        .collect();
    for thread in threads {
        thread.join().expect("it does not panic")?;
    }
    let mut networks = dockster.lock()?;
    let subnets: BTreeSet<_> =
        networks.list().iter().map(|network| network.ranges[0].subnet.to_string()).collect();
    assert_eq!(subnets.len(), 31, "{subnets:?}");
    assert!(subnets.contains("172.17.0.0/16") && subnets.contains("192.168.240.0/20"));
    let one_more = networks.create(New { name: "more".to_owned(), ..New::default() });
    crate::hosts::refused(one_more, "all predefined address pools have been fully subnetted")
}
