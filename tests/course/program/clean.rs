//! `cargo x clean`: what was left goes, all else stays, and a second time there is nothing.

use std::fs;
use std::path::Path;

use dockster_tests::{Failed, Need, Run, TempDir, Trial, trial};
use nix::sys::signal::Signal;

use super::lab::{end, start, wait_for_line};
use super::{namespaces, x};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("clean_takes_what_a_killed_lab_left", namespaces(), takes_what_was_left),
        trial("clean_spares_what_lives", namespaces(), spares_what_lives),
        trial("clean_spares_what_is_not_ours", &[], spares_others),
        trial("clean_takes_a_killed_programs_cgroup", &[Need::Limits], takes_a_cgroup),
    ]
}

fn clean(temp: &TempDir) -> Run {
    x(&["clean"]).env("TMPDIR", temp.path())
}

/// A lab in which this shell script runs; it says `ready` first.
fn lab(temp: &TempDir) -> Result<std::process::Child, Failed> {
    let lab = x(&["lab", "03", "--", "sh", "-c", "chmod 0 rootfs; echo ready; sleep 1000"]);
    let mut lab = start(lab.env("TMPDIR", temp.path()))?;
    wait_for_line(&mut lab, "ready\n")?;
    Ok(lab)
}

fn takes_what_was_left() -> Result<(), Failed> {
    let temp = TempDir::new();
    let lab = lab(&temp)?;
    let pid = lab.id();
    let scratch = temp.join(format!("dockster-lab-{pid}"));
    assert!(scratch.is_dir());
    end(lab, Signal::SIGKILL)?;
    let done = clean(&temp).success()?;
    done.says(&format!("removed: directory {}", scratch.display()))?;
    assert!(!scratch.exists());
    assert_eq!(cgroups(&format!("dockster-lab/{pid}"))?, "");
    let again = clean(&temp).success()?;
    assert!(!again.stdout.contains(&pid.to_string()), "{}", again.stdout);
    Ok(())
}

fn spares_what_lives() -> Result<(), Failed> {
    let temp = TempDir::new();
    let mut lab = lab(&temp)?;
    let scratch = temp.join(format!("dockster-lab-{}", lab.id()));
    clean(&temp).success()?;
    assert!(scratch.is_dir());
    assert!(lab.try_wait()?.is_none(), "the lab goes on");
    end(lab, Signal::SIGTERM)?;
    assert!(!scratch.exists());
    Ok(())
}

fn spares_others() -> Result<(), Failed> {
    let temp = TempDir::new();
    // A pid that nobody has: above the largest there can be.
    let names = ["dockster-lab", "dockster-lab-x", "my-dockster-lab-9999999", "dockster-9999999"];
    for name in names {
        fs::create_dir(temp.join(name))?;
    }
    fs::write(temp.join("dockster-lab-9999999"), "a file")?;
    clean(&temp).success()?;
    assert!(names.iter().all(|name| temp.join(name).is_dir()));
    assert!(temp.join("dockster-lab-9999999").is_file());
    fs::create_dir(temp.join("dockster-lab-9999998"))?;
    clean(&temp).success()?.says("dockster-lab-9999998")?;
    assert!(!temp.join("dockster-lab-9999998").exists());
    Ok(())
}

fn takes_a_cgroup() -> Result<(), Failed> {
    let temp = TempDir::new();
    x(&["rootfs", "r"]).dir(temp.path()).success()?;
    let words =
        ["run", "03", "--", "--memory", "64m", "r", "--", "sh", "-c", "echo ready; sleep 99"];
    let mut program = start(x(&words).dir(temp.path()))?;
    wait_for_line(&mut program, "ready\n")?;
    let name = format!("dockster-03/03-cgroups-{}", program.id());
    end(program, Signal::SIGKILL)?;
    assert_ne!(cgroups(&name)?, "", "a killed program leaves its cgroup");
    clean(&temp).success()?.says(&format!("removed: cgroup {name}"))?;
    assert_eq!(cgroups(&name)?, "");
    Ok(())
}

fn cgroups(name: &str) -> Result<String, Failed> {
    let top = Path::new("/sys/fs/cgroup");
    let found = Run::new("find").arg(top).args(["-type", "d", "-path", &format!("*/{name}")]);
    Ok(found.done()?.stdout)
}
