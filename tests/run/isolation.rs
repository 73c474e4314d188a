//! What a container can see and change: judged from inside, by lists of all that is expected.

use std::fs;

use dockster_tests::{Failed, Run, Trial, host};

use crate::tools::{DOCKSTER, House, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("all_mounts_are_expected_ones", &[], all_mounts_are_expected_ones),
        beside("only_expected_paths_are_writable", &[], only_expected_paths_are_writable),
        beside("only_expected_devices_are_there", &[], only_expected_devices_are_there),
        beside("three_descriptors_are_open", &[], three_descriptors_are_open),
        beside("namespaces_are_its_own", &[], namespaces_are_its_own),
        beside("processes_are_its_own", &[], processes_are_its_own),
        beside("without_a_network_it_has_its_loopback", &[], without_a_network),
        beside("proc_and_sys_are_masked", &[], proc_and_sys_are_masked),
    ]
}

/// Hidden: by /dev/null, or by an empty directory.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Read-only parts of /proc.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The devices, none of which holds data.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];

/// One line of mountinfo: where, what part of which file system, and how.
fn mount(line: &str) -> Option<[&str; 5]> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<_> = left.split(' ').collect();
    let kind = right.split(' ').next()?;
    // After the options come the optional fields: `shared:1`, `master:2`.
    Some([left[4], left[3], kind, left[5], left.get(6).copied().unwrap_or("")])
}

fn expected(point: &str, part: &str, kind: &str, options: &str) -> bool {
    let read_only = options.split(',').any(|option| option == "ro");
    let safe = ["nosuid", "noexec"].iter().all(|wanted| options.split(',').any(|o| o == *wanted));
    let null = part.ends_with("/null") && matches!(kind, "devtmpfs" | "tmpfs");
    match (point, part, kind) {
        ("/", "/", "overlay") => true,
        ("/proc", "/", "proc") | ("/dev/pts", "/", "devpts") => safe,
        ("/dev", "/", "tmpfs") => options.contains("nosuid"),
        ("/dev/shm", "/", "tmpfs") | ("/dev/mqueue", "/", "mqueue") => safe,
        ("/sys", "/", "sysfs") => safe && read_only,
        ("/dev/console", _, "devpts") => true,
        // In the container's directory.
        ("/etc/hosts" | "/etc/hostname" | "/etc/resolv.conf", _, _) => {
            part.contains("/containers/") && part.ends_with(&point["/etc".len()..])
        }
        _ if MASKED.contains(&point) => null || (kind == "tmpfs" && read_only),
        _ if READ_ONLY.contains(&point) => {
            read_only && kind == "proc" && point.strip_prefix("/proc") == Some(part)
        }
        // Who may not make devices has the host's.
        _ => {
            let name = point.strip_prefix("/dev/").filter(|name| DEVICES.contains(name));
            !host().root && name.is_some_and(|name| part.ends_with(&format!("/{name}")))
        }
    }
}

fn all_mounts_are_expected_ones() -> Result<(), Failed> {
    let house = House::new()?;
    for options in [&["busybox"][..], &["-t", "busybox"], &["--read-only", "busybox"]] {
        let done =
            house.run(options.iter().copied()).args(["cat", "/proc/self/mountinfo"]).success()?;
        let mounts: Vec<_> =
            done.stdout.lines().filter_map(|line| mount(line.trim_end())).collect();
        assert_eq!(mounts.len(), done.stdout.lines().count());
        for [point, part, kind, options, propagation] in &mounts {
            if !expected(point, part, kind, options) || !propagation.is_empty() {
                let what = format!("{point}: {part} of {kind}, {options} {propagation}");
                return Err(done.failed(&format!("not expected: {what}")));
            }
        }
        let points: Vec<_> = mounts.iter().map(|mount| mount[0]).collect();
        for point in
            ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/proc/sys"]
        {
            assert!(points.contains(&point), "{point} is not mounted");
        }
        let root = mounts[0][3].split(',').any(|option| option == "ro");
        assert_eq!(root, options.contains(&"--read-only"));
        assert_eq!(points.contains(&"/dev/console"), options.contains(&"-t"));
    }
    house.nothing_left()
}

/// Tries to make a file in every directory, and to open every file for writing.
const WALK: &str = r#"
    find / -path '/proc/[0-9]*' -prune -o -type d -print | while read -r dir; do
        case $dir in /proc/self|/proc/thread-self) continue;; esac
        (: >"$dir/.walk") 2>/dev/null && echo "$dir" && rm -f "$dir/.walk"
    done
    find /proc /sys -path '/proc/[0-9]*' -prune -o -type f -perm -200 -print | while read -r file; do
        (exec 3>>"$file") 2>/dev/null && echo "$file"
    done
    true
"#;

fn only_expected_paths_are_writable() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.sh(["--read-only", "--tmpfs", "/tmp"], WALK).success()?;
    let mut writable: Vec<_> = done.stdout.lines().collect();
    writable.sort_unstable();
    let expected = ["/dev", "/dev/mqueue", "/dev/shm", "/tmp"];
    // What root may open in docker's containers too, where its capabilities keep
    // it from doing much with it (chapter 7).
    let privileged = |path: &str| {
        ["/proc/mtrr", "/proc/dynamic_debug/control"].contains(&path)
            || path.starts_with("/proc/pressure/")
    };
    writable.retain(|path| !privileged(path));
    let other: Vec<_> = writable.iter().filter(|path| !expected.contains(path)).collect();
    if !other.is_empty() {
        return Err(done.failed(&format!("writable, and should not be: {other:?}")));
    }
    assert_eq!(writable, expected);
    Ok(())
}

