//! `root` and `mounts` of config.json, seen from inside.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};

use dockster_tests::{Failed, Need};
use serde_json::json;

use crate::bundle::{Bundle, case, ours};
use crate::fields::{Shown, shows};

const ROOT: &[Need] = &[Need::Root];

pub fn shown() -> Vec<Shown> {
    vec![
        shows(&["root.path"], case("root::path", &[], path)),
        shows(&["root.readonly"], case("root::readonly", &[], readonly)),
        shows(
            &["mounts[].destination", "mounts[].source", "mounts[].type"],
            case("mounts::binds", &[], binds),
        ),
        shows(&[], case("mounts::order", &[], order)),
        shows(&[], case("mounts::destinations_that_are_links", ROOT, links)),
        shows(&[], case("mounts::errors", ROOT, errors)),
        shows(&["mounts[].options"], case("mounts::flags", ROOT, flags)),
        shows(&[], case("mounts::data", ROOT, data)),
        shows(&[], case("mounts::recursive", ROOT, recursive)),
        shows(&[], case("mounts::recursive_read_only", ROOT, recursive_read_only)),
        shows(&[], case("mounts::propagation", ROOT, propagation)),
        shows(&[], case("mounts::copied_up", ROOT, copied_up)),
        shows(&[], case("mounts::cgroup", ROOT, cgroup)),
        shows(&[], case("mounts::default_file_systems", ROOT, defaults)),
        shows(&[], ours("mounts::unknown_option", ROOT, unknown_option)),
        shows(
            &[
                "mounts[].uidMappings[].containerID",
                "mounts[].uidMappings[].hostID",
                "mounts[].uidMappings[].size",
                "mounts[].gidMappings[].containerID",
                "mounts[].gidMappings[].hostID",
                "mounts[].gidMappings[].size",
            ],
            ours("mounts::mapped_ids", ROOT, mapped),
        ),
    ]
}

/// The mount at `target` in the text of a mountinfo: its options, and those of its file system.
fn mount_of(text: &str, target: &str) -> Option<(String, String)> {
    text.lines().rev().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<_> = left.split(' ').collect();
        (left[4] == target)
            .then(|| (left[5..].join(" "), right.split(' ').nth(2).unwrap_or("").to_owned()))
    })
}

fn path(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::write(bundle.rootfs().join("marker"), "here")?;
    assert_eq!(bundle.says("cat /marker")?, "here");
    let absolute = bundle.rootfs().to_string_lossy().into_owned();
    assert_eq!(bundle.set("root.path", absolute).says("cat /marker")?, "here");
    bundle.set("root.path", "./rootfs/../rootfs");
    assert_eq!(bundle.says("cat /marker")?, "here");
    assert!(bundle.set("root.path", "nowhere").refuses("true")?.contains("nowhere"));
    bundle.unset("root");
    bundle.refuses("true").map(|_| ())
}

fn readonly(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("root.readonly", true);
    let script = "touch /file || echo refused; touch /dev/file /dev/shm/file && echo others";
    let done = bundle.sh(script)?;
    assert_eq!(done.stdout, "refused\nothers\n");
    done.complains("Read-only file system")?;
    assert!(!bundle.rootfs().join("file").exists());
    bundle.set("root.readonly", false).sh("touch /file")?;
    assert!(bundle.rootfs().join("file").exists());
    Ok(())
}

fn binds(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::create_dir(bundle.join("data"))?;
    fs::write(bundle.join("data/file"), "of the host")?;
    let data = bundle.join("data").to_string_lossy().into_owned();
    let file = bundle.join("data/file").to_string_lossy().into_owned();
    bundle
        .push(
            "mounts",
            json!({"destination": "/new/dir", "source": data, "type": "none",
                               "options": ["rbind"]}),
        )
        .push(
            "mounts",
            json!({"destination": "/new/file", "source": file, "type": "bind",
                               "options": ["bind", "ro"]}),
        )
        // A relative source is relative to the bundle.
        .push("mounts", json!({"destination": "/relative", "source": "data", "options": ["bind"]}));
    let script = "cat /new/dir/file /new/file /relative/file; echo w >/new/dir/more; \
                  echo w >/new/file || echo refused";
    assert_eq!(bundle.says(script)?, "of the hostof the hostof the hostrefused");
    assert_eq!(fs::read_to_string(bundle.join("data/more"))?, "w\n");
    Ok(())
}

