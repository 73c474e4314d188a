//! podman and conmon drive the runtime.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dockster_tests::{
    Cgroups, Failed, Fingerprint, Need, Run, TempDir, Terminal, Trial, busybox_rootfs, host, trial,
    wait_until,
};

use crate::bundle::{PATIENCE, runtime};
use crate::engines::{Machine, engine};

const PROGRAMS: &[&str] = &["podman", "conmon", "unshare", "nsenter"];

pub fn trials() -> Vec<Trial> {
    vec![
        engine("podman::runs", PROGRAMS, runs),
        engine("podman::a_life", PROGRAMS, a_life),
        engine("podman::limits", PROGRAMS, limits),
        engine("podman::volumes_and_ids", PROGRAMS, volumes_and_ids),
        engine("podman::pods", PROGRAMS, pods),
        trial("podman::as_an_ordinary_user", AS_A_USER, as_a_user),
    ]
}

/// `podman WORDS` with everything in the machine's own directory.
fn podman<'a>(machine: &Machine, words: impl IntoIterator<Item = &'a str>) -> Run {
    let runtime = runtime().to_string_lossy().into_owned();
    let (root, run, tmp) = (machine.path("root"), machine.path("run"), machine.path("tmp"));
    machine
        .run([
            "podman",
            "--root",
            &root,
            "--runroot",
            &run,
            "--tmpdir",
            &tmp,
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "file",
            "--runtime",
            &runtime,
        ])
        .args(words)
        .env("CONTAINERS_CONF", machine.path("containers.conf"))
}

/// `podman run OPTIONS`, with no network and a cgroup of the machine's.
fn run<'a>(machine: &Machine, words: impl IntoIterator<Item = &'a str>) -> Run {
    let parent = format!("/{}", machine.name);
    podman(machine, ["run", "--network", "none", "--cgroup-parent", &parent]).args(words)
}

/// podman's own limits are more than some machines allow.
const CONF: &str = "[containers]\ndefault_ulimits = [\"nofile=512:512\", \"nproc=4096:4096\"]\n";

fn import(machine: &Machine) -> Result<(), Failed> {
    fs::write(machine.join("containers.conf"), CONF)?;
    let image = machine.image()?;
    podman(machine, ["import", "--change", "ENV=PATH=/bin", &image, "box"]).success().map(|_| ())
}

fn runs(machine: &Machine) -> Result<(), Failed> {
    import(machine)?;
    let done =
        run(machine, ["--rm", "box", "sh", "-c", "echo out; echo err >&2; exit 5"]).code(5)?;
    assert_eq!((&*done.stdout, &*done.stderr), ("out\n", "err\n"));
    run(machine, ["--rm", "-i", "box", "cat"]).input("in").success()?.says("in")?;
    run(machine, ["--rm", "box", "no-such-program"]).code(127)?;
    run(machine, ["--rm", "box", "/etc/passwd"]).code(126)?;
    run(machine, ["--rm", "box", "/etc"]).code(126)?;
    run(
        machine,
        [
            "--rm",
            "-w",
            "/home",
            "-h",
            "name",
            "-e",
            "A=b",
            "box",
            "sh",
            "-c",
            "pwd; hostname; echo $A",
        ],
    )
    .success()?
    .says("/home\nname\nb\n")?;
    run(
        machine,
        ["--rm", "-u", "1000:1001", "--group-add", "7", "box", "sh", "-c", "id -u; id -g; id -G"],
    )
    .success()?
    .says("1000\n1001\n")?;
    let words = run(
        machine,
        ["--rm", "-it", "box", "sh", "-c", "tty; stty size; read l; echo \"<$l>\"; exit 3"],
    );
    let mut terminal = Terminal::spawn(words.into_command(), 30, 90)?;
    terminal.wait_for("/dev/pts/0")?;
    terminal.type_keys("hello\r")?;
    terminal.wait_for("<hello>")?;
    assert_eq!(terminal.finish()?.code(), Some(3));
    Ok(())
}

