//! Namespaces, ids, clocks, names and devices of config.json, seen from inside.

use std::fs;
use std::os::unix::fs::chown;
use std::process::{Child, Command, Stdio};

use dockster_tests::{Failed, Need, Run, wait_until};
use serde_json::{Value, json};

use crate::bundle::{Bundle, PATIENCE, case, other, ours};
use crate::fields::{Shown, shows};

const ROOT: &[Need] = &[Need::Root];

/// The kinds as a configuration and as /proc/PID/ns name them.
const KINDS: [(&str, &str); 6] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
];

pub fn shown() -> Vec<Shown> {
    vec![
        shows(&["hostname"], case("linux::hostname", &[], hostname)),
        shows(&["domainname"], ours("linux::domainname", &[], domainname)),
        shows(&["linux.namespaces[].type"], case("linux::new_namespaces", &[], new_namespaces)),
        shows(&[], case("linux::namespaces_of_the_runtime", ROOT, runtime_namespaces)),
        shows(&["linux.namespaces[].path"], case("linux::namespaces_by_path", ROOT, by_path)),
        shows(&[], case("linux::pid_namespace_by_path", ROOT, pid_by_path)),
        shows(&[], case("linux::user_namespace_by_path", ROOT, user_by_path)),
        shows(&[], case("linux::wrong_namespaces", ROOT, wrong_namespaces)),
        shows(
            &[
                "linux.uidMappings[].containerID",
                "linux.uidMappings[].hostID",
                "linux.uidMappings[].size",
                "linux.gidMappings[].containerID",
                "linux.gidMappings[].hostID",
                "linux.gidMappings[].size",
            ],
            case("linux::mapped_ids", ROOT, mapped_ids),
        ),
        shows(&[], case("linux::wrong_maps", ROOT, wrong_maps)),
        shows(&[], case("linux::an_ordinary_user", &[Need::User, Need::UserNamespaces], a_user)),
        shows(
            &["linux.timeOffsets.*.secs", "linux.timeOffsets.*.nanosecs"],
            ours("linux::clocks", ROOT, clocks),
        ),
        shows(
            &[
                "linux.devices[].type",
                "linux.devices[].path",
                "linux.devices[].major",
                "linux.devices[].minor",
                "linux.devices[].fileMode",
                "linux.devices[].uid",
                "linux.devices[].gid",
            ],
            case("linux::devices", ROOT, devices),
        ),
        shows(&[], case("linux::devices_in_a_user_namespace", ROOT, devices_mapped)),
        shows(&[], case("linux::default_devices", ROOT, default_devices)),
        shows(&["linux.personality.domain"], case("linux::personality", ROOT, personality)),
        shows(
            &["linux.personality.flags"],
            ours("linux::personality_flags", ROOT, personality_flags),
        ),
        shows(&["linux.rootfsPropagation"], case("linux::propagation", ROOT, propagation)),
    ]
}

fn hostname(bundle: &mut Bundle) -> Result<(), Failed> {
    let before = fs::read_to_string("/proc/sys/kernel/hostname")?;
    assert_eq!(bundle.set("hostname", "a-name.example").says("hostname")?, "a-name.example");
    // Without one it stays as it was.
    assert_eq!(bundle.unset("hostname").says("hostname")?, before.trim());
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname")?, before);
    // It would be the host's.
    bundle.without_namespace("uts").set("hostname", "mine").refuses("true")?;
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname")?, before);
    Ok(())
}

fn domainname(bundle: &mut Bundle) -> Result<(), Failed> {
    let script = "cat /proc/sys/kernel/domainname";
    assert_eq!(bundle.set("domainname", "example.org").says(script)?, "example.org");
    bundle.without_namespace("uts").unset("hostname").refuses("true").map(|_| ())
}

/// What /proc/self/ns says of the kinds, from inside.
fn own(bundle: &mut Bundle) -> Result<Vec<String>, Failed> {
    let links: Vec<_> = KINDS.iter().map(|(_, link)| format!("/proc/self/ns/{link}")).collect();
    let seen = bundle.says(&format!("for f in {}; do readlink $f; done", links.join(" ")))?;
    Ok(seen.lines().map(str::to_owned).collect())
}

fn hosts() -> Result<Vec<String>, Failed> {
    let links = KINDS.iter().map(|(_, link)| fs::read_link(format!("/proc/self/ns/{link}")));
    Ok(links.map(|link| link.map(|l| l.display().to_string())).collect::<Result<_, _>>()?)
}

