//! What cannot be done: one sentence, docker's exit status, and nothing left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dockster_tests::{Failed, Need, Run, Trial};

use crate::tools::{DOCKSTER, House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("what_follows_the_image_is_the_commands", &[], what_follows_the_image),
        beside("exit_statuses_are_passed_on", &[], exit_statuses_are_passed_on),
        beside("programs_that_cannot_run", &[], programs_that_cannot_run),
        beside("what_does_not_exist", &[], what_does_not_exist),
        beside("options_that_make_no_sense", &[], options_that_make_no_sense),
        beside("sizes_that_make_no_sense", &[], sizes_that_make_no_sense),
        beside("names_are_checked_and_taken_once", &[], names_are_checked_and_taken_once),
        beside("two_megabytes_of_environment", &[], two_megabytes_of_environment),
        beside("a_full_disk", &[Need::Root], a_full_disk),
        beside("a_root_that_cannot_be", &[], a_root_that_cannot_be),
    ]
}

fn exit_statuses_are_passed_on() -> Result<(), Failed> {
    let house = House::new()?;
    for status in [0, 1, 42, 125, 255] {
        let done = house.sh([], &format!("exit {status}")).code(status)?;
        assert_eq!(done.stderr, "");
    }
    // A shell that dies of a signal, inside; what a shell makes of it is 128 and the signal.
    house.sh([], "sh -c 'kill -TERM $$'; exit $?").code(143)?;
    house.sh([], "sh -c 'kill -KILL $$'; exit $?").code(137)?;
    house.nothing_left()
}

/// Programs that are there and cannot be run.
fn furnish(tree: &Path) -> Result<(), Failed> {
    // This very program, but for a machine that does not exist.
    let mut foreign = fs::read("/proc/self/exe")?;
    foreign.truncate(4096);
    foreign[18..20].copy_from_slice(&0x1234u16.to_ne_bytes());
    let files: [(&str, &[u8], u32); 5] = [
        ("foreign", &foreign, 0o755),
        ("orphan", b"#!/no/such/interpreter\n", 0o755),
        ("bare", b"echo a script without its first line\n", 0o755),
        ("plain", b"#!/bin/sh\n", 0o644),
        ("hidden/program", b"#!/bin/sh\n", 0o755),
    ];
    fs::create_dir(tree.join("hidden"))?;
    for (name, content, mode) in files {
        fs::write(tree.join(name), content)?;
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode))?;
    }
    fs::set_permissions(tree.join("hidden"), fs::Permissions::from_mode(0o700))?;
    Ok(())
}

fn programs_that_cannot_run() -> Result<(), Failed> {
    let house = House::with(furnish)?;
    let cases = [
        ("nosuch", 127, "executable file not found in $PATH"),
        ("/no/such", 127, "no such file"),
        ("./nosuch", 127, "no such file"),
        ("/plain", 126, "EACCES"),
        ("/etc", 126, "not an executable file"),
        ("/bin", 126, "not an executable file"),
        ("/etc/passwd/x", 126, "ENOTDIR"),
        ("/foreign", 126, "ENOEXEC"),
        ("/bare", 126, "ENOEXEC"),
        ("/orphan", 127, "ENOENT"),
    ];
    for (program, status, words) in cases {
        let done = house.run(["busybox", program]).code(status)?;
        one_sentence(&done, words)?;
        done.complains(program)?;
    }
    house.run(["busybox", "/foreign"]).code(126)?.complains("another architecture")?;
    house.run(["busybox", "/orphan"]).code(127)?.complains("interpreter")?;
    let done = house.run(["-u", "1000", "busybox", "/hidden/program"]).done()?;
    // With one id only there is no user 1000.
    if done.status.code() != Some(125) {
        one_sentence(&done, "EACCES")?;
        assert_eq!(done.status.code(), Some(126));
    }
    house.nothing_left()
}

