//! `cargo x run`: the program's own status, terminal and signals; root only where asked.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dockster_tests::{Failed, Need, TempDir, Trial, trial, wait_until};
use nix::sys::signal::Signal;

use super::lab::{end, start};
use super::x;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("run_is_the_program", &[Need::UserNamespaces], is_the_program),
        trial("run_becomes_the_program", &[Need::UserNamespaces], becomes_the_program),
        trial("run_says_which_chapters_there_are", &[], says_which_there_are),
        trial("run_root_starts_only_the_program_as_root", &[Need::User], only_the_program),
        trial("run_root_says_what_to_do_without_sudo", &[Need::User], without_sudo),
        trial("run_root_is_nothing_new_for_root", &[Need::Root], root_already),
    ]
}

fn is_the_program() -> Result<(), Failed> {
    let done = x(&["run", "01", "--", "id", "-u"]).success()?;
    assert_eq!(done.stdout, "0\n");
    x(&["run", "1", "--", "--", "sh", "-c", "exit 9"]).code(9)?;
    x(&["run", "01-clone", "--", "sh", "-c", "kill -9 $$; exit 1"]).code(1)?;
    x(&["run", "01", "--", "/nonexistent"]).code(127)?.complains("01-clone: execve")?;
    let told = x(&["run", "01", "--", "--explain", "--", "true"]).success()?;
    told.complains("clone3")?;
    Ok(())
}

fn becomes_the_program() -> Result<(), Failed> {
    let x = start(x(&["run", "01", "--", "sleep", "1000"]))?;
    let exe = format!("/proc/{}/exe", x.id());
    wait_until("x is the program", Duration::from_secs(10), || {
        fs::read_link(&exe).is_ok_and(|file| file.ends_with("01-clone"))
    })?;
    end(x, Signal::SIGKILL)?;
    Ok(())
}

fn says_which_there_are() -> Result<(), Failed> {
    x(&["run", "9"]).code(125)?.complains("chapters are 00 to 07")?;
    let done = x(&["run", "07"]).code(125)?;
    done.complains("07-confine is a library so far")?.complains("01-clone, 02-chroot")?;
    x(&["run", "00"]).code(125)?.complains("it looks at the machine's own")?;
    Ok(())
}

/// A sudo that says what it was asked for.
fn fake_sudo(dir: &TempDir) -> Result<(), Failed> {
    let sudo = dir.join("sudo");
    fs::write(&sudo, "#!/bin/sh\necho \"sudo $*\"\n")?;
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn only_the_program() -> Result<(), Failed> {
    let dir = TempDir::new();
    fake_sudo(&dir)?;
    let done = x(&["run", "01", "--root", "--", "id"]).env("PATH", dir.path()).success()?;
    let program = super::programs().join("01-clone");
    assert_eq!(done.stdout, format!("sudo -- {} -- id\n", program.display()));
    Ok(())
}

fn without_sudo() -> Result<(), Failed> {
    let dir = TempDir::new();
    let done = x(&["run", "01", "--root", "--", "id"]).env("PATH", dir.path()).code(125)?;
    done.complains("neither sudo nor doas")?.complains("most of the book works without")?;
    Ok(())
}

fn root_already() -> Result<(), Failed> {
    let done = x(&["run", "01", "--root", "--", "--no-user", "--", "id", "-u"]).success()?;
    assert_eq!(done.stdout, "0\n");
    Ok(())
}
