//! What a process inside has its own view of, and what it shares.

use std::process::Command;

use dockster_tests::{Failed, Need, Run, TempDir, Trial, trial};

use crate::held::{Held, KINDS, STAY, namespace};
use crate::{clone, sh};

const NS: &[Need] = &[Need::UserNamespaces];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("all_namespaces_but_time_are_new", NS, all_but_time_are_new),
        trial("a_time_namespace_is_made_when_asked_for", NS, time_when_asked_for),
        trial("no_user_takes_root", &[Need::User], no_user_takes_root),
        trial("no_user_shares_the_user_namespace", &[Need::Root], || shares("--no-user", "user")),
        trial("nothing_new_at_all", &[Need::Root], nothing_new_at_all),
        trial("the_hostname_is_private", NS, the_hostname_is_private),
        trial("the_hosts_name_cannot_be_set", NS, the_hosts_name_cannot_be_set),
        trial("it_is_pid_1", NS, it_is_pid_1),
        trial("without_a_pid_namespace_pids_are_the_hosts", NS, pids_are_the_hosts),
        trial("its_cgroup_looks_like_the_root", NS, its_cgroup_looks_like_the_root),
        trial("its_network_has_only_a_loopback", NS, only_a_loopback),
        trial("mounts_do_not_show_outside", NS, mounts_do_not_show_outside),
        trial("mounts_do_not_show_where_root_is_shared", &[Need::Root], || {
            shared_root("--no-user")
        }),
        trial("nor_with_a_user_namespace", &[Need::Root], || shared_root("--no-uts")),
        trial("clocks_are_ahead", &[Need::Root], clocks_are_ahead),
        trial("clocks_ahead_take_root", &[Need::User], clocks_ahead_take_root),
        trial("the_environment_comes_along", NS, the_environment_comes_along),
        trial("the_directory_stays", NS, the_directory_stays),
    ];
    let options = [
        ("--no-mount", "mnt"),
        ("--no-pid", "pid"),
        ("--no-uts", "uts"),
        ("--no-ipc", "ipc"),
        ("--no-net", "net"),
        ("--no-cgroup", "cgroup"),
    ];
    for (option, kind) in options {
        let name = format!("{}_shares_that_and_nothing_else", option[2..].replace('-', "_"));
        trials.push(trial(&name, NS, move || shares(option, kind)));
    }
    trials
}

fn held(options: &[&str]) -> Result<Held, Failed> {
    Held::start(sh(options, STAY).into_command())
}

fn all_but(shared: &[&str]) -> Vec<&'static str> {
    KINDS.into_iter().filter(|kind| !shared.contains(kind)).collect()
}

fn all_but_time_are_new() -> Result<(), Failed> {
    let mut held = held(&[])?;
    assert_eq!(held.own_namespaces()?, all_but(&["time"]));
    assert_eq!(held.finish()?.0.code(), Some(7));
    Ok(())
}

fn time_when_asked_for() -> Result<(), Failed> {
    assert_eq!(held(&["--time"])?.own_namespaces()?, all_but(&[]));
    Ok(())
}

fn shares(option: &str, kind: &str) -> Result<(), Failed> {
    assert_eq!(held(&[option])?.own_namespaces()?, all_but(&[kind, "time"]));
    Ok(())
}

const NOTHING_NEW: [&str; 7] =
    ["--no-user", "--no-mount", "--no-pid", "--no-uts", "--no-ipc", "--no-net", "--no-cgroup"];

fn nothing_new_at_all() -> Result<(), Failed> {
    assert_eq!(held(&NOTHING_NEW)?.own_namespaces()?, Vec::<&str>::new());
    Ok(())
}

fn no_user_takes_root() -> Result<(), Failed> {
    let done = sh(&["--no-user"], "true").code(125)?;
    done.complains("01-clone: clone3: ")?.complains("EPERM")?.complains("this takes root")?;
    Ok(())
}

fn the_hostname_is_private() -> Result<(), Failed> {
    let host = Run::new("uname").arg("-n").success()?.stdout;
    assert_eq!(sh(&[], "uname -n").success()?.stdout, "01-clone\n");
    assert_eq!(sh(&["--hostname", "blue"], "uname -n").success()?.stdout, "blue\n");
    assert_eq!(sh(&["--no-uts"], "uname -n").success()?.stdout, host);
    assert_eq!(Run::new("uname").arg("-n").success()?.stdout, host);
    Ok(())
}

/// Being root inside is not being root over what is shared. (It would be set to what it is.)
fn the_hosts_name_cannot_be_set() -> Result<(), Failed> {
    let script = r#"hostname "$(uname -n)" && echo could"#;
    let done = sh(&["--no-uts"], script).done()?;
    assert!(!done.status.success() && done.stdout.is_empty(), "{done:?}");
    Ok(())
}