fn a_life(machine: &Machine) -> Result<(), Failed> {
    import(machine)?;
    let script = "trap 'echo stopping; exit 9' TERM; echo up; while :; do sleep 0.05; done";
    run(machine, ["-d", "--name", "x", "box", "sh", "-c", script]).success()?;
    let logs = || podman(machine, ["logs", "x"]).done().map(|done| done.stdout).unwrap_or_default();
    wait_until("it is up", PATIENCE, || logs().contains("up"))?;
    podman(machine, ["exec", "x", "sh", "-c", "echo in; exit 4"]).code(4)?.says("in\n")?;
    podman(machine, ["exec", "x", "no-such-program"]).code(127)?;
    podman(
        machine,
        ["exec", "-u", "1000", "-w", "/tmp", "-e", "Q=r", "x", "sh", "-c", "id -u; pwd; echo $Q"],
    )
    .success()?
    .says("1000\n/tmp\nr\n")?;
    let tty = podman(machine, ["exec", "-it", "x", "sh", "-c", "tty; stty size"]);
    let mut terminal = Terminal::spawn(tty.into_command(), 31, 91)?;
    terminal.wait_for("/dev/pts/")?;
    assert!(terminal.finish()?.success());
    let status = |wanted: &str| -> Result<(), Failed> {
        podman(machine, ["ps", "-a", "--format", "{{.Status}}"]).success()?.says(wanted).map(|_| ())
    };
    podman(machine, ["pause", "x"]).success()?;
    status("Paused")?;
    podman(machine, ["unpause", "x"]).success()?;
    status("Up")?;
    podman(machine, ["top", "x"]).success()?.says("PID")?;
    podman(machine, ["stop", "-t", "10", "x"]).success()?;
    status("Exited (9)")?;
    assert!(logs().contains("stopping"));
    podman(machine, ["start", "x"]).success()?;
    podman(machine, ["kill", "-s", "KILL", "x"]).success()?;
    podman(machine, ["wait", "x"]).success()?.says("137")?;
    podman(machine, ["rm", "x"]).success()?;
    // One that does not listen, and one that is removed while it runs.
    run(
        machine,
        ["-d", "--name", "deaf", "box", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"],
    )
    .success()?;
    podman(machine, ["rm", "-f", "-t", "0", "deaf"]).success()?;
    podman(machine, ["create", "--name", "never", "--network", "none", "box", "true"]).success()?;
    podman(machine, ["init", "never"]).success()?;
    podman(machine, ["rm", "-f", "never"]).success().map(|_| ())
}

fn limits(machine: &Machine) -> Result<(), Failed> {
    import(machine)?;
    run(
        machine,
        [
            "-d",
            "--name",
            "x",
            "-m",
            "64m",
            "--pids-limit",
            "20",
            "--cpus",
            "0.5",
            "box",
            "sleep",
            "1000",
        ],
    )
    .success()?;
    let pid = podman(machine, ["inspect", "--format", "{{.State.Pid}}", "x"]).success()?.stdout;
    let lines = machine.run(["cat", &format!("/proc/{}/cgroup", pid.trim())]).success()?.stdout;
    let of = |controller: &str, v1: &str, v2: &str| -> Result<String, Failed> {
        let v2_only = host().cgroups == Cgroups::V2;
        let line = lines.lines().find(|line| {
            if v2_only {
                line.starts_with("0::")
            } else {
                line.contains(&format!(":{controller}:"))
            }
        });
        let path = line.and_then(|line| line.splitn(3, ':').nth(2)).ok_or("no such cgroup")?;
        assert!(path.contains(&machine.name), "{lines}");
        let file = match v2_only {
            true => format!("/sys/fs/cgroup{path}/{v2}"),
            false => format!("/sys/fs/cgroup/{controller}{path}/{v1}"),
        };
        Ok(fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?.trim().to_owned())
    };
    assert_eq!(of("memory", "memory.limit_in_bytes", "memory.max")?, "67108864");
    assert_eq!(of("pids", "pids.max", "pids.max")?, "20");
    assert!(of("cpu", "cpu.cfs_quota_us", "cpu.max")?.starts_with("50000"));
    podman(machine, ["stats", "--no-stream", "x"]).done()?;
    if host().cgroups != Cgroups::V2 {
        podman(machine, ["update", "--help"]).done()?;
    }
    podman(machine, ["rm", "-f", "-t", "0", "x"]).success()?;
    // They hold.
    let eater = "head -c 200m /dev/zero | tail -c 200m | wc -c";
    let done =
        run(machine, ["--rm", "-m", "32m", "--memory-swap", "32m", "box", "sh", "-c", eater])
            .done()?;
    assert!(!done.stdout.contains("209715200"), "{done:?}");
    let forks = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait; echo all";
    let done = run(machine, ["--rm", "--pids-limit", "4", "box", "sh", "-c", forks]).done()?;
    assert!(!done.stdout.contains("all"), "{done:?}");
    Ok(())
}

fn volumes_and_ids(machine: &Machine) -> Result<(), Failed> {
    import(machine)?;
    fs::create_dir(machine.join("data"))?;
    fs::write(machine.join("data/file"), "of the host")?;
    let data = machine.path("data");
    let script = "cat /d/file /r/file; touch /d/new; touch /r/no || echo ro; touch /no || echo root; touch /tmp/yes && echo tmp";
    let (rw, ro) = (format!("{data}:/d"), format!("{data}:/r:ro"));
    let done =
        run(machine, ["--rm", "--read-only", "-v", &rw, "-v", &ro, "box", "sh", "-c", script])
            .success()?;
    done.says("of the hostof the hostro\nroot\ntmp\n")?;
    assert!(machine.join("data/new").exists());
    run(
        machine,
        [
            "--rm",
            "-v",
            "named:/v",
            "--tmpfs",
            "/t:size=1m",
            "box",
            "sh",
            "-c",
            "touch /v/x; df /t | grep -c 1024",
        ],
    )
    .success()?;
    let ids = ["--rm", "--uidmap", "0:100000:5000", "--gidmap", "0:200000:5000"];
    let script = "cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /new && stat -c %u /new";
    let done = run(machine, ids.into_iter().chain(["box", "sh", "-c", script])).success()?;
    let words: Vec<_> = done.stdout.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "5000", "0", "200000", "5000", "0", "0"]);
    run(
        machine,
        [
            "--rm",
            "--cap-drop",
            "all",
            "--security-opt",
            "no-new-privileges",
            "box",
            "grep",
            "-E",
            "^(CapEff|NoNew)",
            "/proc/self/status",
        ],
    )
    .success()?
    .says("CapEff:\t0000000000000000\nNoNewPrivs:\t1\n")?;
    // podman's own filter is on.
    run(machine, ["--rm", "box", "grep", "^Seccomp:", "/proc/self/status"]).success()?.says("2")?;
    run(machine, ["--rm", "--privileged", "box", "sh", "-c", "mount -t tmpfs t /tmp && echo may"])
        .success()?
        .says("may")?;
    run(
        machine,
        [
            "--rm",
            "--sysctl",
            "net.ipv4.ip_forward=1",
            "--ulimit",
            "nofile=99:99",
            "--ulimit",
            "nproc=100:100",
            "--device",
            "/dev/null:/dev/mine",
            "box",
            "sh",
            "-c",
            "cat /proc/sys/net/ipv4/ip_forward; ulimit -n; stat -c %t:%T /dev/mine",
        ],
    )
    .success()?
    .says("1\n99\n1:3\n")?;
    run(machine, ["--rm", "--pid", "host", "--ipc", "host", "--uts", "host", "box", "true"])
        .success()?;
    Ok(())
}