fn new_namespaces(bundle: &mut Bundle) -> Result<(), Failed> {
    for (inside, host) in own(bundle)?.iter().zip(hosts()?) {
        assert_ne!(*inside, host);
    }
    let script = "echo $$; ls /sys/class/net; cat /proc/self/cgroup | cut -d: -f3 | sort -u";
    assert_eq!(bundle.says(script)?, "1\nlo\n/");
    // The loopback is up, as docker and podman expect of their runtime.
    assert_eq!(bundle.says("busybox ip -o link show lo | grep -c 'LOOPBACK,UP'")?, "1");
    Ok(())
}

/// "If a namespace type is not specified ... the container MUST inherit the runtime namespace".
fn runtime_namespaces(bundle: &mut Bundle) -> Result<(), Failed> {
    for kind in ["pid", "network", "ipc", "uts", "cgroup"] {
        bundle.without_namespace(kind);
    }
    bundle.unset("hostname");
    // These belong to namespaces that are the host's now.
    bundle.set("mounts.4", json!({"destination": "/m", "type": "tmpfs", "source": "m"}));
    let (inside, host) = (own(bundle)?, hosts()?);
    for ((kind, _), (inside, host)) in KINDS.iter().zip(inside.iter().zip(&host)) {
        if *kind == "mount" {
            assert_ne!(inside, host);
        } else {
            assert_eq!(inside, host, "{kind}");
        }
    }
    Ok(())
}

/// A process in namespaces of its own; dropped, it is killed.
struct Holder(Child);