fn only_expected_devices_are_there() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "find / -path /proc -prune -o '(' -type b -o -type c ')' -print";
    let done = house.sh([], script).success()?;
    let mut devices: Vec<_> = done.stdout.lines().collect();
    devices.sort_unstable();
    let mut expected: Vec<_> = DEVICES.iter().map(|name| format!("/dev/{name}")).collect();
    expected.push("/dev/pts/ptmx".into());
    expected.sort_unstable();
    assert_eq!(devices, expected);
    let script = "echo x >/dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 5 /dev/urandom | wc -c; \
                  (echo x >/dev/full) 2>&1; for l in stdout fd ptmx; do readlink /dev/$l; done; stat -c %a /dev/null /dev/shm";
    let done = house.sh([], script).success()?;
    done.says("00 00 00")?.says("No space left")?;
    done.says("/proc/self/fd/1\n/proc/self/fd\npts/ptmx\n666\n1777\n")?;
    Ok(())
}

/// Not those of the runtime, nor any that its caller had open.
fn three_descriptors_are_open() -> Result<(), Failed> {
    let house = House::new()?;
    for options in ["", "-i", "-t"] {
        let script = "exec 5</etc/passwd 8</ 9>>/dev/null; \
                      exec \"$DOCKSTER\" run --rm $OPTIONS busybox sh -c 'ls /proc/1/fd; true'";
        let done = Run::new("sh")
            .args(["-c", script])
            .env("DOCKSTER", DOCKSTER)
            .env("DOCKSTER_ROOT", house.root())
            .env("OPTIONS", options)
            .success()?;
        let open: Vec<_> = done.stdout.split_whitespace().collect();
        assert_eq!(open, ["0", "1", "2"], "{options}: {open:?}");
    }
    Ok(())
}

fn namespaces_are_its_own() -> Result<(), Failed> {
    let house = House::new()?;
    let script =
        "cd /proc/self/ns; for f in *; do echo $f $(readlink $f); done; cat /proc/self/cgroup";
    let done = house.sh([], script).success()?;
    for name in ["mnt", "pid", "uts", "ipc", "net", "cgroup", "user"] {
        let line = done.stdout.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        let inside = line.ok_or_else(|| done.failed(&format!("no {name}")))?;
        let own = fs::read_link(format!("/proc/self/ns/{name}"))?;
        let shared = name == "user" && host().root;
        assert_eq!(inside == own.to_string_lossy(), shared, "{name}: {inside}");
    }
    // Its own cgroup is the root of what it sees of them.
    for line in done.stdout.lines().filter(|line| line.splitn(3, ':').count() == 3) {
        if line.as_bytes()[0].is_ascii_digit() {
            assert!(line.ends_with(":/"), "{line}");
        }
    }
    Ok(())
}

fn processes_are_its_own() -> Result<(), Failed> {
    let house = House::new()?;
    // A child that has not become sleep yet is a shell still.
    let script = "echo $$; sleep 1000 & cd /proc; until grep -q sleep $!/comm; do :; done; \
                  for p in [0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done; kill $!";
    let done = house.sh([], script).success()?;
    let lines: Vec<_> =
        done.stdout.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[0], "1");
    let strange = |line: &&&str| {
        !line.starts_with("sh -c ") && !line.starts_with("sleep ") && !line.starts_with("tr ")
    };
    let strange: Vec<_> = lines[1..].iter().filter(strange).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert!(lines.contains(&"sleep 1000"), "{lines:?}");
    let done = house.run(["busybox", "ps"]).success()?;
    assert_eq!(done.stdout.lines().count(), 2, "{}", done.stdout);
    // Children that are left alone end with their namespace.
    house.sh([], "sleep 1000 & sleep 1000 & exit 4").code(4)?;
    house.nothing_left()
}

fn without_a_network() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house
        .sh(
            ["--network", "none"],
            "cat /proc/net/dev; cat /sys/class/net/lo/flags; ls /sys/class/net",
        )
        .success()?;
    let links: Vec<_> =
        done.stdout.lines().filter_map(|line| line.split_once(':')).map(|l| l.0.trim()).collect();
    assert_eq!(links, ["lo"]);
    // IFF_UP | IFF_LOOPBACK; and /sys shows this network's links, not the host's.
    done.says("\n0x9\nlo\n")?;
    Ok(())
}

fn proc_and_sys_are_masked() -> Result<(), Failed> {
    let house = House::new()?;
    for path in MASKED {
        let script =
            format!("[ ! -e {path} ] || if [ -d {path} ]; then ls -A {path}; else cat {path}; fi");
        let done = house.sh([], &script).success()?;
        assert_eq!(done.stdout, "", "{path} tells something");
    }
    for path in [
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/swappiness",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
    ] {
        let done = house.sh([], &format!("[ ! -e {path} ] || ! (exec 3>{path})")).success()?;
        assert!(
            done.stderr.is_empty() || done.stderr.contains("Read-only file system") || !host().root,
            "{path}: {}",
            done.stderr
        );
    }
    Ok(())
}
