//! Where the real engines run: in namespaces of their own, with nothing of the host's to
//! write to but a cgroup parent, and everything in there ends with one process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use dockster_tests::{Failed, Need, Run, TempDir, Trial, busybox_rootfs, trial, wait_until};

use crate::bundle::PATIENCE;

/// One engine at a time: each is many processes.
static ONE: Mutex<()> = Mutex::new(());

/// A test of an engine: as root, where its programs are, at real speed.
pub fn engine(
    name: &str,
    programs: &'static [&'static str],
    test: fn(&Machine) -> Result<(), Failed>,
) -> Trial {
    let mut needs = vec![Need::Root, Need::Speed, Need::Limits];
    needs.extend(programs.iter().map(|program| Need::Program(program)));
    trial(name, &needs, move || {
        let _one = ONE.lock().unwrap_or_else(|error| error.into_inner());
        let machine = Machine::new()?;
        test(&machine)?;
        machine.nothing_left()
    })
}

/// Mount, network and PID namespaces of their own, and a /run that is empty.
pub struct Machine {
    dir: TempDir,
    holder: Child,
    /// The first process in there, as the host numbers it.
    inside: String,
    /// The name of all cgroups in there.
    pub name: String,
    /// Cgroups that an engine makes for itself, and leaves: their last names.
    not_ours: Mutex<Vec<String>>,
}

impl Machine {
    fn new() -> Result<Machine, Failed> {
        let dir = TempDir::new();
        let name = dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.replace("dockster-test", "oci-engine");
        let script = "ip link set lo up && mount -t tmpfs run /run && : >\"$1\"; exec sleep 10000";
        let holder = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c", script, "sh"])
            .arg(dir.join("there"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let own = Mutex::new(vec![name.clone(), "conmon".into()]);
        let mut machine = Machine { dir, holder, inside: String::new(), name, not_ours: own };
        wait_until("the namespaces are there", PATIENCE, || machine.join("there").exists())?;
        let own = machine.holder.id();
        machine.inside =
            fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?.trim().into();
        Ok(machine)
    }

    /// A path in a directory of its own.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// The same as text, for arguments.
    pub fn path(&self, name: &str) -> String {
        self.join(name).to_string_lossy().into_owned()
    }

    /// A program in there.
    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        Run::new("nsenter")
            .args(["--target", &self.inside, "--mount", "--net", "--pid", "--"])
            .args(words)
            .env("TMPDIR", self.dir.path())
            .limit(Duration::from_secs(20))
    }

    /// A program in there that goes on; its words go to a file.
    pub fn daemon<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Daemon, Failed> {
        let log = fs::File::create(self.join("log"))?;
        let child = self
            .run(words)
            .into_command()
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Daemon { child })
    }

    /// What the daemon has said, for a test that failed.
    pub fn log(&self) -> String {
        let text = fs::read(self.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().map(|line| format!("{line}\n")).collect()
    }

    /// A cgroup of this name is the engine's own.
    pub fn leaves(&self, name: &str) {
        self.not_ours.lock().unwrap_or_else(|error| error.into_inner()).push(name.into());
    }

    /// An archive of a small root.
    pub fn image(&self) -> Result<String, Failed> {
        let tree = self.join("tree");
        fs::create_dir(&tree)?;
        busybox_rootfs(&tree)?;
        let archive = self.path("image.tar");
        Run::new("tar").args(["-cf", &archive, "-C"]).arg(&tree).arg(".").success()?;
        Ok(archive)
    }

    /// All cgroups of this name, deepest first.
    fn cgroups(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut todo = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let path = entry.path();
                    if path.to_string_lossy().contains(name) {
                        found.push(path.clone());
                    }
                    todo.push(path);
                }
            }
        }
        found.sort_by_key(|path| std::cmp::Reverse(path.as_os_str().len()));
        found
    }

    /// Everything in there ends.
    fn end(&mut self) {
        // The first process of a PID namespace takes all others with it.
        let _ = Command::new("kill").args(["-9", &self.inside]).stderr(Stdio::null()).status();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }

    /// Fails if a container's cgroup is left. (What the engines make for themselves they leave.)
    fn nothing_left(&self) -> Result<(), Failed> {
        let ours = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.not_ours.lock().is_ok_and(|list| !list.contains(&name))
        };
        let mut left = Vec::new();
        wait_until("no cgroup is left", Duration::from_secs(5), || {
            left = self.cgroups(&self.name).iter().filter(ours).cloned().collect();
            left.is_empty()
        })
        .map_err(|_| format!("cgroups are left: {left:?}").into())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
        // What engines make beside their parent, too.
        let others = self.not_ours.lock().map_or(Vec::new(), |list| list.clone());
        let others = others.into_iter().filter(|name| name.starts_with("libpod_"));
        let names = std::iter::once(self.name.clone()).chain(others);
        for dir in names.flat_map(|name| self.cgroups(&name)) {
            let _ = wait_until("an empty cgroup can be removed", Duration::from_secs(2), || {
                fs::remove_dir(&dir).is_ok() || !dir.exists()
            });
        }
    }
}

/// A program that goes on until it is dropped.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let child = &mut self.child;
        let ended = wait_until("the daemon has ended", Duration::from_secs(5), || {
            child.try_wait().is_ok_and(|status| status.is_some())
        });
        if ended.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
