//! Who is root in there, and who that is out here.

use std::fs;
use std::os::unix::fs::MetadataExt;

use dockster_tests::{Failed, Need, Run, TempDir, Trial, find_program, trial};
use nix::unistd::{User, getegid, geteuid};

use crate::held::{Held, STAY, status_line, words};
use crate::library;
use crate::{clone, sh};

const NS: &[Need] = &[Need::UserNamespaces];
const RANGES: &[Need] = &[Need::User, Need::UserNamespaces, Need::IdRanges];
const USER: &[Need] = &[Need::User, Need::UserNamespaces];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_user_with_ranges_has_them", RANGES, a_user_with_ranges_has_them),
        trial("files_of_a_range_belong_to_it_outside", RANGES, files_of_a_range),
        trial("without_newuidmap_there_is_one_id", USER, one_id),
        trial("with_one_id_groups_cannot_be_left", USER, groups_cannot_be_left),
        trial("root_gets_what_is_granted_or_one_id", &[Need::Root], root_gets_one_id),
        trial("root_gets_a_granted_range", &[Need::Root], root_gets_a_granted_range),
        trial("a_grant_by_number_counts_too", &[Need::Root], a_grant_by_number),
        trial("a_broken_grant_is_named", RANGES, a_broken_helper_is_named),
        trial("inside_it_is_root_with_all_capabilities", NS, all_capabilities),
        trial("no_user_keeps_the_capabilities", &[Need::Root], no_user_keeps_capabilities),
    ]
}

fn held() -> Result<Held, Failed> {
    Held::start(sh(&[], STAY).into_command())
}

/// The first range that a file of `name:first:count` grants this user, read in our own way.
fn granted(file: &str) -> Option<(String, String)> {
    let name = User::from_uid(geteuid()).ok()??.name;
    let text = fs::read_to_string(file).ok()?;
    let uid = geteuid().to_string();
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut own = fields.filter(|f| f.len() == 3 && (f[0] == name || f[0] == uid));
    own.next().map(|f| (f[1].to_owned(), f[2].to_owned()))
}

fn a_user_with_ranges_has_them() -> Result<(), Failed> {
    let held = held()?;
    let map = |id: u32, file| {
        let (first, count) = granted(file).expect("the test needs a range");
        format!("0 {id} 1\n1 {first} {count}")
    };
    assert_eq!(words(&held.proc("uid_map")?), map(geteuid().as_raw(), "/etc/subuid"));
    assert_eq!(words(&held.proc("gid_map")?), map(getegid().as_raw(), "/etc/subgid"));
    assert_eq!(held.proc("setgroups")?, "allow\n");
    // Root inside is us outside, in every id that a process has, and in no other group.
    let us = format!("{0} {0} {0} {0}", geteuid());
    assert_eq!(held.status("Uid")?, us);
    assert_eq!(held.status("Groups")?, "");
    Ok(())
}

fn files_of_a_range() -> Result<(), Failed> {
    let dir = TempDir::new();
    sh(&[], "touch five mine && chown 5:6 five").dir(dir.path()).success()?;
    let owner = |name| fs::metadata(dir.join(name)).map(|m| (m.uid(), m.gid()));
    let first = |file| granted(file).unwrap().0.parse::<u32>().unwrap();
    assert_eq!(owner("five")?, (first("/etc/subuid") + 4, first("/etc/subgid") + 5));
    assert_eq!(owner("mine")?, (geteuid().as_raw(), getegid().as_raw()));
    Ok(())
}

/// A PATH that has a shell, and no newuidmap.
fn poor_path() -> Result<TempDir, Failed> {
    let dir = TempDir::new();
    for name in ["sh", "cat", "chown", "touch"] {
        let program = find_program(name).ok_or(format!("there is no {name}"))?;
        std::os::unix::fs::symlink(program, dir.join(name))?;
    }
    Ok(dir)
}

fn one_id() -> Result<(), Failed> {
    let path = poor_path()?;
    let held = Held::start(sh(&[], STAY).env("PATH", path.path()).into_command())?;
    assert_eq!(words(&held.proc("uid_map")?), format!("0 {} 1", geteuid()));
    assert_eq!(words(&held.proc("gid_map")?), format!("0 {} 1", getegid()));
    assert_eq!(held.proc("setgroups")?, "deny\n");
    let dir = TempDir::new();
    let script = "cat /proc/self/uid_map; touch f && chown 5:5 f 2>/dev/null && echo could";
    let done = sh(&[], script).env("PATH", path.path()).dir(dir.path()).done()?;
    assert_eq!(words(&done.stdout), format!("0 {} 1", geteuid()), "{done:?}");
    Ok(())
}

