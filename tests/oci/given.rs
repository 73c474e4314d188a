//! What a runtime is given beside a bundle: sockets, a cgroup for one more process, and a
//! root that no pivot_root can reach.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use dockster_tests::{Cgroups, Failed, Need, Run, Trial, host, wait_until};
use serde_json::json;

use crate::bundle::{Bundle, PATIENCE, case, ours, runtime};
use crate::sockets::Listener;

pub fn trials() -> Vec<Trial> {
    let limits = &[Need::Root, Need::Limits];
    vec![
        case("given::a_root_without_pivot_root", &[Need::Root], no_pivot),
        ours("given::a_root_without_pivot_root_for_a_user", &[], no_pivot_of_a_user),
        case("given::a_root_that_pivot_root_refuses", &[Need::Root], no_way_out),
        case("given::exec_in_a_cgroup_below", limits, below),
        ours("given::exec_stays_below_the_containers_cgroup", limits, not_beside),
        ours("given::a_pidfd_for_a_socket", &[], pidfd),
        case("given::sockets_of_a_service_manager", &[Need::Root], listen),
        ours("given::sockets_for_a_program_with_an_init", &[], listen_with_init),
        case("given::sockets_for_somebody_else", &[Need::Root], listen_not_ours),
    ]
}

/// The root, and what is mounted in the container's sight.
const LOOK: &str = "ls /; cut -d' ' -f5 /proc/self/mountinfo";

fn no_pivot(bundle: &mut Bundle) -> Result<(), Failed> {
    fs::write(bundle.rootfs().join("marker"), "")?;
    let usual = bundle.says(LOOK)?;
    assert!(usual.contains("marker"), "{usual}");
    bundle.write()?;
    let log = bundle.join("log").to_string_lossy().into_owned();
    let run = bundle.oci(["--debug", "--log", &log, "run", "--no-pivot", "--bundle"]);
    let done = run.arg(bundle.dir()).arg(&bundle.id).success()?;
    assert_eq!(done.stdout.trim_end(), usual);
    if crate::bundle::other().is_none() {
        let steps = fs::read_to_string(&log)?;
        assert!(steps.contains("MS_MOVE") && !steps.contains("pivot_root"), "{steps}");
    }
    // Who comes later has the same root.
    bundle.script("exec sleep 1000");
    let done = bundle.create_with(&["--no-pivot"])?;
    if !done.status.success() {
        return Err(done.failed(&bundle.errors()));
    }
    bundle.verb("start")?;
    let seen = bundle.exec(&[], &["ls", "/"]).success()?.stdout;
    assert!(usual.starts_with(&seen), "{seen}");
    // Whoever takes that root away finds the old one, but nothing of the kernel's in it.
    let pid = bundle.pid()?.to_string();
    let inside = |words: &[&str]| {
        Run::new("nsenter").args(["--mount", "--target", &pid]).args(words).success()
    };
    inside(&["/bin/umount", "-l", "/"])?;
    let seen = inside(&["sh", "-c", "test ! -e /marker; ls -A /proc /sys"])?.stdout;
    assert_eq!(seen, "/proc:\n\n/sys:\n");
    bundle.end()
}

fn no_pivot_of_a_user(bundle: &mut Bundle) -> Result<(), Failed> {
    if host().root {
        bundle.map_ids();
        Run::new("chown").args(["-R", "100000:100000"]).arg(bundle.rootfs()).success()?;
    }
    bundle.script(LOOK);
    let usual = bundle.run()?.success()?.stdout;
    let run = bundle.oci(["run", "--no-pivot", "--bundle"]).arg(bundle.dir()).arg(&bundle.id);
    assert_eq!(run.success()?.stdout, usual);
    Ok(())
}