fn what_does_not_exist() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(["--pull", "never", "nosuch", "true"]).code(125)?;
    one_sentence(&done, "Unable to find image 'nosuch:latest' locally")?;
    let done = house.run(["busybox"]).code(125)?;
    one_sentence(&done, "No command specified")?;
    let done = house.run(["-u", "nobody", "busybox", "true"]).code(125)?;
    one_sentence(&done, "unable to find user nobody: no matching entries in passwd file")?;
    let done = house.run(["-u", "0:nogroup", "busybox", "true"]).code(125)?;
    one_sentence(&done, "unable to find group nogroup: no matching entries in group file")?;
    for command in ["rm", "rmi"] {
        let done = house.dockster([command, "nosuch"]).code(1)?;
        one_sentence(&done, "No such")?;
    }
    house.nothing_left()
}

fn options_that_make_no_sense() -> Result<(), Failed> {
    let house = House::new()?;
    let cases: [(&[&str], &str); 8] = [
        (&["-w", "relative"], "needs to be an absolute path"),
        (&["-v", "/a:/b:/c:/d"], "a volume is SOURCE:TARGET"),
        (&["-v", "rel/ative:/b"], "starts with / or ."),
        (&["-v", "/tmp:relative"], "a volume is SOURCE:TARGET"),
        (&["--tmpfs", "relative"], "TARGET absolute"),
        (&["--tmpfs", "/x:nosuch=1"], "nosuch"),
        (&["-it"], "the input device is not a TTY"),
        (&["-w", "/etc/passwd"], "ENOTDIR"),
    ];
    for (options, words) in cases {
        let done = house.run(options.iter().copied()).args(["busybox", "true"]).code(125)?;
        one_sentence(&done, words)?;
    }
    // What the parser refuses is 125, too, and not clap's 2.
    house.dockster(["run", "--nosuch", "busybox"]).code(125)?.complains("--nosuch")?;
    house.dockster(["run"]).code(125)?.complains("<IMAGE>")?;
    house.dockster(["nosuch"]).code(125)?.complains("nosuch")?;
    house.nothing_left()
}

fn sizes_that_make_no_sense() -> Result<(), Failed> {
    let house = House::new()?;
    let cases: [(&[&str], &str); 9] = [
        (&["-m", "12q"], "\"q\" is not a unit"),
        (&["-m", ""], "-m"),
        (&["-m", "-5"], "-5"),
        (&["-m", "99999999999999999999"], "99999999999999999999"),
        (&["-m", "1"], "under 6m is too small"),
        (&["-m", "64m", "--memory-swap", "32m"], "--memory-swap"),
        (&["--cpus", "x"], "--cpus"),
        (&["--cpus", "10000"], "processors"),
        (&["--pids-limit", "x"], "--pids-limit"),
    ];
    for (options, words) in cases {
        let done = house.run(options.iter().copied()).args(["busybox", "true"]).code(125)?;
        done.complains(words)?;
    }
    house.nothing_left()
}

fn names_are_checked_and_taken_once() -> Result<(), Failed> {
    let house = House::new()?;
    let long = "a".repeat(300);
    for name in ["x", "-x", "../x", "a/b", "", "a b", "ä", &long] {
        let option = format!("--name={name}");
        let done = house.run([&*option, "busybox", "true"]).code(125)?;
        one_sentence(&done, "Invalid container name")?;
    }
    house.nothing_left()?;
    house.dockster(["run", "--name", "taken", "busybox", "true"]).success()?;
    let id = house.containers()?.join(" ");
    let done = house.run(["--name", "taken", "busybox", "true"]).code(125)?;
    one_sentence(&done, "Conflict. The container name \"/taken\" is already in use by container")?;
    done.complains(&id)?;
    assert_eq!(house.containers()?.len(), 1);
    house.dockster(["rm", "taken"]).success()?;
    house.run(["--name", "taken", "busybox", "true"]).success()?;
    house.nothing_left()
}