fn it_is_pid_1() -> Result<(), Failed> {
    assert_eq!(sh(&[], "echo $$").success()?.stdout, "1\n");
    let held = held(&[])?;
    // One number in each PID namespace that it is in, ours first.
    let inside = held.inside;
    assert!(held.status("NSpid")?.ends_with(&format!("{inside} 1")), "{}", held.proc("status")?);
    Ok(())
}

fn pids_are_the_hosts() -> Result<(), Failed> {
    let mut held =
        Held::start(sh(&["--no-pid"], "echo $$; echo ready; read l; echo $$").into_command())?;
    let inside = held.inside;
    assert_eq!(held.finish()?.1, format!("{inside}\n"));
    Ok(())
}

fn its_cgroup_looks_like_the_root() -> Result<(), Failed> {
    let done = sh(&[], "cat /proc/self/cgroup").success()?;
    assert!(!done.stdout.is_empty() && done.stdout.lines().all(|l| l.ends_with(":/")), "{done:?}");
    let ours = std::fs::read_to_string("/proc/self/cgroup")?;
    assert_eq!(sh(&["--no-cgroup"], "cat /proc/self/cgroup").success()?.stdout, ours);
    Ok(())
}

fn only_a_loopback() -> Result<(), Failed> {
    // Opened by a process of that network namespace.
    let links = sh(&[], "tail -n +3 /proc/self/net/dev | cut -d: -f1").success()?.stdout;
    assert_eq!(links.split_whitespace().collect::<Vec<_>>(), ["lo"]);
    Ok(())
}

fn mounts_do_not_show_outside() -> Result<(), Failed> {
    let dir = TempDir::new();
    let script =
        "mount -t tmpfs none . && cd . && touch here && grep -c \"$PWD \" /proc/self/mounts";
    sh(&[], script).dir(dir.path()).success()?;
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 0);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    assert!(!mounts.contains(&*dir.path().to_string_lossy()));
    Ok(())
}

/// In a mount namespace of its own, where everything is shared as systemd makes it. Only
/// mounts that are cut off in the child do not come back here.
fn shared_root(option: &str) -> Result<(), Failed> {
    let dir = TempDir::new();
    let script = r#"
        mount --make-rshared / || exit 9
        "$1" "$2" -- sh -c 'mount -t tmpfs none "$1" && grep -c " $1 " /proc/self/mounts' sh "$3" || exit 8
        grep " $3 " /proc/self/mounts
        exit 0"#;
    let done = Run::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .args([env!("CARGO_BIN_EXE_01-clone"), option])
        .arg(dir.path())
        .success()?;
    assert_eq!(done.stdout, "1\n", "{done:?}");
    Ok(())
}

fn uptime() -> Result<f64, Failed> {
    seconds(&std::fs::read_to_string("/proc/uptime")?)
}

fn seconds(uptime: &str) -> Result<f64, Failed> {
    Ok(uptime.split(' ').next().unwrap_or("").parse()?)
}

fn clocks_are_ahead() -> Result<(), Failed> {
    for options in
        [&["--clock-offset", "100000"][..], &["--clock-offset=100000", "--time", "--no-user"]]
    {
        let before = uptime()?;
        let inside = seconds(&sh(options, "cat /proc/uptime").success()?.stdout)?;
        let after = uptime()?;
        let offset = 100_000.0;
        assert!(
            (before + offset - 1.0..=after + offset + 1.0).contains(&inside),
            "{options:?}: {before} {inside} {after}"
        );
    }
    let held = held(&["--clock-offset", "60"])?;
    assert_eq!(held.own_namespaces()?, all_but(&[]));
    let offsets = crate::held::words(&held.proc("timens_offsets")?);
    assert_eq!(offsets, "monotonic 60 0\nboottime 60 0");
    // The program's own clock is what it was.
    assert_eq!(namespace(held.pid(), "time")?, namespace(std::process::id(), "time")?);
    Ok(())
}

fn clocks_ahead_take_root() -> Result<(), Failed> {
    let done = sh(&["--clock-offset", "60"], "true").code(125)?;
    done.complains("01-clone: time-offsets: ")?.complains("EPERM")?;
    Ok(())
}

fn the_environment_comes_along() -> Result<(), Failed> {
    let done = sh(&[], "echo \"$PS1$COLOR\"").env("COLOR", "blue").env("PS1", "mine").success()?;
    assert_eq!(done.stdout, "(01-clone) # blue\n");
    Ok(())
}

fn the_directory_stays() -> Result<(), Failed> {
    let dir = TempDir::new();
    let done = clone().args(["--", "pwd"]).dir(dir.path()).success()?;
    assert_eq!(done.stdout.trim_end(), dir.path().to_str().unwrap());
    Ok(())
}

/// Only here so that a `Command` with other descriptors can be made by a shell.
pub fn shell(script: &str) -> Command {
    Run::new("sh").args(["-c", script, "sh", env!("CARGO_BIN_EXE_01-clone")]).into_command()
}