fn order(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::create_dir_all(bundle.join("outer/inner"))?;
    fs::create_dir(bundle.join("other"))?;
    fs::write(bundle.join("other/file"), "second")?;
    bundle
        .push("mounts", json!({"destination": "/m", "source": "outer", "options": ["bind"]}))
        .push("mounts", json!({"destination": "/m/inner", "source": "other", "options": ["bind"]}))
        .push("mounts", json!({"destination": "/m/inner/t", "source": "t", "type": "tmpfs"}));
    fs::create_dir(bundle.join("other/t"))?;
    assert_eq!(
        bundle.says("cat /m/inner/file; echo x >/m/inner/t/x; cat /m/inner/t/x")?,
        "secondx"
    );
    assert!(!bundle.join("other/t/x").exists());
    Ok(())
}

/// A link in the root never leads out of it.
fn links(bundle: &mut Bundle) -> Result<(), Failed> {
    let outside = bundle.join("outside");
    fs::create_dir(&outside)?;
    symlink(&outside, bundle.rootfs().join("absolute"))?;
    symlink("../../../../../..", bundle.rootfs().join("up"))?;
    symlink("/home", bundle.rootfs().join("inside"))?;
    let link = format!("/up{}", outside.display());
    for target in ["/absolute", &*link, "/inside", "/absolute/below/it"] {
        bundle.push("mounts", json!({"destination": target, "source": "t", "type": "tmpfs"}));
    }
    let script = "mount | grep -c ' on /home type tmpfs'; mount | grep -c outside";
    assert_eq!(bundle.says(script)?, "1\n3");
    assert_eq!(fs::read_dir(&outside)?.count(), 0);
    Ok(())
}

fn errors(bundle: &mut Bundle) -> Result<(), Failed> {
    let wrong = [
        (
            json!({"destination": "/m", "source": "/no/such/dir", "options": ["bind"]}),
            "/no/such/dir",
        ),
        (json!({"destination": "/m", "source": "x", "type": "no-such-type"}), "no-such-type"),
        (json!({"destination": "/etc/passwd/m", "source": "x", "type": "tmpfs"}), "/etc/passwd"),
        (json!({"destination": "/proc", "source": "/tmp", "options": ["bind"]}), "/proc"),
    ];
    let plain = bundle.config.clone();
    for (mount, says) in wrong {
        bundle.config = plain.clone();
        let said = bundle.push("mounts", mount.clone()).refuses("true")?;
        assert!(crate::bundle::other().is_some() || said.contains(says), "{mount}: {said}");
        bundle.nothing_left()?;
    }
    Ok(())
}

/// Options, and what the mount has by them (`!` before what it must not have).
const FLAGS: &[(&[&str], &str)] = &[
    (&["ro"], "ro"),
    (&["rw"], "rw"),
    (&["ro", "rw"], "rw"),
    (&["nosuid"], "nosuid"),
    (&["nosuid", "suid"], "!nosuid"),
    (&["nodev"], "nodev"),
    (&["nodev", "dev"], "!nodev"),
    (&["noexec"], "noexec"),
    (&["noexec", "exec"], "!noexec"),
    (&["noatime"], "noatime"),
    (&["noatime", "atime"], "!noatime"),
    (&["nodiratime"], "nodiratime"),
    (&["relatime"], "relatime"),
    (&["strictatime"], "!relatime"),
    (&["defaults"], "rw"),
    (&["nosymfollow"], "nosymfollow"),
    (&["nosymfollow", "symfollow"], "!nosymfollow"),
    (&["sync"], "sync"),
    (&["sync", "async"], "!sync"),
    (&["dirsync"], "dirsync"),
    (&["lazytime"], "lazytime"),
    (&["silent"], "rw"),
    (
        &["nomand", "noiversion", "loud", "diratime", "norelatime", "nostrictatime", "nolazytime"],
        "rw",
    ),
];