/// More than any kernel takes: half of it is the image's, half the user's.
fn two_megabytes_of_environment() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    let value = "x".repeat(100_000);
    let mut import = house.dockster(["import"]);
    for number in 0..12 {
        import = import.args(["--change", &format!("ENV IMAGE{number}={value}")]);
    }
    import.arg(&tree).arg("busybox").success()?;
    let mut run = house.run([]);
    for number in 0..10 {
        run = run.args(["-e", &format!("USER{number}={value}")]);
    }
    let done = run.args(["busybox", "true"]).code(126)?;
    // Without the megabytes themselves.
    assert!(done.stderr.len() < 1000, "{} bytes of error", done.stderr.len());
    one_sentence(&done, "E2BIG")?;
    done.complains("arguments and environment are larger than the kernel takes")?;
    house.nothing_left()
}

/// In a mount namespace of its own, a root on a disk of a few megabytes.
fn a_full_disk() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    fs::create_dir(house.root())?;
    fs::write(tree.join("large"), vec![b'x'; 6 << 20])?;
    let script = r#"
        mount -t tmpfs -o size=8m none "$DOCKSTER_ROOT"
        cp -r "$TREE" "$TREE.small"; rm "$TREE.small/large"
        "$DOCKSTER" import "$TREE.small" small || exit 10
        before=$(du -s "$DOCKSTER_ROOT" | cut -f1)
        "$DOCKSTER" import "$TREE" large; echo import=$?
        after=$(du -s "$DOCKSTER_ROOT" | cut -f1)
        echo given-back=$((after - before < 64))
        "$DOCKSTER" images
        dd if=/dev/zero of="$DOCKSTER_ROOT/full" bs=64k 2>/dev/null
        "$DOCKSTER" run --rm --name full small true; echo run=$?
        "$DOCKSTER" ps -a
        rm "$DOCKSTER_ROOT/full"
        "$DOCKSTER" run --rm --name full small echo again
    "#;
    let done = Run::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .env("DOCKSTER_ROOT", house.root())
        .env("DOCKSTER", DOCKSTER)
        .env("TREE", &tree)
        .success()?;
    done.says("import=125\ngiven-back=1\n")?;
    done.says("run=125\n")?;
    done.says("again\n")?;
    if done.stdout.contains("large") || done.stdout.contains("full\n") {
        return Err(done.failed("something is left of what has failed"));
    }
    let sentences = done.stderr.lines().filter(|line| line.starts_with("dockster: ")).count();
    assert_eq!(sentences, 2, "{}", done.stderr);
    done.complains("ENOSPC").map(drop)
}

fn a_root_that_cannot_be() -> Result<(), Failed> {
    let house = House::empty();
    fs::write(house.join("file"), "")?;
    for root in [house.join("file"), house.join("file/below"), "/proc/nosuch".into()] {
        let root = root.to_str().ok_or("a path")?;
        let done = house.dockster(["--root", root, "images"]).code(125)?;
        one_sentence(&done, root)?;
    }
    Ok(())
}

/// Whatever it looks like: an option of ours, too, and a double dash.
fn what_follows_the_image() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(["--entrypoint", "sh", "busybox", "-c", "echo $0 $@", "-i", "--rm"]);
    assert_eq!(done.success()?.stdout, "-i --rm\n");
    let done = house.run(["busybox", "echo", "--", "--name", "x", "--help"]).success()?;
    assert_eq!(done.stdout, "-- --name x --help\n");
    house.run(["busybox", "--", "true"]).code(127)?;
    house.run(["--no-such-option", "busybox"]).code(125)?;
    house.run([]).code(125)?;
    // Of options that can be given once the last one counts.
    let done =
        house.run(["-h", "one", "-h", "two", "-t", "-t", "busybox", "hostname"]).success()?;
    assert_eq!(done.stdout, "two\r\n");
    house.dockster(["run", "-d", "--name", "it", "busybox", "sleep", "1000"]).success()?;
    let done = house.dockster(["exec", "it", "echo", "-t", "-i"]).success()?;
    assert_eq!(done.stdout, "-t -i\n");
    house.dockster(["exec", "it", "-t"]).code(127)?;
    house.dockster(["exec", "it"]).code(125)?;
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}
