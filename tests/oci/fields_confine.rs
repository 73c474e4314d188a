//! seccomp, masks and kernel parameters of config.json, seen from inside.

use std::fs;

use dockster_tests::{Failed, Need};
use serde_json::{Value, json};

use crate::bundle::{Bundle, case, ours};
use crate::fields::{Shown, shows};

const ROOT: &[Need] = &[Need::Root];

pub fn shown() -> Vec<Shown> {
    vec![
        shows(
            &[
                "linux.seccomp.defaultAction",
                "linux.seccomp.syscalls[].names",
                "linux.seccomp.syscalls[].action",
            ],
            case("seccomp::an_error", &[], an_error),
        ),
        shows(&["linux.seccomp.syscalls[].errnoRet"], case("seccomp::errno", &[], errno)),
        shows(
            &["linux.seccomp.defaultErrnoRet"],
            case("seccomp::default_errno", ROOT, default_errno),
        ),
        shows(&[], case("seccomp::kills", &[], kills)),
        shows(&[], case("seccomp::logs", ROOT, logs)),
        shows(
            &[
                "linux.seccomp.syscalls[].args[].index",
                "linux.seccomp.syscalls[].args[].value",
                "linux.seccomp.syscalls[].args[].op",
            ],
            case("seccomp::arguments", ROOT, arguments),
        ),
        shows(
            &["linux.seccomp.syscalls[].args[].valueTwo"],
            case("seccomp::masked_arguments", ROOT, masked_arguments),
        ),
        shows(&["linux.seccomp.architectures"], case("seccomp::architectures", &[], architectures)),
        shows(&["linux.seccomp.flags"], case("seccomp::flags", ROOT, flags)),
        shows(&[], case("seccomp::without_and_with_new_privileges", ROOT, both_orders)),
        shows(&[], case("seccomp::wrong", &[], wrong)),
        shows(&[], case("seccomp::unknown_calls_are_passed_over", &[], unknown_calls)),
        shows(&[], case("seccomp::holds_for_exec", ROOT, holds_for_exec)),
        shows(&["linux.maskedPaths"], case("confine::masked", ROOT, masked)),
        shows(&["linux.readonlyPaths"], case("confine::read_only_paths", ROOT, read_only)),
        shows(&["linux.sysctl.*"], case("confine::sysctl", ROOT, sysctl)),
        shows(&[], case("confine::sysctl_of_the_host", ROOT, sysctl_of_the_host)),
        shows(&[], ours("confine::masks_of_what_is_a_link", ROOT, mask_of_a_link)),
    ]
}

