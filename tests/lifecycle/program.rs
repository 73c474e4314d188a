//! `05-lifecycle run [options] ROOTFS -- CMD`: the chapter's own `run`, from outside.

use std::fs;
use std::time::Duration;

use dockster_tests::{
    Cgroups, Failed, Fingerprint, Need, Run, TempDir, Terminal, Trial, busybox_rootfs, host, trial,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::held::{Held, STAY, steps_of};
use crate::notes::Made;

const NS: &[Need] = &[Need::UserNamespaces];
const LIMITS: &[Need] = &[Need::UserNamespaces, Need::Limits];
const SECONDS: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    vec![
        trial("run_says_where_one_is", NS, says_where_one_is),
        trial("run_ends_as_its_program", NS, ends_as_its_program),
        trial("run_with_an_id_is_the_verb", NS, with_an_id),
        trial("run_takes_the_options_of_chapter_2", NS, options_of_chapter_2),
        trial("run_takes_the_limits_of_chapter_3", LIMITS, limits),
        trial("run_reports_what_its_limits_did", LIMITS, reports),
        trial("run_offsets_clocks", &[Need::Root], offsets_clocks),
        trial("run_is_a_container_like_any_other", NS, like_any_other),
        trial("run_has_a_terminal_with_t", NS, || terminal(&["-it"])),
        trial("run_has_a_terminal_with_init", NS, || terminal(&["-it", "--init"])),
        trial("run_gives_input_with_i_only", NS, no_input),
        trial("run_passes_signals_on", NS, signals),
        trial("run_helps", &[], helps),
        trial("run_leaves_nothing_if_a_step_fails", NS, each_step_fails),
        trial("run_of_one_name_at_a_time", NS, one_name),
    ]
}

/// A root file system, and a directory of states; both are gone in the end.
struct Place {
    dir: TempDir,
    before: Fingerprint,
}

impl Place {
    fn new() -> Result<Place, Failed> {
        let dir = TempDir::new();
        let before = Fingerprint::of(&[&*dir.path().to_string_lossy(), &name(&dir)]);
        fs::create_dir(dir.join("rootfs"))?;
        busybox_rootfs(&dir.join("rootfs"))?;
        Ok(Place { dir, before })
    }

    fn program(&self) -> Run {
        Run::new(env!("CARGO_BIN_EXE_05-lifecycle"))
            .arg("--root")
            .arg(self.dir.join("state"))
            .env("PATH", "/usr/bin:/bin")
    }

    /// `run`, with a name that its cgroup carries too.
    fn run(&self, options: &[&str], command: &[&str]) -> Run {
        let run = self.program().args(["run", "--name", &name(&self.dir)]).args(options);
        run.arg(self.dir.join("rootfs")).arg("--").args(command)
    }

    fn sh(&self, options: &[&str], script: &str) -> Run {
        self.run(options, &["sh", "-c", script])
    }

    fn verb(&self, words: &str) -> Run {
        self.program().args(words.replace("ID", &name(&self.dir)).split(' '))
    }

    fn note(&self) -> Result<Value, Failed> {
        let file = self.dir.join("state").join(name(&self.dir)).join("state.json");
        Ok(serde_json::from_slice(&fs::read(file)?)?)
    }

    fn end(self) -> Result<(), Failed> {
        assert_eq!(fs::read_dir(self.dir.join("state"))?.count(), 0, "a directory is left");
        self.before.unchanged(SECONDS)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After a failure; else there is nothing any more.
        let _ = self.verb("delete --force ID").done();
    }
}