fn groups_cannot_be_left() -> Result<(), Failed> {
    let path = poor_path()?;
    let myself = std::env::current_exe()?;
    let groups = || clone().arg("--").arg(&myself).env(library::PART, "setgroups");
    assert_eq!(groups().env("PATH", path.path()).success()?.stdout, "EPERM\n");
    if granted("/etc/subgid").is_some() && find_program("newgidmap").is_some() {
        assert_eq!(groups().success()?.stdout, "left them\n");
    }
    Ok(())
}

fn root_gets_one_id() -> Result<(), Failed> {
    let held = held()?;
    let expected = match (granted("/etc/subuid"), granted("/etc/subgid")) {
        (Some((first, count)), Some(_)) => format!("0 0 1\n1 {first} {count}"),
        _ => "0 0 1".to_owned(),
    };
    assert_eq!(words(&held.proc("uid_map")?), expected);
    assert_eq!(held.proc("setgroups")?, "allow\n");
    Ok(())
}

/// In a mount namespace where /etc/subuid and /etc/subgid are ours, the program's maps.
fn with_grants(grants: &str) -> Result<String, Failed> {
    let dir = TempDir::new();
    fs::write(dir.join("grants"), grants)?;
    // Where the host has no such file, there is nothing to mount over.
    let script = r#"
        for file in /etc/subuid /etc/subgid; do
            test -e $file || { echo missing; exit; }
            mount --bind "$2" $file || exit 9
        done
        exec "$1" -- cat /proc/self/uid_map /proc/self/gid_map"#;
    let done = Run::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(env!("CARGO_BIN_EXE_01-clone"))
        .arg(dir.join("grants"))
        .success()?;
    Ok(words(&done.stdout))
}

fn root_gets_a_granted_range() -> Result<(), Failed> {
    let maps = with_grants("other:1:2\nroot:700000:65536\nroot:900000:10\n")?;
    let map = "0 0 1\n1 700000 65536";
    assert!(maps == "missing" || maps == format!("{map}\n{map}"), "{maps}");
    Ok(())
}

fn a_grant_by_number() -> Result<(), Failed> {
    let maps = with_grants("0:700000:10\n")?;
    let map = "0 0 1\n1 700000 10";
    assert!(maps == "missing" || maps == format!("{map}\n{map}"), "{maps}");
    // Lines that say nothing are as if they were not there.
    let maps = with_grants("root:x:y\nroot:5:0\nroot\n\n")?;
    assert!(maps == "missing" || maps == "0 0 1\n0 0 1", "{maps}");
    Ok(())
}

/// What newuidmap says reaches the user in one sentence, and the child does not stay.
fn a_broken_helper_is_named() -> Result<(), Failed> {
    let dir = TempDir::new();
    for name in ["newuidmap", "newgidmap"] {
        fs::write(dir.join(name), "#!/bin/sh\necho no such luck >&2; exit 1\n")?;
        fs::set_permissions(dir.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let done = sh(&[], "true").env("PATH", path).code(125)?;
    done.complains("id-map: ")?.complains("no such luck")?.complains("set-uid")?;
    Ok(())
}

/// All bits up to the last capability that this kernel knows.
fn full_set() -> Result<String, Failed> {
    let last: u32 = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?.trim().parse()?;
    Ok(format!("{:016x}", (1u64 << (last + 1)) - 1))
}

fn all_capabilities() -> Result<(), Failed> {
    let status = sh(&[], "cat /proc/self/status").success()?.stdout;
    let full = full_set()?;
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(status_line(&status, set), full, "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(status_line(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(sh(&[], "id -u; id -g").success()?.stdout, "0\n0\n");
    Ok(())
}

fn no_user_keeps_capabilities() -> Result<(), Failed> {
    let ours = Run::new("cat").arg("/proc/self/status").success()?.stdout;
    let inside = sh(&["--no-user"], "cat /proc/self/status").success()?.stdout;
    for set in ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"] {
        assert_eq!(status_line(&inside, set), status_line(&ours, set), "{set}");
    }
    Ok(())
}
