//! Credentials changed for real, and looked at from inside.

use std::fs;

use ch01_clone::{IdMaps, Namespace, Namespaces, Plan, Program, steps};
use ch07_confine::{Abi, credentials};
use dockster_tests::{Done, Failed, Need, Run, Trial, trial};
use nix::errno::Errno;
use oci_spec::runtime::{Process, Spec};
use serde_json::{Value, json};

/// The variable that says which part this program plays.
pub const PART: &str = "DOCKSTER_TEST_PART";
/// What `play` makes a process of.
const CONFIG: &str = "DOCKSTER_TEST_CONFIG";

pub fn trials() -> Vec<Trial> {
    let root = [Need::Root];
    let user = [Need::UserNamespaces];
    let of =
        |name: &str, needs: &[Need], test: fn() -> Result<(), Failed>| trial(name, needs, test);
    vec![
        of("change_sets_of_root", &root, sets_of_root),
        of("change_sets_of_a_user", &root, sets_of_a_user),
        of("change_nothing_more_is_inheritable", &root, inheritable),
        of("change_capabilities_left_out", &root, no_capabilities),
        of("change_what_cannot_be_granted", &root, not_granted),
        of("change_ids_and_groups", &root, ids),
        of("change_order_with_no_new_privs", &root, order_with),
        of("change_order_without_no_new_privs", &root, order_without),
        of("change_filter_takes_sys_admin", &root, filter_takes_sys_admin),
        of("change_in_a_user_namespace", &user, in_a_user_namespace),
        of("change_to_an_id_that_is_not_there", &user, unmapped),
        of("change_steps", &user, told),
        of("change_label_of_apparmor", &[], apparmor),
        of("filter_at_work", &user, at_work),
        of("filter_that_kills", &user, kills),
        of("filter_for_the_other_architecture", &user, other_architecture),
        of("filter_a_whole_profile_at_work", &user, whole_profile),
    ]
}

/// Plays a part in a process of its own.
pub fn play(part: &str) {
    match part {
        "live" => live(),
        "call" => std::env::args().skip(1).for_each(|call| make(&call)),
        #[cfg(target_arch = "x86_64")]
        "int80" => println!("getpid by int 0x80: {}", int80(20) > 0),
        _ => panic!("no such part: {part}"),
    }
}

/// Becomes what the configuration says: clone, change, execve.
fn live() {
    let config = std::env::var(CONFIG).expect("a configuration");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    let process: Process = serde_json::from_value(config["process"].clone()).expect("a process");
    let spec: Spec = serde_json::from_value(config["spec"].clone()).expect("a spec");
    let own = config["spec"]["linux"]["namespaces"].is_array();
    if config["told"] == true {
        steps::observe(Box::new(|step, _| {
            println!("{}", step.name);
            Ok(())
        }));
    }
    let plan = Plan {
        namespaces: if own { Namespaces::of([Namespace::User]) } else { Namespaces::NONE },
        ids: own.then(|| if config["one"] == true { IdMaps::one() } else { IdMaps::best() }),
        cgroup: None,
    };
    let ended = credentials::prepare(&spec, &process).and_then(|change| {
        let env = std::env::vars().filter(|(name, _)| name != PART);
        let mut env: Vec<_> = env.map(|(name, value)| format!("{name}={value}")).collect();
        env.extend(config["part"].as_str().map(|part| format!("{PART}={part}")));
        let program = Program::new(process.args().clone().unwrap_or_default(), env)?;
        let waiting = plan.spawn(|gate| {
            let found = program.find()?;
            change(gate)?;
            found.exec(gate)
        })?;
        waiting.start()?.0.wait()
    });
    match ended {
        Ok(status) => println!("{status:?}"),
        Err(error) => {
            println!("{error}");
            error.hint.iter().for_each(|hint| println!("{hint}"));
        }
    }
}

/// Makes a system call, `NAME` or `NAME=ARGUMENT`, and says what came of it.
fn make(call: &str) {
    let (name, argument) = call.split_once('=').unwrap_or((call, "0"));
    let argument: u64 = argument.parse().expect("a number");
    let calls = Abi::NATIVE.calls();
    let number = calls.iter().find(|(_, n)| *n == name).expect("a call").0;
    // SAFETY: the calls of these tests get no pointers that are not null.
    let done = unsafe { libc::syscall(i64::from(number) as libc::c_long, argument, 0, 0, 0, 0, 0) };
    match done {
        -1 => println!("{name}: {:?}", Errno::last()),
        _ => println!("{name}: done"),
    }
}