fn flags(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::create_dir(bundle.join("data"))?;
    // runc 1.1.5 and crun 1.8.1 do not have all.
    let known = |options: &&(&[&str], &str)| {
        crate::bundle::other().is_none()
            || !options.0.iter().any(|name| {
                ["symfollow", "lazytime", "defaults"].iter().any(|new| name.contains(new))
            })
    };
    let table: Vec<_> = FLAGS.iter().filter(known).collect();
    // What belongs to a file system cannot be set by a bind: we say so, runc does not.
    let of_file_system = ["sync", "!sync", "dirsync", "lazytime"];
    for (number, (options, wanted)) in table.iter().enumerate() {
        let options = options.to_vec();
        let for_bind = match of_file_system.contains(wanted) {
            true => &[][..],
            false => &options[..],
        };
        let bound: Vec<_> = ["bind"].iter().chain(for_bind).collect();
        bundle
            .push(
                "mounts",
                json!({"destination": format!("/t/{number}"), "source": "tmpfs",
                                   "type": "tmpfs", "options": options}),
            )
            .push(
                "mounts",
                json!({"destination": format!("/b/{number}"), "source": "data",
                                   "options": bound}),
            );
    }
    let seen = bundle.says("cat /proc/self/mountinfo")?;
    for (number, (options, wanted)) in table.iter().enumerate() {
        for (place, is_bind) in [(format!("/t/{number}"), false), (format!("/b/{number}"), true)] {
            let (own, of_it) = mount_of(&seen, &place).ok_or(format!("no {place} in {seen}"))?;
            if of_file_system.contains(wanted) && is_bind {
                continue;
            }
            let all = format!("{},{of_it}", own.split(' ').next().unwrap_or(""));
            let has = |name: &str| all.split(',').any(|option| option == name);
            let fine = match wanted.strip_prefix('!') {
                Some(name) => !has(name),
                None => has(wanted),
            };
            assert!(fine, "{options:?}, {wanted}: {place} has {all}");
        }
    }
    Ok(())
}

fn data(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.push(
        "mounts",
        json!({"destination": "/t", "source": "scratch", "type": "tmpfs",
                                 "options": ["size=1m", "mode=0751", "uid=7", "gid=8", "nosuid"]}),
    );
    let script = "stat -c '%a %u %g' /t; df -k /t | tail -n 1 | awk '{print $1, $2}'; \
                  dd if=/dev/zero of=/t/x bs=64k count=32 2>/dev/null || echo full";
    assert_eq!(bundle.says(script)?, "751 7 8\nscratch 1024\nfull");
    bundle.push(
        "mounts",
        json!({"destination": "/u", "source": "t", "type": "tmpfs",
                                 "options": ["size=nonsense"]}),
    );
    bundle.refuses("true").map(|_| ())
}

fn recursive(bundle: &mut Bundle) -> Result<(), Failed> {
    // A mount below the source, in a mount namespace of the test's own.
    fs::create_dir_all(bundle.join("data/sub"))?;
    bundle
        .push("mounts", json!({"destination": "/deep", "source": "data", "options": ["rbind"]}))
        .push("mounts", json!({"destination": "/flat", "source": "data", "options": ["bind"]}));
    bundle.script("ls /deep/sub /flat/sub");
    let run = bundle.run()?.into_command();
    let done = in_own_mounts(bundle, "mount -t tmpfs t data/sub; touch data/sub/file", run)?;
    assert_eq!(done.success()?.stdout, "/deep/sub:\nfile\n\n/flat/sub:\n");
    Ok(())
}

/// A run of `command` after `script`, in a mount namespace of its own.
pub fn in_own_mounts(
    bundle: &Bundle,
    script: &str,
    command: std::process::Command,
) -> Result<dockster_tests::Run, Failed> {
    let script = format!("set -e; cd \"$1\"; shift; {script}; exec \"$@\"");
    Ok(dockster_tests::Run::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
        .arg(bundle.dir())
        .arg(command.get_program())
        .args(command.get_args()))
}

fn recursive_read_only(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::create_dir_all(bundle.join("data/sub"))?;
    bundle
        .push(
            "mounts",
            json!({"destination": "/r", "source": "data",
                               "options": ["rbind", "rro", "rnosuid"]}),
        )
        .push("mounts", json!({"destination": "/o", "source": "data", "options": ["rbind", "ro"]}));
    bundle.script(
        "touch /r/sub/a || echo deep; touch /r/a || echo top; touch /o/sub/b && echo rw; \
                   grep ' /r/sub ' /proc/self/mountinfo | grep -c nosuid",
    );
    let run = bundle.run()?.into_command();
    let done = in_own_mounts(bundle, "mount -t tmpfs t data/sub", run)?.success()?;
    assert_eq!(done.stdout, "deep\ntop\nrw\n1\n");
    Ok(())
}