impl Holder {
    fn start(options: &[&str]) -> Result<Holder, Failed> {
        let child = Command::new("unshare")
            .args(options)
            .args(["sh", "-c", "hostname held 2>/dev/null; exec sleep 1000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let holder = Holder(child);
        wait_until("it sleeps", PATIENCE, || {
            fs::read(format!("/proc/{}/cmdline", holder.pid()))
                .is_ok_and(|l| l.starts_with(b"sleep"))
        })?;
        Ok(holder)
    }

    /// Of the sleeper: with --fork, unshare's child.
    fn pid(&self) -> String {
        let own = self.0.id().to_string();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let child = children.ok().and_then(|c| c.split_whitespace().next().map(str::to_owned));
        child.unwrap_or(own)
    }

    fn ns(&self, kind: &str) -> String {
        format!("/proc/{}/ns/{kind}", self.pid())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let sleeper = self.pid();
        let _ = Command::new("kill").args(["-9", &sleeper]).stderr(Stdio::null()).status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn by_path(bundle: &mut Bundle) -> Result<(), Failed> {
    let holder = Holder::start(&["--net", "--ipc", "--uts", "--cgroup"])?;
    for (kind, link) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")] {
        bundle.join_namespace(kind, holder.ns(link));
    }
    bundle.unset("hostname");
    let seen = own(bundle)?;
    for ((kind, link), inside) in KINDS.iter().zip(&seen) {
        let there = fs::read_link(holder.ns(link))?.display().to_string();
        assert_eq!(*inside == there, !["pid", "mount"].contains(kind), "{kind}: {inside} {there}");
    }
    assert_eq!(bundle.says("hostname")?, "held");
    Ok(())
}

/// It is not number 1 there, and sees the others.
fn pid_by_path(bundle: &mut Bundle) -> Result<(), Failed> {
    let holder = Holder::start(&["--pid", "--fork"])?;
    bundle.join_namespace("pid", holder.ns("pid"));
    let seen = bundle.says("test $$ -gt 1 && tr '\\0' ' ' </proc/1/cmdline")?;
    assert_eq!(seen.trim(), "sleep 1000");
    // Its end is not the end of the namespace: what it has left is killed all the same.
    bundle.script("sleep 1001 & sleep 1002").start()?;
    bundle.end()?;
    bundle.nothing_left()
}

fn user_by_path(bundle: &mut Bundle) -> Result<(), Failed> {
    let holder = Holder::start(&["--user", "--map-root-user"])?;
    let pid = holder.pid();
    bundle.join_namespace("user", holder.ns("user"));
    bundle.set("mounts.2.options", json!(["newinstance", "ptmxmode=0666"]));
    if other().is_some() {
        // What is mapped there is written down there; runc 1.1.5 wants to hear it again.
        let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
        bundle.set("linux.uidMappings", map.clone()).set("linux.gidMappings", map);
    }
    let there = fs::read_link(format!("/proc/{pid}/ns/user"))?.display().to_string();
    let seen = bundle.says("readlink /proc/self/ns/user; cat /proc/self/uid_map; id -u")?;
    let words: Vec<_> = seen.split_whitespace().collect();
    assert_eq!(words, [&*there, "0", "0", "1", "0"]);
    Ok(())
}

fn wrong_namespaces(bundle: &mut Bundle) -> Result<(), Failed> {
    let plain = bundle.config.clone();
    // "If a namespaces field contains duplicated namespaces with same type, the runtime MUST
    // generate an error".
    let said = bundle.push("linux.namespaces", json!({"type": "ipc"})).refuses("true")?;
    assert!(said.contains("ipc"), "{said}");
    bundle.config = plain.clone();
    bundle.join_namespace("network", "/no/such/file");
    assert!(bundle.refuses("true")?.contains("/no/such/file"));
    bundle.config = plain.clone();
    // "MUST generate an error if path is not associated with a namespace of type type".
    bundle.join_namespace("network", "/proc/self/ns/ipc").refuses("true")?;
    bundle.config = plain.clone();
    bundle.join_namespace("network", "/etc/passwd").refuses("true")?;
    bundle.config = plain.clone();
    bundle.push("linux.namespaces", json!({"type": "no-such-kind"})).refuses("true")?;
    bundle.config = plain.clone();
    // The mounts would be the host's.
    let run = bundle.without_namespace("mount").script("true").run()?.into_command();
    // In case that they are changed all the same, the host is another.
    let done = crate::fields_mounts::in_own_mounts(bundle, "true", run)?.done()?;
    assert!(other().is_some() || !done.status.success(), "{done:?}");
    bundle.nothing_left()
}

fn mapped_ids(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.map_ids();
    let range = |list: &str, from: u32| {
        json!([{"containerID": 0, "hostID": 100_000, "size": 1000},
               {"containerID": 1000, "hostID": from, "size": 500, "list": list}])
    };
    bundle.set("linux.uidMappings", range("uid", 200_000));
    bundle.set("linux.gidMappings", range("gid", 300_000));
    chown(bundle.rootfs().join("tmp"), Some(100_000), Some(100_000))?;
    let seen = bundle.says("cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /tmp/f")?;
    let words: Vec<_> = seen.split_whitespace().collect();
    let wanted = [
        "0", "100000", "1000", "1000", "200000", "500", "0", "100000", "1000", "1000", "300000",
        "500", "0",
    ];
    assert_eq!(words, wanted);
    // The host sees who it is there; the second range as well.
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(bundle.rootfs().join("tmp/f"))?.uid(), 100_000);
    bundle.set("process.user", json!({"uid": 1007, "gid": 1008, "additionalGids": [3]}));
    bundle.ready("true")?;
    let status = bundle.proc("status")?;
    assert!(status.contains("Uid:\t200007\t") && status.contains("Gid:\t300008\t"), "{status}");
    assert!(status.contains("Groups:\t100003"), "{status}");
    // And so does who comes later.
    bundle.exec(&[], &["sh", "-c", "id -u; id -g"]).success()?.says("1007\n1008\n")?;
    bundle.exec(&["--user", "0:0"], &["cat", "/proc/self/uid_map"]).success()?.says("100000")?;
    Ok(())
}

fn wrong_maps(bundle: &mut Bundle) -> Result<(), Failed> {
    let plain = bundle.config.clone();
    bundle.map_ids().set("process.user", json!({"uid": 70000, "gid": 0})).refuses("true")?;
    bundle.config = plain.clone();
    bundle.map_ids().set(
        "linux.uidMappings",
        json!([
            {"containerID": 0, "hostID": 100_000, "size": 10},
            {"containerID": 5, "hostID": 200_000, "size": 10},
        ]),
    );
    bundle.refuses("true")?;
    bundle.nothing_left()
}

fn a_user(bundle: &mut Bundle) -> Result<(), Failed> {
    let seen = bundle.says("id -u; cat /proc/self/uid_map; hostname; touch /file; ls /dev/pts")?;
    let words: Vec<_> = seen.split_whitespace().collect();
    let own = nix::unistd::getuid().to_string();
    assert_eq!(words, ["0", "0", &*own, "1", "oci", "ptmx"]);
    bundle.ready("true")?;
    bundle.exec(&[], &["sh", "-c", "id -u; hostname"]).success()?.says("0\noci\n")?;
    bundle.end()
}

fn clocks(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.push("linux.namespaces", json!({"type": "time"})).set(
        "linux.timeOffsets",
        json!({"monotonic": {"secs": 1_000_000, "nanosecs": 7},
               "boottime": {"secs": 2_000_000}}),
    );
    let seen = bundle.says("cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime")?;
    let words: Vec<_> = seen.split_whitespace().collect();
    assert_eq!(&words[..6], ["monotonic", "1000000", "7", "boottime", "2000000", "0"]);
    let host: f64 = fs::read_to_string("/proc/uptime")?.split(' ').next().unwrap_or("").parse()?;
    let inside: f64 = words[6].parse()?;
    assert!((inside - host - 2_000_000.0).abs() < 100.0, "{inside} {host}");
    bundle.without_namespace("time").refuses("true")?;
    bundle.push("linux.namespaces", json!({"type": "time"}));
    bundle.set("linux.timeOffsets", json!({"realtime": {"secs": 1}})).refuses("true")?;
    Ok(())
}

fn devices(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.devices", json!([
        {"type": "c", "path": "/dev/mine", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8},
        {"type": "u", "path": "/elsewhere/deep/null", "major": 1, "minor": 3},
        {"type": "b", "path": "/dev/block", "major": 7, "minor": 200, "fileMode": 0o600},
        {"type": "p", "path": "/dev/fifo", "fileMode": 0o622},
    ]));
    let script = "stat -c '%F %t:%T %a %u:%g' /dev/mine /elsewhere/deep/null /dev/block /dev/fifo; \
                  head -c 3 /dev/mine | wc -c";
    let wanted = "character special file 1:5 640 7:8\n\
                  character special file 1:3 666 0:0\n\
                  block special file 7:c8 600 0:0\n\
                  fifo 0:0 622 0:0\n3";
    assert_eq!(bundle.says(script)?, wanted);
    // "If a file already exists at path that does not match the requested device, the runtime
    // MUST generate an error."
    fs::write(bundle.rootfs().join("home/file"), "")?;
    bundle.set(
        "linux.devices",
        json!([
            {"type": "c", "path": "/home/file", "major": 1, "minor": 5},
        ]),
    );
    if other().is_none() {
        assert!(bundle.refuses("true")?.contains("/home/file"));
    }
    bundle.set("linux.devices", json!([{"type": "x", "path": "/dev/x", "major": 1, "minor": 5}]));
    bundle.refuses("true")?;
    Ok(())
}

