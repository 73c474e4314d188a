//! `cargo x clean`: what was left goes, all else stays, and a second time there is nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dockster_tests::{Failed, Need, Run, TempDir, Trial, host, trial, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::lab::{end, start, wait_for_line};
use super::{namespaces, x};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("clean_takes_what_a_killed_lab_left", namespaces(), takes_what_was_left),
        trial("clean_spares_what_lives", namespaces(), spares_what_lives),
        trial("clean_spares_what_is_not_ours", &[], spares_others),
        trial("clean_takes_a_killed_programs_cgroup", &[Need::Limits], takes_a_cgroup),
        trial("clean_takes_containers_that_have_ended", &[Need::User], takes_containers),
        trial("clean_takes_containers_of_root", &[Need::Root], takes_containers_of_root),
        trial("clean_gives_back_the_wire_of_who_was_killed", &WIRED, takes_a_wire),
    ]
}

/// Bridges and rules, and a look at them.
const WIRED: [Need; 3] = [Need::UserNamespaces, Need::Program("ip"), Need::Program("nft")];

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

/// With a directory for run-time files of its own.
fn takes_containers() -> Result<(), Failed> {
    let temp = TempDir::new();
    containers(&temp, |run| run.env("XDG_RUNTIME_DIR", temp.path()), &temp.join("05-lifecycle"))
}

/// With a /run of its own: nobody else's containers are in it.
fn takes_containers_of_root() -> Result<(), Failed> {
    let temp = TempDir::new();
    fs::create_dir(temp.join("run"))?;
    let script = format!("mount --bind {} /run && exec \"$@\"", temp.join("run").display());
    let own = |run: Run| {
        let inner = run.into_command();
        let run = Run::new("unshare").args(["--mount", "--propagation", "private", "sh", "-c"]);
        let mut run = run.arg(&script).arg("sh").arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            run = run.env(name.to_str().unwrap_or_default(), value.unwrap_or_default());
        }
        run.dir(inner.get_current_dir().unwrap_or(Path::new("/")))
    };
    containers(&temp, own, &temp.join("run/05-lifecycle"))
}

/// One runs, one was killed with whoever waited for it, and one was never finished.
fn containers(temp: &TempDir, own: impl Fn(Run) -> Run, place: &Path) -> Result<(), Failed> {
    x(&["rootfs", "r"]).dir(temp.path()).success()?;
    let run = |name: &str| {
        let words = ["run", "05", "--", "run", "--name", name, "r", "--", "sh", "-c"];
        start(own(x(&words).arg("echo ready; exec sleep 1000").dir(temp.path())))
    };
    let (mut lives, mut ended) = (run("lives")?, run("ended")?);
    wait_for_line(&mut lives, "ready\n")?;
    wait_for_line(&mut ended, "ready\n")?;
    fs::create_dir(place.join("unfinished"))?;
    let inside = pid_of(&place.join("ended"))?;
    end(ended, Signal::SIGKILL)?;
    kill(inside, Signal::SIGKILL)?;
    let clean = || own(clean(temp)).success();
    let mut said = String::new();
    wait_until("what has ended is taken away", Duration::from_secs(20), || {
        said += &clean().map(|done| done.stdout).unwrap_or_default();
        !place.join("ended").exists()
    })?;
    for name in ["ended", "unfinished"] {
        assert!(said.contains(&format!("removed: container {name}\n")), "{said}");
    }
    assert!(!said.contains("lives") && !place.join("unfinished").exists(), "{said}");
    assert!(place.join("lives/state.json").exists());
    assert!(!clean()?.stdout.contains("container"));
    kill(pid_of(&place.join("lives"))?, Signal::SIGKILL)?;
    assert_eq!(lives.wait()?.code(), Some(137));
    clean()?;
    assert!(!place.exists(), "an empty directory is left");
    Ok(())
}

/// Of one that was killed go links, rules and what is written down; of one that lives nothing.
fn takes_a_wire() -> Result<(), Failed> {
    let temp = TempDir::new();
    x(&["rootfs", "r"]).dir(temp.path()).success()?;
    let own = |run: Run| run.dir(temp.path()).env("XDG_RUNTIME_DIR", temp.path());
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let run = || start(own(x(&["run", "04", "--", "r", "--", "sh", "-c", script])));
    let clean = || own(clean(&temp)).success().map(|done| done.stdout);
    let place = temp.join("dockster-04");

    let mut lives = run()?;
    wait_for_line(&mut lives, "ready\n")?;
    assert!(!clean()?.contains("wire of "), "it lives");
    assert!(place.is_dir());
    assert_eq!(end(lives, Signal::SIGTERM)?, 9);
    assert!(!place.exists());

    let mut killed = run()?;
    wait_for_line(&mut killed, "ready\n")?;
    end(killed, Signal::SIGKILL)?;
    let mut said = String::new();
    // An ordinary user's is one process further in, and dies a moment later.
    wait_until("what was killed is taken away", Duration::from_secs(20), || {
        said += &clean().unwrap_or_default();
        !place.exists()
    })?;
    assert_eq!(said.matches("removed: wire of 04-network-").count(), 1, "{said}");
    assert_eq!(links_and_rules()?, "");
    assert!(!clean()?.contains("wire of "));
    Ok(())
}

/// Those of chapter 4, in the network that root's tests have for themselves. An ordinary
/// user's went with the network in which they were.
fn links_and_rules() -> Result<String, Failed> {
    if !host().root {
        return Ok(String::new());
    }
    let links = Run::new("ip").args(["-br", "link", "show", "type", "bridge"]).success()?;
    let tables = Run::new("nft").args(["list", "tables"]).success()?;
    let all = links.stdout + &tables.stdout;
    Ok(all.lines().filter(|line| line.contains("dk04")).collect())
}

/// The first process of a container, by what is written down.
fn pid_of(container: &Path) -> Result<Pid, Failed> {
    let note = fs::read_to_string(container.join("state.json"))?;
    let pid = note.split("\"pid\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
    Ok(Pid::from_raw(pid.ok_or(note.clone())?.trim().parse()?))
}

fn cgroups(name: &str) -> Result<String, Failed> {
    let top = Path::new("/sys/fs/cgroup");
    let found = Run::new("find").arg(top).args(["-type", "d", "-path", &format!("*/{name}")]);
    Ok(found.done()?.stdout)
}