/// A 32-bit system call without arguments.
#[cfg(target_arch = "x86_64")]
fn int80(number: u64) -> i64 {
    let result: i64;
    // SAFETY: the call gets no arguments; the registers that it changes are named.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") number => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    result
}

/// A life to come: `process` and `linux` of a configuration.
struct Life {
    config: Value,
    before: Vec<String>,
}

impl Life {
    fn new(process: Value) -> Self {
        let user = json!({"uid": 0, "gid": 0});
        let mut all = json!({"cwd": "/", "user": user, "args": ["cat", "/proc/self/status"]});
        merge(&mut all, process);
        let spec = json!({"ociVersion": "1.2.0", "linux": {}});
        Self { config: json!({"process": all, "spec": spec}), before: vec![] }
    }

    fn seccomp(mut self, seccomp: Value) -> Self {
        self.config["spec"]["linux"]["seccomp"] = seccomp;
        self
    }

    /// In a user namespace of its own.
    fn user_namespace(mut self) -> Self {
        self.config["spec"]["linux"]["namespaces"] = json!([{"type": "user"}]);
        self
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.config[name] = value;
        self
    }

    /// Makes these system calls.
    fn calls(mut self, calls: &[&str]) -> Result<Self, Failed> {
        let this = std::env::current_exe()?.to_string_lossy().into_owned();
        let args: Vec<_> = std::iter::once(&*this).chain(calls.iter().copied()).collect();
        self.config["process"]["args"] = json!(args);
        Ok(self.with("part", json!("call")))
    }

    /// Started by setpriv(1) with these options.
    fn after(mut self, options: &[&str]) -> Self {
        self.before = options.iter().map(|option| (*option).to_owned()).collect();
        self
    }

    fn run(self) -> Result<Done, Failed> {
        let this = std::env::current_exe()?;
        let run = match self.before.is_empty() {
            true => Run::new(this),
            false => Run::new("setpriv").args(&self.before).arg("--").arg(this),
        };
        run.env(PART, "live").env(CONFIG, self.config.to_string()).success()
    }

    /// The lines of /proc/self/status that it ends with.
    fn status(self) -> Result<Status, Failed> {
        let done = self.run()?;
        done.says("Exited(0)")?;
        Ok(Status(done))
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

struct Status(Done);

impl Status {
    /// `NAME:` and its values, with one space between.
    #[track_caller]
    fn has(&self, name: &str, value: &str) {
        let line =
            self.0.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let words: Vec<_> = line.unwrap_or("no such line").split_whitespace().collect();
        assert_eq!(words.join(" "), value, "{name} in\n{}", self.0.stdout);
    }

    #[track_caller]
    fn capabilities(&self, sets: [(&str, u64); 5]) {
        sets.iter().for_each(|(name, bits)| self.has(name, &format!("{bits:016x}")));
    }
}

const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const NET_RAW: u64 = 1 << 13;

/// Inh, Prm, Eff, Bnd, Amb.
fn five(sets: [u64; 5]) -> [(&'static str, u64); 5] {
    let names = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    std::array::from_fn(|i| (names[i], sets[i]))
}

fn allow(rule: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
}

/// At the execve root gets what is inheritable or in the bounding set.
fn sets_of_root() -> Result<(), Failed> {
    let capabilities = json!({"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"]});
    let status = Life::new(json!({"capabilities": capabilities})).status()?;
    let both = CHOWN | KILL;
    status.capabilities(five([0, both, both, both, 0]));
    status.has("NoNewPrivs", "0");
    status.has("Seccomp", "0");
    let none = Life::new(json!({"capabilities": {}})).status()?;
    none.capabilities(five([0; 5]));
    Ok(())
}

/// At the execve another user gets what is ambient.
fn sets_of_a_user() -> Result<(), Failed> {
    let three = json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]);
    let two = json!(["CAP_CHOWN", "CAP_KILL"]);
    let capabilities = json!({"bounding": three, "effective": three, "permitted": three,
        "inheritable": two, "ambient": ["CAP_CHOWN"]});
    let user = json!({"uid": 1000, "gid": 1000});
    let status = Life::new(json!({"user": user, "capabilities": capabilities})).status()?;
    status.capabilities(five([CHOWN | KILL, CHOWN, CHOWN, CHOWN | KILL | NET_RAW, CHOWN]));
    // What is not inheritable cannot be ambient: it is left out, as runc does.
    let capabilities = json!({"bounding": three, "effective": three, "permitted": three,
        "ambient": ["CAP_NET_RAW"]});
    let status = Life::new(json!({"user": user, "capabilities": capabilities})).status()?;
    status.capabilities(five([0, 0, 0, CHOWN | KILL | NET_RAW, 0]));
    Ok(())
}