fn propagation(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::create_dir(bundle.join("data"))?;
    let kinds = [
        ("shared", "shared:"),
        ("slave", "master:"),
        ("private", ""),
        ("unbindable", "unbindable"),
    ];
    for (kind, _) in kinds {
        bundle.push(
            "mounts",
            json!({"destination": format!("/{kind}"), "source": "data",
                                     "options": ["rbind", format!("r{kind}")]}),
        );
    }
    bundle.script("cat /proc/self/mountinfo");
    let run = bundle.run()?.into_command();
    let script = "mount --bind data data; mount --make-shared data";
    let seen = in_own_mounts(bundle, script, run)?.success()?.stdout;
    for (kind, wanted) in kinds {
        let (options, _) = mount_of(&seen, &format!("/{kind}")).ok_or(format!("{kind}: {seen}"))?;
        let fine = match wanted {
            "" => !options.contains("shared:") && !options.contains("master:"),
            wanted => options.contains(wanted),
        };
        assert!(fine, "{kind}: {options}");
    }
    Ok(())
}

/// runc's own option, which podman uses for /run and the like.
fn copied_up(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.push(
        "mounts",
        json!({"destination": "/etc", "source": "t", "type": "tmpfs",
                                 "options": ["tmpcopyup"]}),
    );
    let script =
        "cat /etc/passwd | head -n 1; touch /etc/new; grep -c ' /etc ' /proc/self/mountinfo";
    assert_eq!(bundle.says(script)?, "root:x:0:0:root:/root:/bin/sh\n1");
    assert!(!bundle.rootfs().join("etc/new").exists());
    Ok(())
}

fn cgroup(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.push(
        "mounts",
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                                 "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}),
    );
    let script = "find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs | wc -l; \
                  find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs | while read f; do \
                  grep -qx 1 $f && echo own; done | sort -u; mkdir /sys/fs/cgroup/x || echo refused";
    let seen = bundle.says(script)?;
    let mut lines = seen.lines();
    assert!(lines.next().and_then(|count| count.parse().ok()).unwrap_or(0) > 0, "{seen}");
    // Its own cgroup is the root of what it sees.
    let lines: Vec<_> = lines.collect();
    // runc 1.1.5 leaves the directory above the hierarchies writable.
    let wanted = ["own", "refused"];
    assert!(lines == wanted || crate::bundle::other().is_some() && lines == wanted[..1], "{seen}");
    Ok(())
}

fn defaults(bundle: &mut Bundle) -> Result<(), Failed> {
    let seen = bundle.says("mount")?;
    for wanted in [
        "proc on /proc type proc",
        "sysfs on /sys type sysfs",
        "on /dev/pts type devpts",
        "on /dev/shm type tmpfs",
        "on /dev/mqueue type mqueue",
        "on /dev type tmpfs",
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    // It sees its own processes and its own devices of the network, and nothing of the host's.
    assert_eq!(bundle.says("echo /proc/[0-9]*; ls /sys/class/net")?, "/proc/1\nlo");
    let names = bundle.says("ls /dev")?;
    for device in ["fd", "full", "null", "ptmx", "random", "stdin", "tty", "urandom", "zero"] {
        assert!(names.lines().any(|name| name == device), "{device}: {names}");
    }
    assert!(!seen.contains(&*bundle.dir().to_string_lossy()), "{seen}");
    Ok(())
}

/// What is no flag belongs to the file system, which does not know it either.
fn unknown_option(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::create_dir(bundle.join("data"))?;
    bundle.push(
        "mounts",
        json!({"destination": "/b", "source": "data",
                                 "options": ["bind", "nosuch"]}),
    );
    assert!(bundle.refuses("true")?.contains("nosuch"));
    Ok(())
}

/// An idmapped mount: files of 1000 are 2000's in there, and what 2000 makes is 1000's.
fn mapped(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::create_dir(bundle.join("data"))?;
    fs::write(bundle.join("data/file"), "")?;
    chown(bundle.join("data"), Some(1000), Some(1001))?;
    chown(bundle.join("data/file"), Some(1000), Some(1001))?;
    bundle.push(
        "mounts",
        json!({
            "destination": "/m", "source": "data", "options": ["bind"],
            "uidMappings": [{"containerID": 1000, "hostID": 2000, "size": 1}],
            "gidMappings": [{"containerID": 1001, "hostID": 2001, "size": 1}],
        }),
    );
    bundle.set("process.user", json!({"uid": 2000, "gid": 2001}));
    assert_eq!(
        bundle.says("stat -c '%u %g' /m/file; touch /m/new && echo made")?,
        "2000 2001\nmade"
    );
    let made = fs::metadata(bundle.join("data/new"))?;
    assert_eq!((made.uid(), made.gid()), (1000, 1001));
    Ok(())
}
