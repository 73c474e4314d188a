//! `process` of config.json, seen from inside.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use dockster_tests::{Failed, Need, Run, Terminal, host};
use serde_json::{Value, json};

use crate::bundle::{Bundle, case, not_here, ours};
use crate::fields::{Shown, shows};
use crate::sockets::Listener;

const ROOT: &[Need] = &[Need::Root];

pub fn shown() -> Vec<Shown> {
    let no_apparmor = || (!Path::new("/sys/module/apparmor").exists()).then_some(());
    let no_selinux = || (!Path::new("/sys/fs/selinux/enforce").exists()).then_some(());
    let one_cpu = (cpus() < 2).then_some("needs two processors");
    vec![
        shows(&["ociVersion"], case("process::version", &[], version)),
        shows(&["process.args", "process.env"], case("process::args_and_env", &[], args_and_env)),
        shows(&[], case("process::program_is_missing", &[], missing_program)),
        shows(&["process.cwd"], case("process::cwd", &[], cwd)),
        shows(&["process.terminal"], case("process::terminal_by_socket", ROOT, by_socket)),
        shows(&[], case("process::terminal_in_the_foreground", ROOT, in_the_foreground)),
        shows(
            &["process.consoleSize.height", "process.consoleSize.width"],
            case("process::console_size", ROOT, console_size),
        ),
        shows(&[], case("process::terminal_needs_a_socket", ROOT, needs_a_socket)),
        shows(
            &["process.user.uid", "process.user.gid", "process.user.additionalGids"],
            case("process::user_and_groups", ROOT, user_and_groups),
        ),
        shows(&["process.user.umask"], case("process::umask", &[], umask)),
        shows(
            &[
                "process.capabilities.bounding",
                "process.capabilities.effective",
                "process.capabilities.inheritable",
                "process.capabilities.permitted",
                "process.capabilities.ambient",
            ],
            case("process::capabilities", ROOT, capabilities),
        ),
        shows(&[], case("process::no_capabilities", ROOT, no_capabilities)),
        shows(&[], case("process::unknown_capability", ROOT, unknown_capability)),
        shows(&["process.noNewPrivileges"], case("process::no_new_privileges", &[], no_new)),
        shows(
            &["process.rlimits[].type", "process.rlimits[].soft", "process.rlimits[].hard"],
            case("process::rlimits", &[], rlimits),
        ),
        shows(&[], ours("process::rlimit_given_twice", &[], rlimit_twice)),
        shows(&["process.oomScoreAdj"], case("process::oom_score_adj", &[], oom_score_adj)),
        shows(
            &["process.apparmorProfile"],
            not_here(
                case("process::apparmor_where_there_is_none", ROOT, apparmor),
                no_apparmor().is_none().then_some("AppArmor is there"),
            ),
        ),
        shows(
            &["process.selinuxLabel", "linux.mountLabel"],
            not_here(
                case("process::selinux_where_there_is_none", ROOT, selinux),
                no_selinux().is_none().then_some("SELinux is there"),
            ),
        ),
        shows(
            &["process.scheduler.policy", "process.scheduler.nice"],
            ours("process::scheduler_batch", ROOT, batch),
        ),
        shows(
            &["process.scheduler.priority", "process.scheduler.flags"],
            not_here(
                ours("process::scheduler_fifo", ROOT, fifo),
                (!may_be_real_time()).then_some("real time is not allowed here"),
            ),
        ),
        shows(
            &[
                "process.scheduler.runtime",
                "process.scheduler.deadline",
                "process.scheduler.period",
            ],
            not_here(
                ours("process::scheduler_deadline", ROOT, deadline),
                (!may_be_real_time()).then_some("real time is not allowed here"),
            ),
        ),
        shows(
            &["process.ioPriority.class", "process.ioPriority.priority"],
            ours("process::io_priority", ROOT, io_priority),
        ),
        shows(
            &["process.execCPUAffinity.initial", "process.execCPUAffinity.final"],
            not_here(ours("process::exec_cpu_affinity", ROOT, affinity), one_cpu),
        ),
    ]
}

/// How many processors these tests may use.
fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

fn may_be_real_time() -> bool {
    host().root && Run::new("chrt").args(["-f", "1", "true"]).success().is_ok()
}

fn version(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.sh("true")?;
    bundle.set("ociVersion", "1.2.3-dev");
    if crate::bundle::other().is_none() {
        bundle.sh("true")?;
    }
    bundle.set("ociVersion", "not a version");
    if crate::bundle::other().is_none() {
        assert!(bundle.refuses("true")?.contains("ociVersion"));
    }
    Ok(())
}