/// CVE-2022-24769: what the runtime itself has as inheritable stays outside.
fn inheritable() -> Result<(), Failed> {
    let capabilities = json!({"bounding": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]});
    let life = Life::new(json!({"capabilities": capabilities}));
    let status = life.after(&["--inh-caps=+chown,+kill", "--ambient-caps=+chown"]).status()?;
    status.capabilities(five([0, CHOWN, CHOWN, CHOWN, 0]));
    Ok(())
}

/// As runc: what the change of the user leaves, and no less.
fn no_capabilities() -> Result<(), Failed> {
    let ours = fs::read_to_string("/proc/self/status")?;
    let of =
        |name: &str| ours.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
    let status = Life::new(json!({})).status()?;
    status.has("CapBnd", of("CapBnd:"));
    status.has("CapEff", of("CapBnd:"));
    let user = json!({"uid": 1000, "gid": 1000});
    // With a filter as well, which takes a capability of root's.
    let rule = json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"});
    let status = Life::new(json!({"user": user})).seccomp(allow(rule)).status()?;
    status.has("CapEff", "0000000000000000");
    status.has("CapPrm", "0000000000000000");
    status.has("CapBnd", of("CapBnd:"));
    status.has("Seccomp", "2");
    Ok(())
}

fn not_granted() -> Result<(), Failed> {
    let two = json!(["CAP_SYS_TIME", "CAP_CHOWN"]);
    let capabilities = json!({"bounding": two, "effective": two, "permitted": two});
    let life = Life::new(json!({"capabilities": capabilities}));
    let status = life.after(&["--bounding-set=-sys_time"]).status()?;
    status.capabilities(five([0, CHOWN, CHOWN, CHOWN, 0]));
    status.0.complains("warning: capabilities that cannot be granted: {CAP_SYS_TIME}")?;
    Ok(())
}

fn ids() -> Result<(), Failed> {
    let user = json!({"uid": 1234, "gid": 2345, "additionalGids": [7, 3456]});
    let status = Life::new(json!({"user": user, "capabilities": {}})).status()?;
    status.has("Uid", "1234 1234 1234 1234");
    status.has("Gid", "2345 2345 2345 2345");
    status.has("Groups", "7 3456");
    // No groups means none: those of root stay outside.
    let life = Life::new(json!({"user": {"uid": 1, "gid": 2}, "capabilities": {}}));
    life.after(&["--groups=4,5"]).status()?.has("Groups", "");
    Ok(())
}

/// Filter last of all: it may forbid all that came before.
const ALL_BUT_THE_LAST: [&str; 6] =
    ["setgroups", "setresgid", "setresuid", "capset", "prctl", "seccomp"];

fn order_with() -> Result<(), Failed> {
    let ambient = json!(["CAP_CHOWN"]);
    let capabilities = json!({"bounding": ambient, "effective": ambient, "permitted": ambient,
        "inheritable": ambient, "ambient": ambient});
    let user = json!({"uid": 1000, "gid": 1000});
    let rule = json!({"names": ALL_BUT_THE_LAST, "action": "SCMP_ACT_KILL_PROCESS"});
    let process = json!({"user": user, "capabilities": capabilities, "noNewPrivileges": true});
    let status = Life::new(process).seccomp(allow(rule)).status()?;
    status.capabilities(five([CHOWN; 5]));
    status.has("NoNewPrivs", "1");
    status.has("Seccomp", "2");
    status.has("Seccomp_filters", "1");
    Ok(())
}