/// mknod is not allowed there: the host's node is bound.
fn devices_mapped(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.map_ids();
    bundle.set(
        "linux.devices",
        json!([
            {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 0o666},
        ]),
    );
    if !std::path::Path::new("/dev/fuse").exists() {
        bundle.unset("linux.devices");
    }
    let script = "echo x >/dev/null && head -c 2 /dev/zero | wc -c; stat -c %t:%T /dev/null";
    assert_eq!(bundle.says(script)?, "2\n1:3");
    Ok(())
}

fn default_devices(bundle: &mut Bundle) -> Result<(), Failed> {
    let script = "for d in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$d; done; \
                  for f in fd stdin stdout stderr; do readlink /dev/$f; done; \
                  stat -L -c '%t:%T' /dev/ptmx /dev/pts/ptmx; test ! -e /dev/console && echo none";
    let wanted = "/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/full 1:7 666\n/dev/random 1:8 666\n\
                  /dev/urandom 1:9 666\n/dev/tty 5:0 666\n\
                  /proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n5:2\n5:2\nnone";
    assert_eq!(bundle.says(script)?, wanted);
    Ok(())
}

fn personality(bundle: &mut Bundle) -> Result<(), Failed> {
    let machine = Run::new("uname").arg("-m").success()?.stdout.trim().to_owned();
    bundle.set("linux.personality", json!({"domain": "LINUX"}));
    assert_eq!(bundle.says("uname -m")?, machine);
    if other().as_deref() == Some("runc") {
        // 1.1.5 reads it and does nothing.
        return Ok(());
    }
    bundle.set("linux.personality", json!({"domain": "LINUX32"}));
    let inside = bundle.says("uname -m")?;
    assert!(["i686", "armv8l"].contains(&&*inside), "{inside}");
    Ok(())
}

/// None is defined by the specification, so any is a wish that cannot be met.
fn personality_flags(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.personality", json!({"domain": "LINUX", "flags": Value::Array(vec![])}));
    bundle.sh("true")?;
    bundle.set("linux.personality.flags", json!(["NO_SUCH_FLAG"]));
    assert!(bundle.refuses("true")?.contains("personality"));
    Ok(())
}

fn propagation(bundle: &mut Bundle) -> Result<(), Failed> {
    let script = "grep ' / / ' /proc/self/mountinfo || awk '$5 == \"/\"' /proc/self/mountinfo";
    for (kind, has) in [("private", ""), ("shared", "shared:"), ("slave", "")] {
        bundle.set("linux.rootfsPropagation", kind);
        let seen = bundle.says(script)?;
        let shared = seen.contains("shared:");
        // runc 1.1.5 does not get that far.
        assert!(shared != has.is_empty() || other().is_some(), "{kind}: {seen}");
    }
    // Nothing of it reaches the host, whatever it is.
    if other().is_none() {
        bundle.set("linux.rootfsPropagation", "unbindable").sh("true")?;
    }
    bundle.set("linux.rootfsPropagation", "no-such-kind");
    bundle.refuses("true").map(|_| ())
}
