//! Options of `dockster run` that shape what a program finds inside.

use dockster_tests::{Failed, Need, Trial, host};

use crate::tools::{House, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("the_working_directory", &[], the_working_directory),
        beside("users_and_groups", &[Need::IdRanges], users_and_groups),
        beside("the_environment", &[], the_environment),
        beside("the_hostname", &[], the_hostname),
        beside("a_read_only_root", &[], a_read_only_root),
        beside("a_tmpfs", &[], a_tmpfs),
        beside("the_images_own_configuration", &[], the_images_own_configuration),
    ]
}

fn the_working_directory() -> Result<(), Failed> {
    let house = House::new()?;
    for (dir, expected) in [("/bin", "/bin"), ("/new/and/deep", "/new/and/deep"), ("/..", "/")] {
        let done = house.run(["-w", dir, "busybox", "pwd"]).success()?;
        assert_eq!(done.stdout.trim_end(), expected);
    }
    let done = house.sh(["-w", "/made"], "stat -c '%u %a' /made").success()?;
    assert_eq!(done.stdout, "0 755\n");
    // What was made for one container is not in the next.
    house.run(["busybox", "test", "-e", "/made"]).code(1)?;
    house.nothing_left()
}

fn users_and_groups() -> Result<(), Failed> {
    let house = House::new()?;
    let ids = "echo $(id -u):$(id -g):$HOME";
    let cases = [
        ("root", "0:0:/root"),
        ("user", "1000:1000:/home"),
        ("1000", "1000:1000:/home"),
        ("5", "5:0:/"),
        ("5:6", "5:6:/"),
        ("0:user", "0:1000:/root"),
        ("user:0", "1000:0:/home"),
    ];
    for (user, expected) in cases {
        let done = house.sh(["-u", user], ids).success()?;
        assert_eq!(done.stdout.trim_end(), expected, "-u {user}");
    }
    // Whoever is not root has no capabilities, and cannot get them back.
    let done = house.sh(["-u", "user"], "grep CapEff /proc/self/status; touch /x").code(1)?;
    done.says("0000000000000000\n")?.complains("Permission denied")?;
    Ok(())
}

fn the_environment() -> Result<(), Failed> {
    let house = House::new()?;
    let run = house
        .run(["--hostname", "box", "-e", "A=1", "-e", "FROM_HERE", "-e", "NOWHERE", "-e", "EMPTY="])
        .args(["-e", "TWICE=1", "-e", "TWICE=2", "-e", "A=a=b c", "busybox", "env"])
        .env("FROM_HERE", "here");
    let done = run.success()?;
    let mut lines: Vec<_> = done.stdout.lines().collect();
    lines.sort_unstable();
    // Nothing else of ours comes along: not DOCKSTER_ROOT, not LC_ALL.
    let expected = [
        "A=a=b c",
        "EMPTY=",
        "FROM_HERE=here",
        "HOME=/root",
        "HOSTNAME=box",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TWICE=2",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

fn the_hostname() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(["--hostname", "lighthouse", "busybox", "hostname"]).success()?;
    assert_eq!(done.stdout, "lighthouse\n");
    let done = house.run(["busybox", "hostname"]).success()?;
    let name = done.stdout.trim_end();
    assert!(name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    let long = "h".repeat(65);
    house.run(["--hostname", &long, "busybox", "true"]).code(125)?.complains("hostname")?;
    house.nothing_left()
}

fn a_read_only_root() -> Result<(), Failed> {
    let house = House::new()?;
    for path in ["/x", "/tmp/x", "/etc/passwd", "/bin/x"] {
        let done = house.sh(["--read-only"], &format!(": >>{path}")).done()?;
        assert!(!done.status.success(), "{path} is writable");
        done.complains("Read-only file system")?;
    }
    house.sh(["--read-only", "--tmpfs", "/tmp"], "echo x >/tmp/x && : >/dev/shm/x").success()?;
    house.sh(["--read-only"], "echo x >/dev/null && exec 3>/dev/full").success()?;
    // Nobody inside makes it writable again by a plain remount of somebody else's mount.
    house.sh([], "echo x >/x && cat /x").success()?.says("x\n")?;
    house.nothing_left()
}

fn a_tmpfs() -> Result<(), Failed> {
    let house = House::new()?;
    let fill = "dd if=/dev/zero of=/scratch/f bs=64k count=64 2>/dev/null; stat -c %s /scratch/f";
    let done = house.sh(["--tmpfs", "/scratch:size=1m"], fill).success()?;
    assert_eq!(done.stdout, "1048576\n", "a size of 1m is not kept");
    let done = house
        .sh(["--tmpfs", "/scratch"], "grep ' /scratch ' /proc/self/mountinfo; ls -A /scratch")
        .success()?;
    for word in ["nosuid", "nodev", "noexec", " - tmpfs "] {
        done.says(word)?;
    }
    assert_eq!(done.stdout.lines().count(), 1);
    // It may be run from if that is asked for, and over what the image has there.
    let script = "cp /bin/echo /etc/echo; chmod 755 /etc/echo; /etc/echo ran; ls /etc";
    let done = house.sh(["--tmpfs", "/etc:exec,mode=700"], script).success()?;
    done.says("ran\necho\n")?;
    house.nothing_left()
}

fn the_images_own_configuration() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    let changes = [
        "ENTRYPOINT [\"sh\", \"-c\"]",
        "CMD [\"echo $GREETING from $PWD\"]",
        "ENV GREETING=hello world",
        "WORKDIR /home",
    ];
    let mut import = house.dockster(["import"]);
    for change in changes {
        import = import.args(["--change", change]);
    }
    import.arg(tree).arg("own").success()?;
    let done = house.run(["own"]).success()?;
    assert_eq!(done.stdout, "hello world from /home\n");
    // The user's words take the place of CMD, not of ENTRYPOINT; and options win.
    let done =
        house.run(["-e", "GREETING=bye", "-w", "/", "own", "echo $GREETING $PWD"]).success()?;
    assert_eq!(done.stdout, "bye /\n");
    let bad = house.dockster(["import", "--change", "NONSENSE 1", "/", "own"]).done()?;
    assert!(!bad.status.success());
    bad.complains("NONSENSE")?;
    assert!(host().root || house.containers()?.is_empty());
    Ok(())
}