/// Without it the filter takes CAP_SYS_ADMIN, which the final sets do not have.
fn order_without() -> Result<(), Failed> {
    for uid in [0, 1000] {
        let user = json!({"uid": uid, "gid": uid});
        let rule = json!({"names": ["setgroups", "setresgid", "setresuid", "seccomp"],
            "action": "SCMP_ACT_KILL_PROCESS"});
        let process = json!({"user": user, "capabilities": {"bounding": ["CAP_CHOWN"]}});
        let status = Life::new(process).seccomp(allow(rule)).status()?;
        let left = if uid == 0 { CHOWN } else { 0 };
        status.capabilities(five([0, left, left, CHOWN, 0]));
        status.has("NoNewPrivs", "0");
        status.has("Seccomp", "2");
    }
    Ok(())
}

fn filter_takes_sys_admin() -> Result<(), Failed> {
    let rule = json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"});
    let life = |process| {
        Life::new(process).seccomp(allow(rule.clone())).after(&["--bounding-set=-sys_admin"])
    };
    let done = life(json!({})).run()?;
    done.says("seccomp: seccomp(SECCOMP_SET_MODE_FILTER, 0x4, ")?;
    done.says("EACCES (Permission denied)\nwithout process.noNewPrivileges")?;
    life(json!({"noNewPrivileges": true})).status()?.has("Seccomp", "2");
    Ok(())
}

/// The same, for whoever runs this: all capabilities are there inside.
fn in_a_user_namespace() -> Result<(), Failed> {
    let ambient = json!(["CAP_CHOWN", "CAP_SYS_RESOURCE"]);
    let both = CHOWN | 1 << 24;
    let capabilities = json!({"bounding": ambient, "effective": ambient, "permitted": ambient,
        "inheritable": ambient, "ambient": ambient});
    let rule = json!({"names": ["setgroups", "setresuid"], "action": "SCMP_ACT_KILL_PROCESS"});
    for one in [true, false] {
        for nnp in [true, false] {
            let process = json!({"capabilities": capabilities, "noNewPrivileges": nnp});
            let life = Life::new(process).seccomp(allow(rule.clone())).user_namespace();
            let status = life.with("one", json!(one)).status()?;
            status.capabilities(five([both; 5]));
            status.has("NoNewPrivs", if nnp { "1" } else { "0" });
            status.has("Seccomp", "2");
            assert_eq!(status.0.stderr, "");
        }
    }
    Ok(())
}

fn unmapped() -> Result<(), Failed> {
    for user in [json!({"uid": 5, "gid": 0}), json!({"uid": 0, "gid": 5})] {
        let life = Life::new(json!({"user": user})).user_namespace().with("one", json!(true));
        let done = life.run()?;
        done.says("credentials: setres")?.says("EINVAL")?.says("a range in /etc/subuid")?;
    }
    Ok(())
}

