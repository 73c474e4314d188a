//! Hosts and containers that are nothing but network namespaces.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ch04_network::{Ask, Lease, Networks, Site};
use dockster_tests::{Failed, Need, Run, TempDir, Trial, host, trial};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::Value;

/// The variable that says which part this program plays.
pub const PART: &str = "DOCKSTER_TEST_PART";

/// A test, and what it does as a host of its own.
pub type Part = (&'static str, fn() -> Result<(), Failed>);

/// The test that runs a part.
pub fn trial_of((name, _): &Part) -> Trial {
    let name = *name;
    trial(name, &[Need::UserNamespaces, Need::Program("ip")], move || {
        // Some of them are many runs, one after the other.
        let run = as_host(std::env::current_exe()?).env(PART, name);
        run.limit(Duration::from_secs(240)).success().map(drop)
    })
}

/// A run of a program in a network namespace of its own, as its root.
pub fn as_host(program: impl AsRef<Path>) -> Run {
    let own = if host().root { "--net" } else { "--map-root-user" };
    Run::new("unshare").args([own, "--net"]).arg(program.as_ref())
}

/// Plays a part, and ends as it ends.
pub fn play(parts: &[Part], name: &str) {
    let part = parts.iter().find(|(part, _)| *part == name).expect("a part");
    let done = ip("link set lo up").and_then(|_| part.1());
    if let Err(failed) = done {
        eprintln!("{}", failed.message().unwrap_or("failed"));
        std::process::exit(1);
    }
}

/// `ip -j WORDS`, on the host.
pub fn ip(words: &str) -> Result<Value, Failed> {
    let mut command = Command::new(dockster_tests::find_program("ip").ok_or("no program ip")?);
    command.args(["-j", "-d"]).args(words.split(' '));
    json(command)
}

fn json(mut command: Command) -> Result<Value, Failed> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{command:?}: {said}").into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text)? })
}

/// The names of the host's links, but for lo.
pub fn links() -> Result<Vec<String>, Failed> {
    let all = ip("link show")?;
    let names = all.as_array().into_iter().flatten().filter_map(|link| link["ifname"].as_str());
    Ok(names.filter(|name| *name != "lo").map(str::to_owned).collect())
}

/// A container's network namespace, with no process in it.
pub struct Netns(pub File);

impl Netns {
    pub fn new() -> Result<Netns, Failed> {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        Ok(Netns(made.join().expect("it does not panic")?))
    }

    /// Does something in there.
    pub fn inside<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        let netns = self.0.try_clone().expect("a descriptor");
        let thread = std::thread::spawn(move || {
            setns(netns, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
            f()
        });
        thread.join().expect("it does not panic")
    }

    /// `ip -j WORDS`, in there.
    pub fn ip(&self, words: &str) -> Result<Value, Failed> {
        let words = words.to_owned();
        self.inside(move || ip(&words))
    }

    /// Whether a TCP connection from here to an address of `other` comes about.
    pub fn reaches(&self, other: &Netns, address: &str) -> Result<bool, Failed> {
        use std::net::{SocketAddr, TcpListener, TcpStream};
        let address = SocketAddr::new(address.parse()?, 0);
        let listener = other.inside(move || TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let limit = dockster_tests::scaled(Duration::from_secs(5));
        Ok(self.inside(move || TcpStream::connect_timeout(&address, limit)).is_ok())
    }
}

/// A Dockster: where it keeps its networks.
pub struct Dockster {
    pub site: Site,
    _dir: TempDir,
}

impl Dockster {
    pub fn new(prefix: &str) -> Dockster {
        let dir = TempDir::new();
        let (networks, common) = (dir.path().join("networks"), dir.path().join("common"));
        let site = Site { dir: networks, prefix: prefix.to_owned(), common };
        Dockster { site, _dir: dir }
    }

    pub fn lock(&self) -> Result<Networks, Failed> {
        Ok(self.site.lock()?)
    }

    /// A new container on these networks.
    pub fn container(&self, name: &str, networks: &[&str]) -> Result<(Netns, Vec<Lease>), Failed> {
        let netns = Netns::new()?;
        let asks: Vec<_> = networks.iter().map(|network| ask(name, network)).collect();
        let leases = self.lock()?.attach(netns.0.as_fd(), &asks)?;
        Ok((netns, leases))
    }

    /// All leases of a network.
    pub fn leases(&self, network: &str) -> Result<Vec<Lease>, Failed> {
        let networks = self.lock()?;
        Ok(networks.leases(networks.find(network)?)?.to_vec())
    }
}

pub fn ask(name: &str, network: &str) -> Ask {
    Ask {
        network: network.to_owned(),
        container: name.to_owned(),
        name: name.to_owned(),
        ..Ask::default()
    }
}

/// The addresses of a link as `ip -j` tells: `172.17.0.2/16`, without those of the link alone.
pub fn addresses(link: &Value) -> Vec<String> {
    let infos = link[0]["addr_info"].as_array().cloned().unwrap_or_default();
    let global = infos.iter().filter(|info| info["scope"] == "global");
    global
        .map(|info| format!("{}/{}", info["local"].as_str().unwrap_or(""), info["prefixlen"]))
        .collect()
}

/// Fails unless the call was refused in these words.
pub fn refused<T>(result: ch01_clone::Result<T>, words: &str) -> Result<(), Failed> {
    match result {
        Ok(_) => Err(format!("not refused: {words}").into()),
        Err(error) if error.to_string().contains(words) => Ok(()),
        Err(error) => Err(format!("not {words:?}: {error}").into()),
    }
}