/// A pod: the first container's namespaces are the others', by path.
fn pods(machine: &Machine) -> Result<(), Failed> {
    import(machine)?;
    let parent = format!("/{}", machine.name);
    podman(
        machine,
        [
            "pod",
            "create",
            "--name",
            "p",
            "--network",
            "none",
            "--share",
            "net,ipc,uts,pid",
            "--infra-image",
            "box",
            "--infra-command",
            "sleep 1000",
            "--cgroup-parent",
            &parent,
        ],
    )
    .success()
    .map(|done| machine.leaves(done.stdout.trim()))?;
    // podman's own place for the monitors of a pod's containers. Empty, it goes.
    machine.leaves("libpod_parent");
    let container = |name: &str, script: &str| {
        podman(machine, ["run", "-d", "--pod", "p", "--name", name, "box", "sh", "-c", script])
            .success()
    };
    container("a", "hostname in-the-pod 2>/dev/null; exec sleep 1001")?;
    let seen = podman(machine, ["run", "--rm", "--pod", "p", "box", "ps"]).success()?.stdout;
    assert!(seen.contains("sleep 1000") && seen.contains("sleep 1001"), "{seen}");
    let ns = |name: &str| {
        podman(
            machine,
            [
                "exec",
                name,
                "sh",
                "-c",
                "for k in net ipc uts pid mnt; do readlink /proc/self/ns/$k; done",
            ],
        )
        .success()
    };
    container("b", "exec sleep 1002")?;
    let (a, b) = (ns("a")?.stdout, ns("b")?.stdout);
    let same: Vec<_> = a.lines().zip(b.lines()).map(|(a, b)| a == b).collect();
    assert_eq!(same, [true, true, true, true, false], "{a}{b}");
    podman(machine, ["pod", "stop", "-t", "0", "p"]).success()?;
    podman(machine, ["pod", "rm", "-f", "p"]).success().map(|_| ())
}

