//! containerd and its shim drive the runtime.

use std::fs;

use dockster_tests::{Failed, Run, Terminal, Trial, wait_until};

use crate::bundle::{PATIENCE, runtime};
use crate::engines::{Daemon, Machine, engine};

const PROGRAMS: &[&str] = &["containerd", "ctr", "umoci", "unshare", "nsenter"];

pub fn trials() -> Vec<Trial> {
    vec![engine("containerd::a_life", PROGRAMS, a_life)]
}

/// A namespace of containerd's is the cgroup parent, too.
fn ctr<'a>(machine: &Machine, words: impl IntoIterator<Item = &'a str>) -> Run {
    machine
        .run(["ctr", "--address", "/run/containerd.sock", "--namespace", &machine.name])
        .args(words)
}

fn run<'a>(machine: &Machine, words: impl IntoIterator<Item = &'a str>) -> Run {
    let runtime = runtime().to_string_lossy().into_owned();
    ctr(machine, ["run", "--runc-binary", &runtime]).args(words)
}

fn start(machine: &Machine) -> Result<Daemon, Failed> {
    let config = format!(
        "version = 2\nroot = {:?}\nstate = \"/run/containerd-state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"/run/containerd.sock\"\n",
        machine.path("containerd")
    );
    fs::write(machine.join("config.toml"), config)?;
    let mut daemon = machine.daemon(["containerd", "--config", &machine.path("config.toml")])?;
    wait_until("containerd answers", PATIENCE, || {
        daemon.ended() || ctr(machine, ["version"]).done().is_ok_and(|done| done.status.success())
    })
    .map_err(|_| Failed::from(machine.log()))?;
    let layout = machine.path("layout");
    let tag = format!("{layout}:latest");
    let archive = machine.image()?;
    Run::new("umoci").args(["init", "--layout", &layout]).success()?;
    Run::new("umoci").args(["new", "--image", &tag]).success()?;
    Run::new("umoci").args(["raw", "add-layer", "--image", &tag, &archive]).success()?;
    Run::new("tar").args(["-cf", &machine.path("oci.tar"), "-C", &layout, "."]).success()?;
    ctr(machine, ["image", "import", "--base-name", "box", &machine.path("oci.tar")]).success()?;
    Ok(daemon)
}

const IMAGE: &str = "box:latest";

fn a_life(machine: &Machine) -> Result<(), Failed> {
    let _daemon = start(machine)?;
    let inner = || -> Result<(), Failed> {
        run(machine, ["--rm", IMAGE, "a", "sh", "-c", "echo out; exit 4"])
            .code(4)?
            .says("out\n")?;
        let failed = run(machine, ["--rm", IMAGE, "b", "no-such-program"]).code(1)?;
        failed.complains("no-such-program")?;
        let mut terminal = Terminal::spawn(
            run(machine, ["--rm", "--tty", IMAGE, "t", "sh", "-c", "tty; read l; echo \"<$l>\""])
                .into_command(),
            30,
            90,
        )?;
        terminal.wait_for("/dev/pts/0")?;
        terminal.type_keys("hello\r")?;
        terminal.wait_for("<hello>")?;
        terminal.finish()?;
        run(machine, ["--detach", "--memory-limit", "67108864", IMAGE, "c", "sleep", "1000"])
            .success()?;
        let task = |words: &[&str]| ctr(machine, ["task"].into_iter().chain(words.iter().copied()));
        task(&["exec", "--exec-id", "e", "c", "sh", "-c", "id -u; exit 3"]).code(3)?.says("0\n")?;
        task(&["pause", "c"]).success()?;
        task(&["ls"]).success()?.says("PAUSED")?;
        task(&["resume", "c"]).success()?;
        task(&["ls"]).success()?.says("RUNNING")?;
        task(&["ps", "c"]).success()?;
        task(&["metrics", "c"]).success()?;
        task(&["kill", "--signal", "KILL", "c"]).success()?;
        wait_until("it has stopped", PATIENCE, || {
            task(&["ls"]).done().is_ok_and(|done| done.stdout.contains("STOPPED"))
        })?;
        task(&["delete", "c"]).done()?;
        ctr(machine, ["container", "rm", "c"]).success()?;
        run(machine, ["--rm", "--read-only", IMAGE, "d", "sh", "-c", "touch /x || echo ro"])
            .success()?
            .says("ro\n")?;
        run(machine, ["--detach", IMAGE, "e", "sh", "-c", "sleep 1001 & sleep 1002"]).success()?;
        task(&["delete", "--force", "e"]).done()?;
        ctr(machine, ["container", "rm", "e"]).success()?;
        Ok(())
    };
    inner().map_err(|failed| {
        format!("{}\n--- containerd\n{}", failed.message().unwrap_or(""), machine.log()).into()
    })
}
