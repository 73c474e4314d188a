//! What is written down of a container, and who may change it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dockster_tests::{
    Failed, Fingerprint, Need, Run, TempDir, Trial, busybox_rootfs, trial, wait_until,
};
use serde_json::{Value, json};

use crate::incarnation::Sleeper;

const NS: &[Need] = &[Need::UserNamespaces];
const SECONDS: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_life_from_create_to_delete", NS, a_life),
        trial("a_reused_pid_is_not_the_container", NS, reused_pid),
        trial("one_command_at_a_time", NS, one_at_a_time),
        trial("a_name_is_given_to_one_only", NS, one_name),
        trial("two_roots_do_not_meet", NS, two_roots),
    ]
}

/// A container's bundle, and the runtime's `--root`.
pub struct Made {
    dir: TempDir,
    before: Fingerprint,
}

impl Made {
    /// As an ordinary user has it: its root is whoever calls, and there are no limits.
    pub fn new(script: &str) -> Result<Made, Failed> {
        let dir = TempDir::new();
        let before = Fingerprint::of(&[&*dir.path().to_string_lossy()]);
        fs::create_dir(dir.join("rootfs"))?;
        busybox_rootfs(&dir.join("rootfs"))?;
        let made = Made { dir, before };
        made.runtime("spec --rootless").dir(made.dir.path()).success()?;
        let file = made.dir.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file)?)?;
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", script]);
        fs::write(&file, config.to_string())?;
        Ok(made)
    }

    /// The program with these words; for `ID` stands the container's.
    pub fn runtime(&self, words: &str) -> Run {
        let words = words.replace("ID", &self.id());
        let run = Run::new(env!("CARGO_BIN_EXE_05-lifecycle")).arg("--root").arg(self.root());
        run.args(words.split(' ')).dir(self.dir.path())
    }

    /// The same name, in another directory of states.
    fn elsewhere(&self, words: &str) -> Run {
        let words = words.replace("ID", &self.id());
        let run = Run::new(env!("CARGO_BIN_EXE_05-lifecycle")).arg("--root");
        run.arg(self.dir.join("elsewhere")).args(words.split(' ')).dir(self.dir.path())
    }

    /// A name of its own: its cgroup, where there is one, is called so too.
    fn id(&self) -> String {
        self.dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn root(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// What `create` and the container have said.
    pub fn said(&self) -> PathBuf {
        self.dir.join("said")
    }

    /// Its first process.
    pub fn pid(&self) -> Result<i64, Failed> {
        let state: Value = serde_json::from_str(&self.runtime("state ID").success()?.stdout)?;
        state["pid"].as_i64().ok_or("no pid".into())
    }

    pub fn status(&self) -> Result<String, Failed> {
        let state: Value = serde_json::from_str(&self.runtime("state ID").success()?.stdout)?;
        Ok(state["status"].as_str().unwrap_or_default().to_owned())
    }

    pub fn wait_for(&self, status: &str) -> Result<(), Failed> {
        wait_until(status, SECONDS, || self.status().is_ok_and(|now| now == status))
    }

    pub fn end(self) -> Result<(), Failed> {
        self.left_nothing()
    }

    /// After `delete --force` nothing is there, whatever has happened before.
    pub fn left_nothing(&self) -> Result<(), Failed> {
        self.runtime("delete --force ID").success()?;
        let left = fs::read_dir(self.root())?.count();
        assert_eq!(left, 0, "a directory is left");
        self.before.unchanged(SECONDS)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // After a failure; else there is nothing any more.
        for entry in fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            let _ = self.runtime(&format!("delete --force {id}")).done();
        }
        let _ = self.elsewhere("delete --force ID").done();
    }
}

/// Its output is a file: a pipe of ours would stay open as long as the container lives.
fn create(made: &Made) -> Result<(), Failed> {
    create_as(made, "create ID")
}

/// With other options.
pub fn create_as(made: &Made, words: &str) -> Result<(), Failed> {
    create_with(made, made.runtime(words))
}

fn create_with(made: &Made, create: Run) -> Result<(), Failed> {
    let mut create = create.into_command();
    let said = made.said();
    let file = File::create(&said)?;
    create.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    match create.status()?.success() {
        true => Ok(()),
        false => Err(fs::read_to_string(said)?.into()),
    }
}

fn a_life() -> Result<(), Failed> {
    let made = Made::new("sleep 1000")?;
    create(&made)?;
    assert_eq!(made.status()?, "created");
    made.runtime("start ID").success()?;
    assert_eq!(made.status()?, "running");
    made.runtime("start ID").code(1)?.complains("already running")?;
    made.runtime("delete ID").code(1)?.complains("not stopped")?;
    made.runtime("kill ID KILL").success()?;
    made.wait_for("stopped")?;
    made.runtime("kill ID KILL").code(1)?.complains("container not running")?;
    made.end()
}

/// Its program has ended, and somebody else has its pid: as if the kernel had come round.
fn reused_pid() -> Result<(), Failed> {
    let made = Made::new("exit 0")?;
    create(&made)?;
    made.runtime("start ID").success()?;
    made.wait_for("stopped")?;
    let mut other = Sleeper::new()?;
    let file = made.root().join(made.id()).join("state.json");
    let mut note: Value = serde_json::from_slice(&fs::read(&file)?)?;
    note["init"]["pid"] = json!(other.pid());
    fs::write(&file, note.to_string())?;
    assert_eq!(made.status()?, "stopped");
    made.runtime("kill ID KILL").code(1)?.complains("container not running")?;
    made.runtime("delete ID").success()?;
    assert!(other.lives(), "it killed somebody else");
    Ok(())
}

/// Whoever has the lock is waited for.
fn one_at_a_time() -> Result<(), Failed> {
    let made = Made::new("sleep 1000")?;
    create(&made)?;
    let held = File::open(made.root().join(made.id()))?;
    held.lock()?;
    let mut start = made.runtime("start ID").into_command().spawn()?;
    let waits = || {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let pid = start.id().to_string();
        locks.lines().any(|line| line.contains("-> FLOCK") && line.split(' ').any(|w| w == pid))
    };
    let waited = wait_until("the second one waits", SECONDS, waits);
    let status = made.status();
    drop(held);
    assert!(start.wait()?.success());
    waited?;
    assert_eq!(status?, "created");
    assert_eq!(made.status()?, "running");
    made.end()
}

fn one_name() -> Result<(), Failed> {
    let made = Made::new("sleep 1000")?;
    create(&made)?;
    let error = create(&made).err().ok_or("two have one name")?;
    assert!(error.message().is_some_and(|text| text.contains("already exists")), "{error:?}");
    assert_eq!(made.status()?, "created");
    made.end()
}

/// One id under two roots is two containers: the end of one is not the other's.
fn two_roots() -> Result<(), Failed> {
    let made = Made::new("sleep 1000")?;
    create(&made)?;
    create_with(&made, made.elsewhere("create ID"))?;
    made.runtime("start ID").success()?;
    made.elsewhere("delete --force ID").success()?;
    assert_eq!(made.status()?, "running");
    fs::remove_dir(made.dir.join("elsewhere"))?;
    made.end()
}