const AS_A_USER: &[Need] = &[
    Need::User,
    Need::Speed,
    Need::UserNamespaces,
    Need::IdRanges,
    Need::Program("podman"),
    Need::Program("conmon"),
];

/// As an ordinary user: podman makes the user namespace, in which the runtime is root.
fn as_a_user() -> Result<(), Failed> {
    let dir = TempDir::new();
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let before = Fingerprint::of(&[&*dir.path().to_string_lossy()]);
    fs::write(dir.join("containers.conf"), CONF)?;
    for name in ["home", "xdg", "tree"] {
        fs::create_dir(dir.join(name))?;
    }
    fs::set_permissions(dir.join("xdg"), fs::Permissions::from_mode(0o700))?;
    busybox_rootfs(&dir.join("tree"))?;
    let tree = dir.join("tree");
    Run::new("tar").args(["-cf", &path("image.tar"), "-C"]).arg(tree).arg(".").success()?;
    let podman = |words: &[&str]| {
        Run::new("podman")
            .args(["--root", &path("root"), "--runroot", &path("run"), "--tmpdir", &path("tmp")])
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
            .args(["--events-backend", "file", "--runtime"])
            .arg(runtime())
            .args(words)
            .env("CONTAINERS_CONF", path("containers.conf"))
            .env("HOME", path("home"))
            .env("XDG_RUNTIME_DIR", path("xdg"))
            .env("TMPDIR", dir.path())
            .dir(dir.path())
    };
    let run = |options: &[&str], script: &str| {
        let words = [&["run", "--network", "none"], options, &["box", "sh", "-c", script]].concat();
        podman(&words)
    };
    let outcome = (|| -> Result<(), Failed> {
        podman(&["import", "--change", "ENV=PATH=/bin", &path("image.tar"), "box"]).success()?;
        let done = run(&["--rm"], "id -u; cat /proc/self/uid_map; exit 5").code(5)?;
        let words: Vec<_> = done.stdout.split_whitespace().collect();
        let own = nix::unistd::getuid().to_string();
        assert_eq!(&words[..5], ["0", "0", &*own, "1", "1"], "{done:?}");
        run(&["--rm", "--userns", "keep-id"], "id -u").success()?.says(&own)?;
        run(&["--rm", "--user", "1000:1000", "--read-only"], "id -u; touch /x || echo ro")
            .success()?
            .says("1000\nro\n")?;
        run(&["-d", "--name", "one"], "exec sleep 1000").success()?;
        podman(&["exec", "one", "sh", "-c", "id -u; exit 3"]).code(3)?.says("0\n")?;
        podman(&["stop", "-t", "0", "one"]).success()?;
        podman(&["rm", "one"]).success().map(|_| ())
    })();
    podman(&["rm", "--all", "--force", "-t", "0"]).done()?;
    // Ends the process that holds the user namespace.
    podman(&["system", "migrate"]).done()?;
    outcome?;
    before.unchanged(std::time::Duration::from_secs(5))
}