/// The mount above the old root is shared: then pivot_root(2) is EINVAL, as on a ramfs.
fn no_way_out(bundle: &mut Bundle) -> Result<(), Failed> {
    let inner = bundle.join("inner");
    fs::create_dir(&inner)?;
    let prepare = r#"set -e
        above=$1; bundle=$2; shift 2
        mount -t tmpfs above "$above"
        mount --make-shared "$above"
        mkdir "$above/root"
        mount -t tmpfs root "$above/root"
        for dir in bin lib lib64 usr sbin etc proc sys dev "$bundle" "$(dirname "$1")"; do
            dir=/${dir#/}
            test -e "$dir" || continue
            mkdir -p "$above/root$dir"
            mount --rbind "$dir" "$above/root$dir"
        done
        exec chroot "$above/root" "$@""#;
    bundle.script("cat /etc/hostname /proc/1/comm").write()?;
    fs::create_dir_all(bundle.rootfs().join("etc"))?;
    fs::write(bundle.rootfs().join("etc/hostname"), "its own\n")?;
    let run = |options: &[&str]| {
        Run::new("unshare")
            .args(["--mount", "sh", "-c", prepare, "sh"])
            .arg(&inner)
            .arg(bundle.dir())
            .arg(Path::new(&runtime()))
            .arg("--root")
            .arg(bundle.join("state"))
            .arg("run")
            .args(options)
            .arg("--bundle")
            .arg(bundle.dir())
            .arg(&bundle.id)
    };
    let done = run(&[]).done()?;
    assert!(!done.status.success() && done.stderr.contains("pivot_root"), "{done:?}");
    run(&["--no-pivot"]).success()?.says("its own\ncat\n")?;
    Ok(())
}

/// A cgroup of this name below the container's, in every hierarchy.
fn make_below(bundle: &Bundle, name: &str) -> Result<Vec<PathBuf>, Failed> {
    let lines = bundle.proc("cgroup")?;
    let mut made = Vec::new();
    for line in lines.lines().filter(|line| line.contains(&bundle.id)) {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next().unwrap_or_default();
        let path = fields.next().unwrap_or_default().trim_start_matches('/');
        let hierarchy = match (host().cgroups, controllers) {
            (Cgroups::V2, _) => "",
            (_, "") => "unified",
            (_, names) => names.trim_start_matches("name="),
        };
        let dir = Path::new("/sys/fs/cgroup").join(hierarchy).join(path).join(name);
        fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        // A new cpuset allows nothing.
        for file in ["cpuset.cpus", "cpuset.mems"].map(|name| (dir.join("..").join(name), name)) {
            if host().cgroups != Cgroups::V2 && file.0.exists() {
                fs::write(dir.join(file.1), fs::read(file.0)?)?;
            }
        }
        made.push(dir);
    }
    match made.is_empty() {
        true => Err(format!("it is in no cgroup of its own: {lines}").into()),
        false => Ok(made),
    }
}

fn below(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("")?;
    let made = make_below(bundle, "sub")?;
    let of = |options: &[&str]| -> Result<String, Failed> {
        Ok(bundle.exec(options, &["cat", "/proc/self/cgroup"]).success()?.stdout)
    };
    let count = |seen: &str| seen.lines().filter(|line| line.ends_with(":/sub")).count();
    assert_eq!(count(&of(&[])?), 0);
    for path in ["sub", "/sub", "./x/../sub"] {
        let seen = of(&["--cgroup", path])?;
        assert_eq!(count(&seen), made.len(), "{path}: {seen}");
    }
    assert_eq!(count(&of(&["--cgroup", "/"])?), 0);
    if host().cgroups != Cgroups::V2 {
        let seen = of(&["--cgroup", "memory:sub", "--cgroup=cpu,pids:/"])?;
        assert_eq!(count(&seen), 1, "{seen}");
        assert!(seen.contains(":memory:/sub\n"), "{seen}");
    }
    bundle.end()
}

fn not_beside(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.ready("")?;
    let wrong: &[(&[&str], &str)] = &[
        (&["--cgroup", ".."], ".. is not a sub cgroup path"),
        (&["--cgroup", "a/../../b"], "a/../../b is not a sub cgroup path"),
        (&["--cgroup", "nowhere"], "nowhere/cgroup.procs"),
        (&["--cgroup", "frob:sub"], "unknown controller frob"),
        (&["--cgroup", ":sub"], "empty <controller> prefix"),
        (&["--cgroup", "a", "--cgroup", "b"], "missing <controller>: prefix"),
        (&["--cgroup", "pids:a", "--cgroup", "cpu,pids:b"], "pids specified multiple times"),
    ];
    for (options, why) in wrong {
        bundle.exec(options, &["true"]).code(255)?.complains(why)?;
    }
    bundle.end()
}

/// Whom a pidfd stands for, as we number it.
fn whom(pidfd: &OwnedFd) -> Result<i32, Failed> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = about.lines().find_map(|line| line.strip_prefix("Pid:"));
    Ok(pid.ok_or_else(|| format!("it is no pidfd: {about}"))?.trim().parse()?)
}