fn args_and_env(bundle: &mut Bundle) -> Result<(), Failed> {
    let awkward = "a b'c\"d\\n\te*ü";
    bundle
        .set("process.env", json!(["PATH=/bin", format!("ODD={awkward}"), "EMPTY="]))
        .set("process.args", json!(["env"]));
    let seen = bundle.run()?.success()?.stdout;
    let mut lines: Vec<_> = seen.lines().filter(|line| !line.starts_with("HOME=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["EMPTY=", &*format!("ODD={awkward}"), "PATH=/bin"]);
    // HOME is the runtime's to add (runc, crun), from the container's own /etc/passwd.
    assert!(seen.contains("HOME=/root\n"), "{seen}");
    bundle.set("process.args", json!(["printf", "[%s]", "", awkward, "-n"]));
    assert_eq!(bundle.run()?.success()?.stdout, format!("[][{awkward}][-n]"));
    bundle.set("process.args", json!(["false"]));
    bundle.run()?.code(1)?;
    bundle.set("process.args", json!(["sh", "-c", "kill -9 $$"]));
    // PID 1 does not die of a signal of its own.
    bundle.run()?.code(0)?;
    bundle.set("process.args", json!([]));
    assert!(bundle.run()?.done()?.stderr.contains("args"), "args must not be empty");
    Ok(())
}

fn missing_program(bundle: &mut Bundle) -> Result<(), Failed> {
    for program in ["no-such-program", "/no/such/program", "/etc", "/etc/passwd"] {
        bundle.set("process.args", json!([program]));
        let done = bundle.run()?.done()?;
        if done.status.success() || !done.stderr.contains(program) {
            return Err(done.failed("an error that names the program"));
        }
        bundle.nothing_left()?;
        // Found out at create, before anybody starts it.
        bundle.create_fails()?;
        bundle.nothing_left()?;
    }
    Ok(())
}

fn cwd(bundle: &mut Bundle) -> Result<(), Failed> {
    assert_eq!(bundle.set("process.cwd", "/home").says("pwd")?, "/home");
    // It is made where it is missing, as runc does.
    assert_eq!(bundle.set("process.cwd", "/made/for/it").says("pwd")?, "/made/for/it");
    bundle.set("process.cwd", "relative").refuses("pwd")?;
    bundle.set("process.cwd", "/etc/passwd").refuses("pwd")?;
    // A directory that only its owner may enter, who is the user of the process.
    if host().root {
        bundle.sh("true").ok();
        std::fs::create_dir(bundle.rootfs().join("own"))?;
        std::os::unix::fs::chown(bundle.rootfs().join("own"), Some(7), Some(7))?;
        bundle.set("process.user", json!({"uid": 7, "gid": 7})).set("process.cwd", "/own");
        assert_eq!(bundle.says("pwd")?, "/own");
    }
    Ok(())
}

/// What is written to a terminal until nobody has it open any more.
fn read_all(master: OwnedFd) -> String {
    let mut file = File::from(master);
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    // EIO is how a terminal says that.
    while let Ok(count @ 1..) = file.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}

fn on_a_terminal(bundle: &mut Bundle, script: &str) -> Result<String, Failed> {
    let listener = Listener::at(bundle.join("console"))?;
    bundle.set("process.terminal", true).script(script);
    let done = bundle.create_with(&["--console-socket", &listener.path()])?;
    if !done.status.success() {
        return Err(done.failed(&bundle.errors()));
    }
    let (_, master) = listener.one()?;
    bundle.verb("start")?;
    let text = read_all(master);
    bundle.end()?;
    Ok(text)
}

fn by_socket(bundle: &mut Bundle) -> Result<(), Failed> {
    let script = "tty; test -t 0 && test -t 1 && test -t 2 && echo all; echo to the console \
                  >/dev/console; ls -l /dev/console | cut -c1; \
                  echo to the terminal >/dev/tty; ls -1 /dev/pts";
    let text = on_a_terminal(bundle, script)?;
    assert_eq!(text, "/dev/pts/0\nall\nto the console\nc\nto the terminal\n0\nptmx\n");
    // The terminal is the user's.
    bundle.set("process.user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(on_a_terminal(bundle, "stat -c %u $(tty); echo >/dev/tty")?, "1000\n\n");
    Ok(())
}

fn console_size(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.consoleSize", json!({"height": 33, "width": 101}));
    assert_eq!(on_a_terminal(bundle, "stty size")?, "33 101\n");
    // Ignored where there is no terminal.
    bundle.set("process.terminal", false);
    assert_eq!(bundle.says("echo fine")?, "fine");
    Ok(())
}

fn in_the_foreground(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.terminal", true);
    bundle.script(
        "until stty size; do sleep 0.01; done; read line; echo \"<$line>\"; trap 'stty size; exit 3' WINCH; \
                   echo ready; while :; do sleep 0.05; done",
    );
    let mut terminal = Terminal::spawn(bundle.run()?.into_command(), 31, 97)?;
    terminal.wait_for("31 97")?;
    terminal.type_keys("hello\r")?;
    terminal.wait_for("<hello>")?;
    terminal.wait_for("ready")?;
    terminal.resize(42, 111)?;
    terminal.wait_for("42 111")?;
    assert_eq!(terminal.finish()?.code(), Some(3));
    Ok(())
}

fn needs_a_socket(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.terminal", true);
    let said = bundle.create_fails()?;
    assert!(said.contains("console"), "{said}");
    bundle.nothing_left()?;
    bundle.set("process.terminal", false);
    let listener = Listener::at(bundle.join("console"))?;
    let done = bundle.create_with(&["--console-socket", &listener.path()])?;
    assert!(!done.status.success(), "a socket without a terminal has to be an error");
    Ok(())
}

fn user_and_groups(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.user", json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 6, 70000]}));
    let script = "grep -E '^(Uid|Gid|Groups)' /proc/self/status";
    let seen = bundle.says(script)?;
    let lines: Vec<Vec<&str>> =
        seen.lines().map(|line| line.split_whitespace().collect()).collect();
    let wanted: [Vec<&str>; 3] = [
        vec!["Uid:", "1000", "1000", "1000", "1000"],
        vec!["Gid:", "1001", "1001", "1001", "1001"],
        vec!["Groups:", "5", "6", "70000"],
    ];
    assert_eq!(lines, wanted);
    // Without any, none of the runtime's own stay.
    bundle.set("process.user", json!({"uid": 1000, "gid": 1001}));
    assert_eq!(bundle.says("grep ^Groups /proc/self/status")?.trim(), "Groups:");
    // A user who may not write to the streams still can (runc gives them to them).
    assert_eq!(bundle.says("echo out >/dev/stdout")?, "out");
    Ok(())
}

fn umask(bundle: &mut Bundle) -> Result<(), Failed> {
    assert_eq!(bundle.says("umask")?, "0022");
    assert_eq!(bundle.set("process.user.umask", 0o027).says("umask")?, "0027");
    assert_eq!(bundle.set("process.user.umask", 0).says("umask; > f; stat -c %a f")?, "0000\n666");
    Ok(())
}

/// The five sets as numbers: bounding, effective, inheritable, permitted, ambient.
fn sets(status: &str) -> [u64; 5] {
    ["CapBnd", "CapEff", "CapInh", "CapPrm", "CapAmb"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX)
    })
}

const CHOWN: u64 = 1 << 0;
const KILL: u64 = 1 << 5;
const NET_RAW: u64 = 1 << 13;

/// All five, for one without root's id: there, execve keeps what is ambient.
fn capabilities(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.user", json!({"uid": 1000, "gid": 1000})).set(
        "process.capabilities",
        json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
            "effective": ["CAP_KILL"],
            "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
            "permitted": ["CAP_KILL", "CAP_NET_RAW"],
            "ambient": ["CAP_KILL"],
        }),
    );
    let status = bundle.says("cat /proc/self/status")?;
    let wanted = [CHOWN | KILL | NET_RAW, KILL, KILL | NET_RAW, KILL, KILL];
    assert_eq!(sets(&status), wanted);
    // Root gets what is bounding, and inherits nothing (CVE-2022-29162).
    bundle.set("process.user", json!({"uid": 0, "gid": 0})).set(
        "process.capabilities",
        json!({"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}),
    );
    assert_eq!(sets(&bundle.says("cat /proc/self/status")?), [KILL, KILL, 0, KILL, 0]);
    Ok(())
}

fn no_capabilities(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.capabilities", json!({}));
    assert_eq!(sets(&bundle.says("cat /proc/self/status")?), [0; 5]);
    Ok(())
}

/// "Any value which cannot be mapped to a relevant kernel interface ... MUST be logged as a
/// warning by the runtime. Runtimes SHOULD NOT fail".
fn unknown_capability(bundle: &mut Bundle) -> Result<(), Failed> {
    let list = json!(["CAP_KILL", "CAP_NO_SUCH_THING"]);
    bundle.set(
        "process.capabilities",
        json!({"bounding": list.clone(), "effective": list.clone(), "permitted": list}),
    );
    let done = bundle.sh("cat /proc/self/status")?;
    assert_eq!(sets(&done.stdout)[0], KILL);
    done.complains("CAP_NO_SUCH_THING")?;
    Ok(())
}

fn no_new(bundle: &mut Bundle) -> Result<(), Failed> {
    let script = "grep NoNewPrivs /proc/self/status";
    assert_eq!(bundle.set("process.noNewPrivileges", true).says(script)?, "NoNewPrivs:\t1");
    assert_eq!(bundle.set("process.noNewPrivileges", false).says(script)?, "NoNewPrivs:\t0");
    Ok(())
}

fn rlimits(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set(
        "process.rlimits",
        json!([
            {"type": "RLIMIT_NOFILE", "hard": 200, "soft": 100},
            {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
            {"type": "RLIMIT_STACK", "hard": 4_194_304, "soft": 2_097_152},
        ]),
    );
    let seen = bundle.says("grep -E '^Max (open files|core|stack)' /proc/self/limits")?;
    let lines: Vec<_> = seen.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(&lines[0][3..5], ["2097152", "4194304"], "{seen}");
    assert_eq!(&lines[1][4..6], ["0", "0"], "{seen}");
    assert_eq!(&lines[2][3..5], ["100", "200"], "{seen}");
    bundle.set("process.rlimits", json!([{"type": "RLIMIT_NO_SUCH", "hard": 1, "soft": 1}]));
    assert!(bundle.refuses("true")?.contains("RLIMIT_NO_SUCH"));
    bundle.set("process.rlimits", json!([{"type": "RLIMIT_NOFILE", "hard": 1, "soft": 2}]));
    bundle.refuses("true").map(|_| ())
}

/// "If rlimits contains duplicated entries with same type, the runtime MUST generate an error".
fn rlimit_twice(bundle: &mut Bundle) -> Result<(), Failed> {
    let one = json!({"type": "RLIMIT_NOFILE", "hard": 200, "soft": 100});
    bundle.set("process.rlimits", json!([one, one]));
    assert!(bundle.refuses("true")?.contains("RLIMIT_NOFILE"));
    Ok(())
}

fn oom_score_adj(bundle: &mut Bundle) -> Result<(), Failed> {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj")?;
    let script = "cat /proc/self/oom_score_adj";
    assert_eq!(bundle.says(script)?, own.trim_end(), "unset, it is the runtime's own");
    assert_eq!(bundle.set("process.oomScoreAdj", 789).says(script)?, "789");
    Ok(())
}

fn apparmor(bundle: &mut Bundle) -> Result<(), Failed> {
    let said = bundle.set("process.apparmorProfile", "some-profile").refuses("true")?;
    assert!(said.to_lowercase().contains("apparmor"), "{said}");
    bundle.set("process.apparmorProfile", "");
    bundle.sh("true").map(|_| ())
}

fn selinux(bundle: &mut Bundle) -> Result<(), Failed> {
    let label = "system_u:system_r:container_t:s0";
    let said = bundle.set("process.selinuxLabel", label).refuses("true")?;
    assert!(said.to_lowercase().contains("selinux"), "{said}");
    bundle.unset("process.selinuxLabel");
    if crate::bundle::other().is_none() {
        let said = bundle.set("linux.mountLabel", label).refuses("true")?;
        assert!(said.to_lowercase().contains("selinux"), "{said}");
    }
    bundle.set("linux.mountLabel", "").set("process.selinuxLabel", "");
    bundle.sh("true").map(|_| ())
}

/// A field of /proc/PID/stat, counted as in proc(5), of a shell and of its child.
fn stat(bundle: &mut Bundle, fields: &[usize]) -> Result<[Vec<String>; 2], Failed> {
    // `true`, or the shell would become the cat itself.
    let seen = bundle.says("cat /proc/$$/stat /proc/self/stat; true")?;
    let of = |line: &str| -> Vec<String> {
        // The name may hold anything, spaces too.
        let rest = line.rsplit_once(')').map_or("", |(_, rest)| rest);
        let all: Vec<_> = rest.split_whitespace().collect();
        fields.iter().map(|field| all[field - 3].to_owned()).collect()
    };
    let mut lines = seen.lines();
    Ok([of(lines.next().unwrap_or("")), of(lines.next().unwrap_or(""))])
}

const NICE: usize = 19;
const RT_PRIORITY: usize = 40;
const POLICY: usize = 41;

fn batch(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.scheduler", json!({"policy": "SCHED_BATCH", "nice": 7}));
    assert_eq!(stat(bundle, &[POLICY, NICE])?[0], ["3", "7"]);
    bundle.set("process.scheduler", json!({"policy": "SCHED_IDLE"}));
    assert_eq!(stat(bundle, &[POLICY])?[0], ["5"]);
    bundle.set("process.scheduler", json!({"policy": "SCHED_OTHER", "nice": 3}));
    assert_eq!(stat(bundle, &[POLICY, NICE])?[0], ["0", "3"]);
    bundle.set("process.scheduler", json!({"policy": "SCHED_NO_SUCH"}));
    assert!(bundle.refuses("true")?.contains("SCHED_NO_SUCH"));
    Ok(())
}

fn fifo(bundle: &mut Bundle) -> Result<(), Failed> {
    // In a new cgroup of version 1 nobody has any of it.
    if Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists() {
        bundle.set("linux.resources.cpu", json!({"realtimeRuntime": 10000}));
    }
    bundle.set("process.scheduler", json!({"policy": "SCHED_FIFO", "priority": 12}));
    let [own, child] = stat(bundle, &[POLICY, RT_PRIORITY])?;
    assert_eq!((own, child), (vec!["1".into(), "12".into()], vec!["1".into(), "12".into()]));
    // Children do not get it.
    bundle.set("process.scheduler.flags", json!(["SCHED_FLAG_RESET_ON_FORK"]));
    bundle.set("process.scheduler.policy", "SCHED_RR");
    let [own, child] = stat(bundle, &[POLICY, RT_PRIORITY])?;
    assert_eq!((own, child), (vec!["2".into(), "12".into()], vec!["0".into(), "0".into()]));
    Ok(())
}

fn deadline(bundle: &mut Bundle) -> Result<(), Failed> {
    // Only with this flag may its processes start others.
    bundle.set(
        "process.scheduler",
        json!({"policy": "SCHED_DEADLINE", "runtime": 11_000_000, "deadline": 22_000_000,
               "period": 33_000_000, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}),
    );
    bundle.ready("true")?;
    assert_eq!(
        bundle.proc("stat")?.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(39)),
        Some("6")
    );
    let shown = Run::new("chrt").args(["-p", &bundle.pid()?.to_string()]).success()?;
    shown.says("SCHED_DEADLINE")?.says("11000000/22000000/33000000")?;
    Ok(())
}

fn io_priority(bundle: &mut Bundle) -> Result<(), Failed> {
    let mut priority = |class: &str, level: i32| -> Result<String, Failed> {
        bundle.set("process.ioPriority", json!({"class": class, "priority": level}));
        bundle.ready("true")?;
        let shown = Run::new("ionice").args(["-p", &bundle.pid()?.to_string()]).success()?;
        bundle.end()?;
        std::fs::remove_file(bundle.join("out"))?;
        Ok(shown.stdout.trim().to_owned())
    };
    assert_eq!(priority("IOPRIO_CLASS_BE", 6)?, "best-effort: prio 6");
    assert_eq!(priority("IOPRIO_CLASS_RT", 2)?, "realtime: prio 2");
    assert_eq!(priority("IOPRIO_CLASS_IDLE", 0)?, "idle");
    Ok(())
}

fn affinity(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.execCPUAffinity", json!({"initial": "0", "final": "1"}));
    bundle.ready("grep Cpus_allowed_list /proc/self/status")?;
    // It is for exec alone.
    assert!(bundle.output().contains('0'), "{}", bundle.output());
    let script = "grep Cpus_allowed_list /proc/self/status";
    bundle.exec(&[], &["sh", "-c", script]).success()?.says("Cpus_allowed_list:\t1\n")?;
    bundle.end()?;
    std::fs::remove_file(bundle.join("out"))?;
    // Without a last word the first stays.
    bundle.set("process.execCPUAffinity", json!({"initial": "1"}));
    bundle.ready("true")?;
    bundle.exec(&[], &["sh", "-c", script]).success()?.says("Cpus_allowed_list:\t1\n")?;
    bundle.end()?;
    bundle.set("process.execCPUAffinity", json!({"initial": "not a list"}));
    bundle.set("process.args", Value::from(vec!["true"]));
    assert!(bundle.run()?.done()?.stderr.contains("execCPUAffinity"));
    Ok(())
}
