//! dockerd, its containerd and the docker client drive the runtime.

use std::fs;

use dockster_tests::{Failed, Run, Terminal, Trial, wait_until};

use crate::bundle::{PATIENCE, other, runtime};
use crate::engines::{Daemon, Machine, engine};

const PROGRAMS: &[&str] = &["dockerd", "docker", "containerd", "unshare", "nsenter"];

pub fn trials() -> Vec<Trial> {
    vec![engine("docker::a_life", PROGRAMS, a_life)]
}

fn docker<'a>(machine: &Machine, words: impl IntoIterator<Item = &'a str>) -> Run {
    machine.run(["docker", "--host", "unix:///run/docker.sock"]).args(words)
}

fn run<'a>(machine: &Machine, words: impl IntoIterator<Item = &'a str>) -> Run {
    docker(machine, ["run", "--network", "none"]).args(words)
}

fn start(machine: &Machine) -> Result<Daemon, Failed> {
    let parent = format!("/{}", machine.name);
    let add = format!("tested={}", runtime().to_string_lossy());
    let mut daemon = machine.daemon([
        "dockerd",
        "--data-root",
        &machine.path("docker"),
        "--exec-root",
        "/run/docker",
        "--pidfile",
        "/run/docker.pid",
        "--host",
        "unix:///run/docker.sock",
        "--bridge",
        "none",
        "--iptables=false",
        "--ip6tables=false",
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
        "--cgroup-parent",
        &parent,
        "--add-runtime",
        &add,
        "--default-runtime",
        "tested",
    ])?;
    wait_until("dockerd answers", PATIENCE, || {
        daemon.ended()
            || docker(machine, ["version"]).done().is_ok_and(|done| done.status.success())
    })
    .map_err(|_| Failed::from(machine.log()))?;
    docker(machine, ["import", "--change", "ENV PATH=/bin", &machine.image()?, "box"])
        .success()
        .map_err(|failed| {
            Failed::from(format!("{}\n{}", failed.message().unwrap_or(""), machine.log()))
        })?;
    Ok(daemon)
}

fn a_life(machine: &Machine) -> Result<(), Failed> {
    let _daemon = start(machine)?;
    verbs(machine).map_err(|failed| {
        format!("{}\n--- dockerd\n{}", failed.message().unwrap_or(""), machine.log()).into()
    })
}

fn verbs(machine: &Machine) -> Result<(), Failed> {
    let done =
        run(machine, ["--rm", "box", "sh", "-c", "echo out; echo err >&2; exit 5"]).code(5)?;
    assert_eq!((&*done.stdout, &*done.stderr), ("out\n", "err\n"));
    run(machine, ["--rm", "-i", "box", "cat"]).input("in").success()?.says("in")?;
    run(machine, ["--rm", "box", "no-such-program"]).code(127)?;
    run(machine, ["--rm", "box", "/etc/passwd"]).code(126)?;
    let words =
        run(machine, ["--rm", "-it", "box", "sh", "-c", "tty; read l; echo \"<$l>\"; exit 3"]);
    let mut terminal = Terminal::spawn(words.into_command(), 30, 90)?;
    terminal.wait_for("/dev/pts/0")?;
    terminal.type_keys("hello\r")?;
    terminal.wait_for("<hello>")?;
    assert_eq!(terminal.finish()?.code(), Some(3));
    let script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done";
    run(
        machine,
        ["-d", "--name", "one", "-m", "64m", "--pids-limit", "30", "box", "sh", "-c", script],
    )
    .success()?;
    docker(machine, ["exec", "-u", "1000", "-w", "/tmp", "one", "sh", "-c", "id -u; pwd; exit 4"])
        .code(4)?
        .says("1000\n/tmp\n")?;
    docker(machine, ["exec", "one", "no-such-program"])
        .done()
        .map(|done| assert!(!done.status.success()))?;
    docker(machine, ["pause", "one"]).success()?;
    docker(machine, ["ps", "-a"]).success()?.says("(Paused)")?;
    docker(machine, ["unpause", "one"]).success()?;
    docker(machine, ["top", "one"]).success()?;
    docker(machine, ["stats", "--no-stream", "one"]).success()?.says("64MiB")?;
    docker(machine, ["update", "-m", "80m", "--memory-swap", "80m", "one"]).success()?;
    docker(machine, ["stats", "--no-stream", "one"]).success()?.says("80MiB")?;
    docker(machine, ["stop", "one"]).success()?;
    docker(machine, ["inspect", "--format", "{{.State.ExitCode}}", "one"])
        .success()?
        .says("9\n")?;
    docker(machine, ["start", "one"]).success()?;
    docker(machine, ["kill", "one"]).success()?;
    docker(machine, ["wait", "one"]).success()?.says("137\n")?;
    docker(machine, ["rm", "one"]).success()?;
    fs::create_dir(machine.join("data"))?;
    let volume = format!("{}:/d:ro", machine.path("data"));
    run(
        machine,
        [
            "--rm",
            "--read-only",
            "--tmpfs",
            "/t",
            "-v",
            &volume,
            "box",
            "sh",
            "-c",
            "touch /x || echo root; touch /d/x || echo volume; touch /t/x && echo tmpfs",
        ],
    )
    .success()?
    .says("root\nvolume\ntmpfs\n")?;
    // docker's own seccomp profile and capabilities.
    run(machine, ["--rm", "box", "grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status"])
        .success()?
        .says("CapEff:\t00000000a80425fb\nSeccomp:\t2\n")?;
    // All capabilities that there are, which on some machines are more than root itself has:
    // the specification says that this is no failure, runc says that it is.
    let privileged = run(
        machine,
        ["--rm", "--privileged", "box", "sh", "-c", "mount -t tmpfs t /tmp && echo may"],
    )
    .done()?;
    assert!(other().is_some() || privileged.stdout == "may\n", "{privileged:?}");
    // An oom is told.
    let eater = "head -c 200m /dev/zero | tail -c 200m | wc -c";
    let done =
        run(machine, ["--rm", "-m", "32m", "--memory-swap", "32m", "box", "sh", "-c", eater])
            .done()?;
    assert!(!done.stdout.contains("209715200"), "{done:?}");
    run(machine, ["-d", "--name", "two", "box", "sleep", "1000"]).success()?;
    // A container that shares another's namespaces.
    run(machine, ["--rm", "--pid", "container:two", "--ipc", "host", "box", "ps"])
        .success()?
        .says("sleep 1000")?;
    docker(machine, ["rm", "-f", "two"]).success().map(|_| ())
}
