//! One process, and no later one that got its pid.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use ch05_lifecycle::Incarnation;
use dockster_tests::{Failed, TempDir, Trial, find_program, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("an_incarnation_is_whoever_has_the_pid", &[], whoever_has_the_pid),
        trial("an_incarnation_may_have_any_name", &[], any_name),
        trial("an_incarnation_is_no_zombie", &[], no_zombie),
        trial("an_incarnation_is_not_the_next_one", &[], not_the_next_one),
    ]
}

/// A process that lives until it is dropped.
pub struct Sleeper(pub Child);

impl Sleeper {
    pub fn new() -> Result<Sleeper, Failed> {
        Ok(Sleeper(Command::new("sleep").arg("1000").spawn()?))
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    pub fn lives(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn whoever_has_the_pid() -> Result<(), Failed> {
    let one = Sleeper::new()?;
    let known = Incarnation::of(one.pid()).ok_or("nobody has its pid")?;
    assert_eq!(known.pid, one.pid());
    // Its name is plain, so that field 22 is word 22.
    let stat = fs::read_to_string(format!("/proc/{}/stat", one.pid()))?;
    assert_eq!(stat.split(' ').nth(21), Some(&*known.started.to_string()), "{stat}");
    assert!(known.alive());
    drop(one);
    assert!(!known.alive());
    assert!(known.signal(0).is_err());
    assert_eq!(Incarnation::of(known.pid), None);
    Ok(())
}

fn any_name() -> Result<(), Failed> {
    let dir = TempDir::new();
    let program = dir.join("a) Z (b c");
    fs::copy(find_program("sleep").ok_or("no program sleep")?, &program)?;
    let one = Sleeper(started(&program)?);
    let known = Incarnation::of(one.pid()).ok_or("it is taken for a zombie, or for nobody")?;
    let plain = Sleeper::new()?;
    let later = Incarnation::of(plain.pid()).ok_or("nobody has its pid")?;
    let between = later.started.saturating_sub(known.started);
    assert!(known.started > 0 && between < 100 * 60, "{known:?}, and then {later:?}");
    assert!(known.alive());
    Ok(())
}

/// Somebody else's fork may hold the copy open for writing, for a moment.
fn started(program: &Path) -> Result<Child, Failed> {
    let mut started = Err("it was not tried".into());
    wait_until("the copy can be executed", Duration::from_secs(5), || {
        started = Command::new(program).arg0("sleep").arg("1000").spawn().map_err(Failed::from);
        started.is_ok()
    })?;
    started
}

fn no_zombie() -> Result<(), Failed> {
    let mut one = Command::new("true").spawn()?;
    let pid = one.id() as i32;
    let result =
        wait_until("it is nobody", Duration::from_secs(5), || Incarnation::of(pid).is_none());
    let there = Path::new(&format!("/proc/{pid}")).exists();
    one.wait()?;
    result?;
    assert!(there, "a zombie has its pid still");
    Ok(())
}

fn not_the_next_one() -> Result<(), Failed> {
    let mut one = Sleeper::new()?;
    let known = Incarnation::of(one.pid()).ok_or("nobody has its pid")?;
    let before = Incarnation { started: known.started - 1, ..known };
    assert!(!before.alive());
    assert!(before.signal(nix::libc::SIGKILL).is_err());
    before.kill()?;
    assert!(one.lives());
    known.kill()?;
    wait_until("it has ended", Duration::from_secs(5), || !one.lives())
}