/// Its cgroup, where there is one, is called so too.
fn name(dir: &TempDir) -> String {
    dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn says_where_one_is() -> Result<(), Failed> {
    let place = Place::new()?;
    let done = place
        .sh(&[], "uname -n; echo \"$PS1\"; id -u; pwd; set -- /proc/[0-9]*; echo $#")
        .success()?;
    assert_eq!(done.stdout, "05-lifecycle\n(05-lifecycle) # \n0\n/\n1\n", "{}", done.stderr);
    assert_eq!(done.stderr, "");
    let done = place.sh(&["--hostname", "box"], "uname -n").success()?;
    assert_eq!(done.stdout, "box\n");
    place.end()
}

fn ends_as_its_program() -> Result<(), Failed> {
    let place = Place::new()?;
    for options in [&[][..], &["--init"]] {
        place.sh(options, "exit 7").code(7)?;
        place.sh(options, "sh -c 'kill -9 $$'; exit $?").code(137)?;
        place.run(options, &["no-such-command"]).code(127)?.complains("not found in $PATH")?;
        place.run(options, &["/etc/passwd"]).code(126)?;
    }
    let first = "read x < /proc/1/comm; echo $x";
    assert_eq!(place.sh(&["--init"], first).success()?.stdout, "init\n");
    assert_eq!(place.sh(&[], first).success()?.stdout, "sh\n");
    place.end()
}

/// No `--`: an id, and a bundle.
fn with_an_id() -> Result<(), Failed> {
    let made = Made::new("echo from the bundle; exit 3")?;
    made.runtime("run ID").code(3)?.says("from the bundle")?;
    // A program may be called so.
    made.runtime("exec ID run -- x").code(255)?.complains("does not exist")?;
    made.end()
}

fn options_of_chapter_2() -> Result<(), Failed> {
    let place = Place::new()?;
    fs::create_dir(place.dir.join("data"))?;
    fs::write(place.dir.join("data/word"), "from outside\n")?;
    let volume = format!("{}:/data:ro", place.dir.join("data").display());
    let done = place
        .sh(
            &["-v", &volume, "--tmpfs", "/own"],
            "cat /data/word; (> /data/x) || > /own/x && ls /own",
        )
        .success()?;
    assert_eq!(done.stdout, "from outside\nx\n", "{}", done.stderr);
    place.sh(&["--read-only"], "(> /file) 2>/dev/null || exit 9").code(9)?;
    place.sh(&["--overlay"], "> /file").success()?;
    assert!(!place.dir.join("rootfs/file").exists(), "it was thrown away");
    place.sh(&[], "> /file").success()?;
    assert!(place.dir.join("rootfs/file").exists());
    place.sh(&["--no-mount"], "true").code(125)?.complains("--no-mount")?;
    place.end()
}

/// The first of these files that one of its cgroups has.
fn value(place: &Place, files: &[&str]) -> Result<String, Failed> {
    let note = place.note()?;
    let dirs: Vec<_> = note["cgroup"].as_object().into_iter().flatten().collect();
    let paths = files.iter().flat_map(|file| {
        dirs.iter().map(move |(_, dir)| format!("{}/{file}", dir.as_str().unwrap_or_default()))
    });
    let text = paths.map(fs::read_to_string).find_map(Result::ok);
    text.map(|text| text.trim().to_owned()).ok_or(format!("none of {files:?} in {note}").into())
}

fn limits() -> Result<(), Failed> {
    let place = Place::new()?;
    let options = ["-m", "64m", "--pids", "32", "--cpus", "0.5"];
    let mut held = Held::start(place.sh(&options, STAY).into_command())?;
    assert_eq!(value(&place, &["memory.max", "memory.limit_in_bytes"])?, "67108864");
    assert_eq!(value(&place, &["pids.max"])?, "32");
    match host().cgroups {
        Cgroups::V2 => assert_eq!(value(&place, &["cpu.max"])?, "50000 100000"),
        _ => assert_eq!(value(&place, &["cpu.cfs_quota_us"])?, "50000"),
    }
    assert_eq!(held.finish()?.0.code(), Some(7));
    place.sh(&["-m", "1"], "true").code(125)?.complains("too small to start anything")?;
    place.end()
}

fn reports() -> Result<(), Failed> {
    let place = Place::new()?;
    let awk = "BEGIN { s = \"0123456789abcdef\"; while (length(s) < 200000000) s = s s }";
    let options = ["--memory", "32m", "--memory-swap", "32m"];
    let done = place.run(&options, &["awk", awk]).code(137)?;
    done.complains("05-lifecycle: 1 killed by the memory limit of 33554432 bytes")?;
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done 2>/dev/null; exit 6";
    let done = place.sh(&["--pids", "8"], script).done()?;
    done.complains("times no new process: the limit is 8")?;
    assert_eq!(place.sh(&["--memory", "64m"], "exit 4").code(4)?.stderr, "");
    place.end()
}

fn offsets_clocks() -> Result<(), Failed> {
    let place = Place::new()?;
    let seen = place.sh(&["--clock-offset", "7"], "cat /proc/self/timens_offsets").success()?;
    let words: Vec<_> = seen.stdout.split_whitespace().collect();
    assert_eq!(words, ["monotonic", "7", "0", "boottime", "7", "0"]);
    place.end()
}

/// Other verbs know it by its name.
fn like_any_other() -> Result<(), Failed> {
    let place = Place::new()?;
    let mut held = Held::start(place.sh(&[], STAY).into_command())?;
    let list = place.verb("list").success()?.stdout;
    let line = list.lines().find(|line| line.starts_with(&name(&place.dir)));
    assert!(line.is_some_and(|line| line.contains(" running ")), "{list}");
    assert_eq!(place.note()?["init"]["pid"], held.inside);
    assert_eq!(place.verb("exec ID uname -n").success()?.stdout, "05-lifecycle\n");
    place.verb("kill ID KILL").success()?;
    assert_eq!(held.ended()?.code(), Some(137));
    place.end()
}

fn terminal(options: &[&str]) -> Result<(), Failed> {
    let place = Place::new()?;
    let mut terminal = Terminal::spawn(place.run(options, &["sh"]).into_command(), 30, 90)?;
    terminal.wait_for("(05-lifecycle) # ")?;
    terminal.type_keys("tty; stty size; exec 3</dev/tty; echo $?\r")?;
    terminal.wait_for("/dev/pts/0\n30 90\n0\n")?;
    terminal.resize(40, 70)?;
    terminal.type_keys("until [ \"$(stty size)\" = '40 70' ]; do :; done; echo is so large\r")?;
    terminal.wait_for("\nis so large\n")?;
    // The shell has read the line: from here on Ctrl-C is the terminal's.
    terminal.type_keys("echo to; echo sleep; sleep 1000\r")?;
    terminal.wait_for("\nto\nsleep")?;
    terminal.type_keys("\x03")?;
    terminal.wait_for("\nto\nsleep\n^C\n")?;
    terminal.type_keys("exit 5\r")?;
    let status = terminal.finish()?;
    assert_eq!(status.code(), Some(5), "{}", terminal.transcript());
    place.end()
}

/// A terminal of its own to which nobody writes: what is in our input stays there.
fn no_input() -> Result<(), Failed> {
    let place = Place::new()?;
    let script = "read -t 1 line; echo \"got $line\"";
    let done = place.sh(&["-t"], script).input("typed\n").success()?;
    assert_eq!(done.stdout.trim(), "got");
    let done = place.sh(&[], script).input("typed\n").success()?;
    assert_eq!(done.stdout, "got typed\n");
    place.end()
}

fn signals() -> Result<(), Failed> {
    let place = Place::new()?;
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut held = Held::start(place.sh(&[], script).into_command())?;
    held.signal(Signal::SIGTERM)?;
    assert_eq!(held.ended()?.code(), Some(9));
    place.end()
}

fn helps() -> Result<(), Failed> {
    let program = || Run::new(env!("CARGO_BIN_EXE_05-lifecycle"));
    program().args(["run", "--help"]).success()?.says("--memory")?.says("05-lifecycle help run")?;
    program().args(["help", "run"]).success()?.says("--bundle")?;
    program().args(["run", "--nonsense", ".", "--", "sh"]).code(125)?;
    Ok(())
}

fn each_step_fails() -> Result<(), Failed> {
    let place = Place::new()?;
    let mut steps = steps_of(&place.sh(&["--timings"], "true").success()?.stderr);
    steps.dedup();
    assert_eq!(steps[0], "note", "{steps:?}");
    for step in ["clone3", "loopback", "pivot_root", "credentials", "execve"] {
        assert!(steps.iter().any(|name| name == step), "no {step} in {steps:?}");
    }
    for step in steps {
        let done = place.sh(&[&format!("--fail={step}")], "true").done()?;
        let status = done.status.code();
        assert_eq!(status, Some(if step == "execve" { 126 } else { 125 }), "{step}: {done:?}");
        done.complains(&format!("05-lifecycle: {step}: "))?;
        // Where removing is what fails, it stays, and can be deleted.
        if step == "remove-cgroup" {
            place.verb("delete ID").success()?;
        }
        assert_eq!(fs::read_dir(place.dir.join("state"))?.count(), 0, "{step}");
        place.before.unchanged(SECONDS)?;
    }
    place.end()
}

fn one_name() -> Result<(), Failed> {
    let place = Place::new()?;
    let mut held = Held::start(place.sh(&[], STAY).into_command())?;
    place.sh(&[], "true").code(125)?.complains("already exists")?;
    assert_eq!(held.finish()?.0.code(), Some(7));
    place.end()
}