/// A filter that allows everything but what `syscalls` says.
fn filter(bundle: &mut Bundle, syscalls: Value) {
    bundle.set("linux.seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls}));
}

/// All calls that make a directory, on any machine.
const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

fn an_error(bundle: &mut Bundle) -> Result<(), Failed> {
    filter(bundle, json!([{"names": MKDIR, "action": "SCMP_ACT_ERRNO"}]));
    let script = "grep -E '^Seccomp:' /proc/self/status; mkdir /tmp/d || echo refused; ls /tmp";
    let done = bundle.sh(script)?;
    assert_eq!(done.stdout, "Seccomp:\t2\nrefused\n");
    done.complains("Operation not permitted")?;
    bundle.unset("linux.seccomp");
    assert_eq!(bundle.says("grep '^Seccomp:' /proc/self/status")?, "Seccomp:\t0");
    Ok(())
}

fn errno(bundle: &mut Bundle) -> Result<(), Failed> {
    // ENOSPC, and EINTR's neighbour 0, which is success without doing anything.
    filter(bundle, json!([{"names": MKDIR, "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]));
    bundle.script("mkdir /tmp/d").run()?.code(1)?.complains("No space left on device")?;
    filter(bundle, json!([{"names": MKDIR, "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]));
    bundle.script("mkdir /tmp/d && ls /tmp | wc -l").run()?.success()?.says("0\n")?;
    Ok(())
}

/// What a list of allowed calls needs to start anything is long: only one call is left out.
fn default_errno(bundle: &mut Bundle) -> Result<(), Failed> {
    let known = [
        "read",
        "write",
        "open",
        "openat",
        "close",
        "stat",
        "fstat",
        "lstat",
        "newfstatat",
        "statx",
        "poll",
        "lseek",
        "mmap",
        "mprotect",
        "munmap",
        "brk",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "ioctl",
        "access",
        "faccessat",
        "faccessat2",
        "dup",
        "dup2",
        "dup3",
        "getpid",
        "fork",
        "vfork",
        "clone",
        "clone3",
        "execve",
        "execveat",
        "exit",
        "exit_group",
        "wait4",
        "uname",
        "fcntl",
        "getcwd",
        "chdir",
        "fchdir",
        "getuid",
        "getgid",
        "geteuid",
        "getegid",
        "setuid",
        "setgid",
        "setgroups",
        "setresuid",
        "setresgid",
        "capget",
        "capset",
        "prctl",
        "arch_prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "getrandom",
        "prlimit64",
        "futex",
        "getppid",
        "sigaltstack",
        "gettid",
        "tgkill",
        "sched_getaffinity",
        "pipe2",
        "epoll_ctl",
        "epoll_pwait",
        "nanosleep",
        "clock_nanosleep",
        "sendmsg",
        "recvmsg",
        "sendto",
        "recvfrom",
        "seccomp",
        "readlink",
        "readlinkat",
        "getdents64",
        "fstatfs",
        "statfs",
        "unlinkat",
        "close_range",
        "pread64",
        "madvise",
        "umask",
        "kill",
        "restart_syscall",
        "clock_gettime",
        "getsockopt",
        "setsid",
        "socket",
        "connect",
    ];
    bundle.set(
        "linux.seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 95,
            "syscalls": [{"names": known.to_vec(), "action": "SCMP_ACT_ALLOW"}],
        }),
    );
    bundle.set("process.noNewPrivileges", true);
    bundle.script("mkdir /tmp/d").run()?.code(1)?.complains("Operation not supported")?;
    Ok(())
}

fn kills(bundle: &mut Bundle) -> Result<(), Failed> {
    for action in
        ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"]
    {
        filter(bundle, json!([{"names": MKDIR, "action": action}]));
        // 128 and SIGSYS.
        bundle.script("(mkdir /tmp/d); echo $?").run()?.success()?.says("159\n")?;
    }
    Ok(())
}

fn logs(bundle: &mut Bundle) -> Result<(), Failed> {
    filter(bundle, json!([{"names": MKDIR, "action": "SCMP_ACT_LOG"}]));
    assert_eq!(bundle.says("mkdir /tmp/d && ls /tmp")?, "d");
    Ok(())
}

/// kill(pid, signal): by its second argument.
fn arguments(bundle: &mut Bundle) -> Result<(), Failed> {
    let script = "sleep 1000 & for s in 0 18 23; do kill -$s $! 2>/dev/null && echo -n y || echo -n n; done; \
                  kill -9 $! 2>/dev/null";
    // Signals 0, 18 (CONT) and 23 (URG): which of them pass.
    let table = [
        ("SCMP_CMP_EQ", 18, "yny"),
        ("SCMP_CMP_NE", 18, "nyn"),
        ("SCMP_CMP_LT", 18, "nyy"),
        ("SCMP_CMP_LE", 18, "nny"),
        ("SCMP_CMP_GT", 18, "yyn"),
        ("SCMP_CMP_GE", 18, "ynn"),
    ];
    for (op, value, wanted) in table {
        filter(
            bundle,
            json!([{"names": ["kill"], "action": "SCMP_ACT_ERRNO",
                               "args": [{"index": 1, "value": value, "op": op}]}]),
        );
        let seen = bundle.script(script).run()?.done()?;
        assert_eq!(seen.stdout, wanted, "{op} {value}");
    }
    // All conditions must hold: the pid is not 0.
    filter(
        bundle,
        json!([{"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [
            {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
            {"index": 1, "value": 18, "op": "SCMP_CMP_EQ"},
        ]}]),
    );
    assert_eq!(bundle.script(script).run()?.done()?.stdout, "yyy");
    // 64 bits are compared: the high half, too.
    filter(
        bundle,
        json!([{"names": ["kill"], "action": "SCMP_ACT_ERRNO",
        "args": [{"index": 1, "value": (1_u64 << 32) | 18, "op": "SCMP_CMP_EQ"}]}]),
    );
    assert_eq!(bundle.script(script).run()?.done()?.stdout, "yyy");
    Ok(())
}

/// The clone of docker's profile: CLONE_NEWUSER and its like in the first argument.
fn masked_arguments(bundle: &mut Bundle) -> Result<(), Failed> {
    filter(
        bundle,
        json!([{"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28,
        "args": [{"index": 0, "value": 0x0400_0000, "valueTwo": 0x0400_0000, "op": "SCMP_CMP_MASKED_EQ"}]}]),
    );
    bundle.set("process.capabilities", json!({
        "bounding": ["CAP_SYS_ADMIN"], "effective": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"],
    }));
    let script = "busybox unshare -u true && echo ipc; busybox unshare -i true && echo ipc2; \
                  busybox unshare -u -i true || echo both";
    let done = bundle.sh(script)?;
    done.complains("No space left on device")?;
    // CLONE_NEWUTS is 0x04000000, CLONE_NEWIPC 0x08000000.
    assert_eq!(done.stdout, "ipc2\nboth\n");
    Ok(())
}

fn architectures(bundle: &mut Bundle) -> Result<(), Failed> {
    filter(bundle, json!([{"names": MKDIR, "action": "SCMP_ACT_ERRNO"}]));
    bundle.set(
        "linux.seccomp.architectures",
        json!([
            "SCMP_ARCH_X86_64",
            "SCMP_ARCH_X86",
            "SCMP_ARCH_X32",
            "SCMP_ARCH_AARCH64",
            "SCMP_ARCH_ARM"
        ]),
    );
    bundle.script("mkdir /tmp/d").run()?.code(1)?.complains("not permitted")?;
    bundle.set("linux.seccomp.architectures", json!(["SCMP_ARCH_NO_SUCH"]));
    bundle.refuses("true").map(|_| ())
}

fn flags(bundle: &mut Bundle) -> Result<(), Failed> {
    filter(bundle, json!([{"names": MKDIR, "action": "SCMP_ACT_ERRNO"}]));
    bundle.set("linux.seccomp.flags", json!(["SECCOMP_FILTER_FLAG_LOG"]));
    bundle.script("mkdir /tmp/d").run()?.code(1)?;
    // Seen in Speculation_Store_Bypass where the machine has that weakness; at least taken.
    bundle.set("linux.seccomp.flags", json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]));
    bundle.script("mkdir /tmp/d").run()?.code(1)?;
    bundle.set("linux.seccomp.flags", json!(["SECCOMP_FILTER_FLAG_NO_SUCH"]));
    bundle.refuses("true").map(|_| ())
}

/// Loaded before the last capability goes, or after no_new_privs: as any user.
fn both_orders(bundle: &mut Bundle) -> Result<(), Failed> {
    filter(bundle, json!([{"names": MKDIR, "action": "SCMP_ACT_ERRNO"}]));
    bundle
        .set("process.user", json!({"uid": 1000, "gid": 1000}))
        .set("process.capabilities", json!({}));
    for no_new_privileges in [false, true] {
        bundle.set("process.noNewPrivileges", no_new_privileges);
        let done = bundle
            .sh("grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; mkdir /tmp/d || id -u")?;
        let wanted = format!("NoNewPrivs:\t{}\nSeccomp:\t2\n1000\n", u8::from(no_new_privileges));
        assert_eq!(done.stdout, wanted);
    }
    Ok(())
}

fn wrong(bundle: &mut Bundle) -> Result<(), Failed> {
    for (seccomp, says) in [
        (json!({"defaultAction": "SCMP_ACT_NO_SUCH"}), "SCMP_ACT_NO_SUCH"),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}),
            "",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_NO_SUCH"}]}]}),
            "",
        ),
    ] {
        let said = bundle.set("linux.seccomp", seccomp.clone()).refuses("true")?;
        assert!(said.contains(says), "{seccomp}: {said}");
    }
    Ok(())
}

/// docker's profile names calls of all kernels and machines.
fn unknown_calls(bundle: &mut Bundle) -> Result<(), Failed> {
    filter(
        bundle,
        json!([
            {"names": ["no_such_call", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"},
        ]),
    );
    bundle.script("mkdir /tmp/d").run()?.code(1)?.complains("not permitted")?;
    Ok(())
}

fn holds_for_exec(bundle: &mut Bundle) -> Result<(), Failed> {
    filter(bundle, json!([{"names": MKDIR, "action": "SCMP_ACT_ERRNO"}]));
    bundle.ready("true")?;
    bundle.exec(&[], &["mkdir", "/tmp/d"]).code(1)?.complains("not permitted")?;
    Ok(())
}

fn masked(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::write(bundle.rootfs().join("home/secret"), "secret")?;
    fs::create_dir(bundle.rootfs().join("hidden"))?;
    fs::write(bundle.rootfs().join("hidden/file"), "secret")?;
    bundle.set(
        "linux.maskedPaths",
        json!(["/home/secret", "/hidden", "/no/such/path", "/proc/uptime"]),
    );
    let script = "cat /home/secret /proc/uptime | wc -c; ls /hidden | wc -l; \
                  touch /hidden/x || echo refused; echo x >/home/secret; echo $?";
    let seen = bundle.says(script)?;
    assert!(seen.starts_with("0\n0\nrefused\n"), "{seen}");
    assert_eq!(fs::read_to_string(bundle.rootfs().join("home/secret"))?, "secret");
    bundle.set("linux.maskedPaths", json!(["relative"]));
    if crate::bundle::other().is_none() {
        bundle.refuses("true")?;
    }
    Ok(())
}

fn read_only(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::write(bundle.rootfs().join("home/file"), "old")?;
    bundle.set("linux.readonlyPaths", json!(["/home/file", "/proc/sys", "/var", "/no/such/path"]));
    let script = "cat /home/file; for f in /home/file /proc/sys/kernel/hostname /var/new; do \
                  echo new >$f || echo no; done 2>/dev/null";
    let seen = bundle.says(script)?;
    assert!(seen.starts_with("oldno\nno\nno"), "{seen}");
    Ok(())
}

fn sysctl(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set(
        "linux.sysctl",
        json!({
            "net.ipv4.ip_forward": "1", "kernel.shmmni": "1234", "kernel.msgmax": "9999",
            "fs.mqueue.msg_max": "55", "net/ipv4/ip_default_ttl": "77",
        }),
    );
    // They are set before the path is made read-only.
    bundle.set("linux.readonlyPaths", json!(["/proc/sys"]));
    let script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni kernel/msgmax \
                  fs/mqueue/msg_max net/ipv4/ip_default_ttl";
    assert_eq!(bundle.says(script)?, "1\n1234\n9999\n55\n77");
    bundle.set("linux.sysctl", json!({"net.ipv4.no_such": "1"}));
    assert!(bundle.refuses("true")?.contains("no_such"));
    bundle.set("linux.sysctl", json!({"kernel.shmmni": "not a number"}));
    bundle.refuses("true").map(|_| ())
}

/// What belongs to no namespace, or to one that is the host's, is refused.
fn sysctl_of_the_host(bundle: &mut Bundle) -> Result<(), Failed> {
    let plain = bundle.config.clone();
    let before = fs::read_to_string("/proc/sys/kernel/panic")?;
    for name in [
        "kernel.panic",
        "vm.swappiness",
        "fs.file-max",
        "kernel.hostname",
        "net.../../kernel.panic",
    ] {
        bundle.set("linux.sysctl", json!({ name: "1" }));
        let done = bundle.script("true").run()?.done()?;
        if done.status.success() {
            return Err(done.failed(&format!("{name} is not refused")));
        }
    }
    assert_eq!(fs::read_to_string("/proc/sys/kernel/panic")?, before);
    for (kind, name) in [("network", "net.ipv4.ip_forward"), ("ipc", "kernel.shmmni")] {
        bundle.config = plain.clone();
        bundle.without_namespace(kind);
        bundle.set("mounts.4", json!({"destination": "/m", "type": "tmpfs", "source": "m"}));
        assert!(bundle.set("linux.sysctl", json!({ name: "1" })).refuses("true")?.contains(name));
    }
    Ok(())
}

/// A link in place of what is to be hidden hides nothing outside (CVE-2025-31133 is of this
/// family), and does not leave it open.
fn mask_of_a_link(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::write(bundle.join("marker"), "untouched")?;
    fs::write(bundle.rootfs().join("home/secret"), "secret")?;
    std::os::unix::fs::symlink("home/secret", bundle.rootfs().join("link"))?;
    std::os::unix::fs::symlink(bundle.join("marker"), bundle.rootfs().join("out"))?;
    bundle.set("linux.maskedPaths", json!(["/link", "/out"]));
    let done = bundle.script("cat /home/secret").run()?.done()?;
    assert!(!done.stdout.contains("secret"), "{done:?}");
    assert_eq!(fs::read_to_string(bundle.join("marker"))?, "untouched");
    Ok(())
}