fn pidfd(bundle: &mut Bundle) -> Result<(), Failed> {
    let listener = Listener::at(bundle.join("pidfd"))?;
    bundle.script("exec sleep 1000");
    let done = bundle.create_with(&["--pidfd-socket", &listener.path()])?;
    if !done.status.success() {
        return Err(done.failed(&bundle.errors()));
    }
    let (name, pidfd) = listener.one()?;
    assert_eq!((&*name, whom(&pidfd)?), ("standard", bundle.pid()?));
    bundle.verb("start")?;
    let (file, socket) = (bundle.join("pid"), listener.path());
    let file = file.to_string_lossy();
    let options = ["--detach", "--pid-file", &*file, "--pidfd-socket", &*socket];
    let exec = bundle.exec(&options, &["sleep", "1000"]).into_command();
    let silent = ["-c", "exec \"$@\" >/dev/null 2>&1", "sh"];
    Run::new("sh").args(silent).arg(exec.get_program()).args(exec.get_args()).success()?;
    let (name, more) = listener.one()?;
    let pid: i32 = fs::read_to_string(&*file)?.parse()?;
    assert_eq!((&*name, whom(&more)?), ("setns", pid));
    bundle.end()?;
    wait_until("its end shows", PATIENCE, || whom(&pidfd).is_ok_and(|pid| pid == -1))?;
    // Nobody is there: then nothing is made.
    drop(listener);
    let done = bundle.create_with(&["--pidfd-socket", "/nowhere"])?;
    assert!(!done.status.success() && bundle.errors().contains("/nowhere"), "{done:?}");
    bundle.nothing_left()
}

/// Runs it with two files as the sockets of a service manager, for the process `pid`.
fn with_sockets(bundle: &Bundle, pid: &str, options: &[&str]) -> Result<Run, Failed> {
    fs::write(bundle.join("three"), "third ")?;
    fs::write(bundle.join("four"), "fourth ")?;
    fs::write(bundle.join("five"), "fifth ")?;
    bundle.write()?;
    let script = format!(
        "exec 3<three 4<four 5<five; LISTEN_FDS=2 LISTEN_FDNAMES=web:admin LISTEN_PID={pid} \
         exec \"$@\""
    );
    Ok(Run::new("bash")
        .args(["-c", &script, "bash"])
        .arg(runtime())
        .arg("--root")
        .arg(bundle.join("state"))
        .arg("run")
        .args(options)
        .arg("--bundle")
        .arg(bundle.dir())
        .arg(&bundle.id)
        .dir(bundle.dir()))
}

const LISTENS: &str = "test $LISTEN_PID = $$ && echo for it; echo $LISTEN_FDS $LISTEN_FDNAMES; \
                       cat <&3; cat <&4; { cat <&5; } 2>/dev/null || echo no more";

fn listen(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script(LISTENS);
    // runc does not pass the names on.
    let names = if crate::bundle::other().is_some() { "" } else { " web:admin" };
    let done = with_sockets(bundle, "$$", &[])?.success()?;
    assert_eq!(done.stdout, format!("for it\n2{names}\nthird fourth no more\n"));
    // Others may follow them.
    let done = with_sockets(bundle, "$$", &["--preserve-fds", "1"])?.success()?;
    assert_eq!(done.stdout, format!("for it\n2{names}\nthird fourth fifth "));
    // Ours count, whatever the configuration says.
    bundle.push("process.env", "LISTEN_FDS=7");
    if crate::bundle::other().is_none() {
        with_sockets(bundle, "$$", &[])?.success()?.says("for it\n2 web:admin\nthird fourth")?;
    }
    Ok(())
}

fn listen_with_init(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.script(&format!("echo $$; {LISTENS}"));
    let done = with_sockets(bundle, "$$", &["--init"])?.success()?;
    assert_eq!(done.stdout, "2\nfor it\n2 web:admin\nthird fourth no more\n");
    Ok(())
}

fn listen_not_ours(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("process.args", json!(["sh", "-c", "echo \"<$LISTEN_FDS>\"; ls /proc/self/fd"]));
    let done = with_sockets(bundle, "1", &[])?.success()?;
    assert_eq!(done.stdout, "<>\n0\n1\n2\n3\n");
    Ok(())
}
