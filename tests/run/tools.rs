//! What all topics share: a root of one's own with an image in it, programs that run
//! meanwhile, and who may run beside whom.

use std::fs;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, RwLock};
use std::time::Duration;

use dockster_tests::{
    Done, Failed, Fingerprint, Need, Run, TempDir, Terminal, Trial, busybox_rootfs, host, trial,
    wait_until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The program under test.
pub const DOCKSTER: &str = env!("CARGO_BIN_EXE_dockster");

/// Time enough for anything that ends by itself.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Held for reading by tests that look only at what is their own.
static TOGETHER: RwLock<()> = RwLock::new(());

type Test = fn() -> Result<(), Failed>;

/// A test that runs beside others.
pub fn beside(name: &str, needs: &[Need], test: Test) -> Trial {
    trial(name, &with_user_namespaces(needs), move || {
        let _beside = TOGETHER.read().unwrap_or_else(|error| error.into_inner());
        test()
    })
}

/// A test that runs while no other does, for it looks at the whole host.
pub fn alone(name: &str, needs: &[Need], test: Test) -> Trial {
    trial(name, &with_user_namespaces(needs), move || {
        let _alone = TOGETHER.write().unwrap_or_else(|error| error.into_inner());
        test()
    })
}

/// An ordinary user becomes root in a user namespace, whatever else a test needs.
fn with_user_namespaces(needs: &[Need]) -> Vec<Need> {
    let own: &[Need] = if host().root { &[] } else { &[Need::UserNamespaces] };
    [own, needs].concat()
}

/// A DOCKSTER_ROOT of its own, in a directory with room for more.
pub struct House {
    dir: TempDir,
    before: Fingerprint,
}

impl House {
    /// Without any image.
    pub fn empty() -> House {
        let dir = TempDir::new();
        let before = Fingerprint::of_root(&dir.join("root"));
        House { dir, before }
    }

    /// With the image `busybox`.
    pub fn new() -> Result<House, Failed> {
        House::with(|_| Ok(()))
    }

    /// With the image `busybox`, to whose root directory `furnish` has added something.
    pub fn with(furnish: impl FnOnce(&Path) -> Result<(), Failed>) -> Result<House, Failed> {
        let house = House::empty();
        let tree = house.tree()?;
        furnish(&tree)?;
        house.dockster(["import"]).arg(&tree).arg("busybox").success()?;
        Ok(house)
    }

    /// A small root file system in a directory of its own, ready to be imported.
    pub fn tree(&self) -> Result<PathBuf, Failed> {
        let tree = self.dir.join("tree");
        fs::create_dir(&tree)?;
        busybox_rootfs(&tree)?;
        Ok(tree)
    }

    /// The directory of all state.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// A path beside the root, for a test's own things.
    pub fn join(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// `dockster WORDS`. The slow machine's kernel has no bridges.
    pub fn dockster<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        let mut words: Vec<_> = words.into_iter().collect();
        let makes = matches!(words.first(), Some(&("run" | "create")));
        if makes && host().is_slow() && !words.contains(&"--network") {
            words.splice(1..1, ["--network", "none"]);
        }
        if makes || words.first() == Some(&"build") {
            self.told();
        }
        Run::new(DOCKSTER).env("DOCKSTER_ROOT", self.root()).args(words)
    }

    /// What each root says once of its networks, here it has said already: which addresses it
    /// takes where a neighbour has the usual ones (a test beside), and, to an ordinary user,
    /// that nothing leads out. (`tests/network` and `tests/net/usual.rs` look at it.)
    fn told(&self) {
        static REASON: OnceLock<String> = OnceLock::new();
        let networks = self.root().join("networks");
        if host().root && !host().is_slow() && !networks.exists() {
            let _ =
                Run::new(DOCKSTER).env("DOCKSTER_ROOT", self.root()).args(["network", "ls"]).done();
        }
        if host().root || networks.join("no-way-out").exists() {
            return;
        }
        let reason = REASON.get_or_init(|| {
            let root = TempDir::new();
            let run = Run::new(DOCKSTER).args(["run", "--rm", "hello"]);
            let _ = run.env("DOCKSTER_ROOT", root.path()).done();
            fs::read_to_string(root.join("networks/no-way-out")).unwrap_or_default()
        });
        let mut dirs = fs::DirBuilder::new();
        if !reason.is_empty() && dirs.recursive(true).mode(0o700).create(&networks).is_ok() {
            let _ = fs::write(networks.join("no-way-out"), reason);
        }
    }

    /// `dockster run --rm WORDS`.
    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        self.dockster(["run", "--rm"].into_iter().chain(words))
    }

    /// `dockster run --rm OPTIONS busybox sh -c SCRIPT`.
    pub fn sh<'a>(&self, options: impl IntoIterator<Item = &'a str>, script: &str) -> Run {
        self.run(options).args(["busybox", "sh", "-c", script])
    }

    /// `dockster run --rm WORDS` on a terminal of 30 lines by 100.
    pub fn terminal<'a>(
        &self,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<Terminal, Failed> {
        Ok(Terminal::spawn(self.run(words).into_command(), 30, 100)?)
    }

    /// The ids of all containers, as `dockster ps` says.
    pub fn containers(&self) -> Result<Vec<String>, Failed> {
        let listed = self.dockster(["ps", "--all", "--quiet"]).success()?;
        Ok(listed.stdout.lines().map(str::to_owned).collect())
    }

    /// Fails if there is anything left of any container: on the host or below the root.
    pub fn nothing_left(&self) -> Result<(), Failed> {
        for dir in ["containers", "names", "ingest"] {
            let left: Vec<_> = fs::read_dir(self.root().join(dir))?
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<Result<_, _>>()?;
            if !left.is_empty() {
                return Err(format!("{dir}/ still holds {left:?}").into());
            }
        }
        self.before.unchanged(Duration::from_secs(5))
    }
}