/// What `--explain` would tell, in the order of the module's page.
fn told() -> Result<(), Failed> {
    let steps = |nnp: bool| -> Result<String, Failed> {
        let process = json!({"capabilities": {}, "noNewPrivileges": nnp, "args": ["true"]});
        let rule = json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"});
        let life = Life::new(process).seccomp(allow(rule)).user_namespace();
        let done = life.with("told", json!(true)).status()?.0;
        let ours = ["bounding-set", "credentials", "capabilities", "no_new_privs", "seccomp"];
        let told = done.stdout.lines().filter(|line| ours.contains(line));
        Ok(told.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(steps(true)?, "bounding-set credentials capabilities no_new_privs seccomp");
    assert_eq!(steps(false)?, "bounding-set credentials seccomp capabilities");
    Ok(())
}

/// Where AppArmor is on, as in the machine of tests/vm.
fn apparmor() -> Result<(), Failed> {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if enabled.is_ok_and(|said| said.starts_with('Y')) {
        let life = |profile: &str| {
            let args = ["cat", "/proc/self/attr/current"];
            Life::new(json!({"apparmorProfile": profile, "args": args})).run()
        };
        assert_eq!(life("unconfined")?.stdout, "unconfined\nExited(0)\n");
        let done = life("no-such-profile")?;
        done.says("label: write(/proc/thread-self/[\"attr/apparmor/exec\", \"attr/exec\"], ")?;
        done.says("ENOENT")?;
    }
    Ok(())
}

fn at_work() -> Result<(), Failed> {
    let is = |value: u64| json!([{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]);
    let rules = json!([
        {"names": ["umask"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["sync", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
        {"names": ["alarm", "setpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 6, "args": is(77)},
    ]);
    let life = Life::new(json!({"noNewPrivileges": true})).user_namespace();
    let life = life.seccomp(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
    let done = life.calls(&["getppid", "umask", "sync", "setpgid=77", "setpgid=0"])?.run()?;
    done.says("getppid: done\numask: EPERM\nsync: EOPNOTSUPP\nsetpgid: ENXIO\nsetpgid: done\n")?;

    // Closed but for what a program needs; what is newer than that is not there.
    let mut names: Vec<_> = Abi::NATIVE.calls().into_iter().map(|(_, name)| name).collect();
    names.retain(|name| !["umask", "mseal", "statmount"].contains(name));
    let newest = names.iter().position(|name| *name == "futex_requeue").ok_or("no such call")?;
    names.truncate(newest + 1);
    let rules = json!([{"names": names, "action": "SCMP_ACT_ALLOW"}]);
    let life = Life::new(json!({"noNewPrivileges": true})).user_namespace();
    let life = life.seccomp(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
    let done = life.calls(&["umask", "statmount", "mseal"])?.run()?;
    done.says("umask: EPERM\nstatmount: ENOSYS\nmseal: ENOSYS\nExited(0)\n")?;
    Ok(())
}

fn kills() -> Result<(), Failed> {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        let rule = json!({"names": ["umask"], "action": action});
        let life = Life::new(json!({"noNewPrivileges": true})).user_namespace();
        let done = life.seccomp(allow(rule)).calls(&["getppid", "umask", "getppid"])?.run()?;
        assert_eq!(done.stdout, "getppid: done\nSignaled(31)\n", "{action}");
    }
    Ok(())
}

fn other_architecture() -> Result<(), Failed> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    let this = std::env::current_exe()?;
    let of = |architectures: &[&str], rules: Value| {
        let life = Life::new(json!({"noNewPrivileges": true, "args": [this]}));
        let life = life.user_namespace().with("part", json!("int80"));
        let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures,
            "syscalls": rules});
        life.seccomp(seccomp).run()
    };
    let free = of(&["SCMP_ARCH_X86"], json!([]))?;
    // A kernel without 32-bit programs ends it by another signal.
    if free.stdout.contains("Signaled(11)") {
        return Ok(());
    }
    free.says("getpid by int 0x80: true\nExited(0)\n")?;
    assert_eq!(of(&[], json!([]))?.stdout, "Signaled(31)\n", "not listed");
    // getpid is 20 to a 32-bit program. That is writev to a 64-bit one.
    let rule = |name: &str| json!([{"names": [name], "action": "SCMP_ACT_ERRNO"}]);
    of(&["SCMP_ARCH_X86"], rule("getpid"))?.says("getpid by int 0x80: false")?;
    Ok(())
}

/// The profile that podman has installed, where it is: programs run under it.
fn whole_profile() -> Result<(), Failed> {
    let Ok(text) = fs::read("/usr/share/containers/seccomp.json") else { return Ok(()) };
    let mut seccomp: Value = serde_json::from_slice(&text)?;
    seccomp["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    let rules = seccomp["syscalls"].as_array_mut().ok_or("no rules")?;
    let caps = |rule: &Value| rule["includes"]["caps"].as_array().is_some_and(|c| !c.is_empty());
    rules.retain(|rule| !caps(rule));
    for nnp in [true, false] {
        let args = json!(["sh", "-c", "ls / | wc -l; grep Seccomp: /proc/self/status"]);
        let process = json!({"capabilities": {}, "noNewPrivileges": nnp, "args": args});
        let life = Life::new(process).seccomp(seccomp.clone()).user_namespace();
        life.run()?.says("Seccomp:\t2\nExited(0)\n")?;
        let process = json!({"capabilities": {}, "noNewPrivileges": nnp});
        let life = Life::new(process).seccomp(seccomp.clone()).user_namespace();
        let done = life.calls(&["getpid", "kexec_file_load", "acct", "mount"])?.run()?;
        done.says("getpid: done\nkexec_file_load: EPERM\nacct: EPERM\n")?.says("Exited(0)")?;
    }
    Ok(())
}