impl House {
    fn containers_left(&self) -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir(self.root().join("containers")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    }
}

impl Drop for House {
    /// A test that has failed may leave a container that runs.
    fn drop(&mut self) {
        let left: Vec<_> = self.containers_left();
        if !left.is_empty() {
            let _ = self.dockster(["rm", "-f"]).args(&left).done();
        }
    }
}

/// A program that runs while the test does something else; dropped, it is killed.
pub struct Background {
    child: Child,
}

impl Background {
    /// Starts it, with a pipe from its stdout.
    pub fn start(run: Run) -> Result<Background, Failed> {
        let mut command: Command = run.into_command();
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Background { child })
    }

    /// Starts a container, and waits until it has printed the line `ready`.
    pub fn ready(run: Run) -> Result<Background, Failed> {
        let mut started = Background::start(run)?;
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"ready\n") {
            if started.stdout().read(&mut byte)? == 0 {
                let said = String::from_utf8_lossy(&said).into_owned();
                return Err(
                    format!("it ended before it was ready: {said}{}", started.stderr()).into()
                );
            }
            said.push(byte[0]);
        }
        Ok(started)
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// What it writes.
    pub fn stdout(&mut self) -> &mut ChildStdout {
        self.child.stdout.as_mut().expect("stdout is a pipe")
    }

    /// Nobody reads what it writes any more.
    pub fn close_stdout(&mut self) {
        self.child.stdout = None;
    }

    /// What it has complained about, once it has ended.
    pub fn stderr(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            let _ = pipe.read_to_string(&mut text);
        }
        text
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Failed> {
        Ok(kill(Pid::from_raw(self.pid()), signal)?)
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// How it ends.
    pub fn status(&mut self) -> Result<ExitStatus, Failed> {
        wait_until("the program has ended", PATIENCE, || self.ended())?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All processes below `pid`.
pub fn descendants(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.flat_map(|task| {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()
    });
    children.flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// A field of /proc/PID/status.
pub fn status_field(pid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.map(|value| value.trim().to_owned())
}

/// The first process of the container that `runtime` runs: number 1 in a PID namespace of its own.
pub fn init_of(runtime: i32) -> Option<i32> {
    descendants(runtime).into_iter().find(|pid| {
        let numbers = status_field(*pid, "NSpid").unwrap_or_default();
        let numbers: Vec<_> = numbers.split_whitespace().collect();
        numbers.len() > 1 && numbers.last() == Some(&"1")
    })
}

/// Waits until a process below `pid` has been started with these arguments.
pub fn wait_for_process(pid: i32, arguments: &str) -> Result<i32, Failed> {
    let mut found = None;
    wait_until(&format!("{arguments:?} runs"), PATIENCE, || {
        found = descendants(pid).into_iter().find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).collect::<Vec<_>>().join(&b' ').trim_ascii_end()
                == arguments.as_bytes()
        });
        found.is_some()
    })?;
    found.ok_or_else(|| "it was there".into())
}

/// Fails unless it complained in one sentence, which contains `words`; lines below it that
/// are indented say what to try.
pub fn one_sentence(done: &Done, words: &str) -> Result<(), Failed> {
    let sentences: Vec<_> = done.stderr.lines().filter(|line| !line.starts_with("  ")).collect();
    match sentences[..] {
        [one] if one.starts_with("dockster: ") && one.contains(words) => Ok(()),
        _ => Err(done.failed(&format!("not one sentence with {words:?}"))),
    }
}

/// All steps of which an explained run has told: their names, and how often each was taken.
pub fn steps_in(transcript: &str) -> Vec<(String, usize)> {
    let mut steps: Vec<(String, usize)> = Vec::new();
    for line in transcript.lines() {
        let Some((_, page)) = line.split_once("book: ") else { continue };
        let name = page.split_once('#').map_or("", |(_, name)| name);
        let name = name.split(|c: char| c.is_whitespace() || c.is_control()).next().unwrap_or("");
        match steps.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => steps.push((name.to_owned(), 1)),
        }
    }
    steps
}
