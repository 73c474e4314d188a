//! What a configuration can say of a root, and the chapter's program cannot: the
//! library is asked directly, by this program as a process of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

use ch01_clone::{IdMaps, IdRange, Namespace, Namespaces, Plan, Program};
use ch02_chroot::extra::{Extra, Flags, Propagation};
use ch02_chroot::nodes::Device;
use ch02_chroot::{Attributes, Mount, Rootfs, Tree};
use dockster_tests::{Failed, Need, Run, TempDir, Trial, trial};
use nix::sys::stat::SFlag;

use crate::{root, trees};

/// The part that this program plays.
pub const PART: &str = "more";

const NS: &[Need] = &[Need::UserNamespaces];
const ROOT: &[Need] = &[Need::Root];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("library_flags_of_the_top_and_of_all", ROOT, || flags("no")),
        trial("library_flags_in_a_user_namespace", NS, || flags("yes")),
        trial("library_a_bind_can_be_flat", ROOT, a_flat_bind),
        trial("library_owners_can_be_mapped", ROOT, owners),
        trial("library_a_tmpfs_can_begin_with_what_it_covers", ROOT, || copy_up("no")),
        trial("library_a_users_tmpfs_can_as_well", NS, || copy_up("yes")),
        trial("library_long_options_go_the_old_way", ROOT, long_options),
        trial("library_devices_of_a_configuration", ROOT, devices),
        trial("library_devices_in_a_user_namespace", NS, users_devices),
        trial("library_devices_of_a_root_without_dev", ROOT, || dev_of_the_image("none")),
        trial("library_nothing_is_made_in_a_bound_dev", ROOT, || dev_of_the_image("bound")),
        trial("library_a_slave_hears_of_the_host", ROOT, || propagation("slave")),
        trial("library_shared_is_heard_by_the_host", ROOT, || propagation("shared")),
        trial("library_without_a_word_it_is_cut_off", ROOT, || propagation("early")),
        trial("library_sources_that_root_inside_cannot_reach", ROOT, unreachable),
        trial("library_a_cgroup_mount_shows_its_own", ROOT, cgroup),
        trial("library_what_lies_in_proc", NS, in_proc),
        trial("library_the_kernels_words_come_along", NS, words),
        trial("library_dev_is_frozen_last", NS, frozen),
    ]
}

/// `case` of [`mounts`], with `script` inside, in a user namespace or not.
fn case(case: &str, root: &TempDir, data: &TempDir, users: &str, script: &str) -> Run {
    let exe = std::env::current_exe().expect("this program");
    // In a mount namespace of its own, where `$DATA` may be mounted upon.
    let own = if nix::unistd::geteuid().is_root() { &[][..] } else { &["-r"][..] };
    Run::new("unshare")
        .args(["--mount", "--propagation=private"])
        .args(own)
        .args(["sh", "-c", "mount --bind \"$DATA\" \"$DATA\" && eval \"$BEFORE\" && exec \"$0\""])
        .arg(exe)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env(trees::PART, PART)
        .env("CASE", case)
        .env("BEFORE", ":")
        .env("BASE", root.path())
        .env("DATA", data.path())
        .env("USERS", users)
        .env("SCRIPT", script)
}

fn var(name: &str) -> String {
    std::env::var(name).expect("the test sets it")
}

/// In a process with one thread.
pub fn play() {
    match inside() {
        Ok(status) => std::process::exit(status.into()),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

fn inside() -> ch01_clone::Result<u8> {
    let users = var("USERS") == "yes";
    let ids = if users { ids() } else { IdMaps::current()? };
    let kinds = Namespace::ALL.into_iter().filter(|kind| users || *kind != Namespace::User);
    let mut rootfs = Rootfs::new(Tree::Directory(var("BASE").into()), &ids);
    rootfs.more.early = var("CASE") == "unreachable";
    configure(&mut rootfs);
    rootfs.prepare()?;
    let program = Program::new(["sh", "-c", &var("SCRIPT")], ["PATH=/bin"])?;
    let plan =
        Plan { namespaces: Namespaces::of(kinds), ids: users.then_some(ids), ..Plan::default() };
    let child = plan.spawn(|gate| {
        rootfs.enter()?;
        program.find()?.exec(gate)
    })?;
    Ok(child.start()?.0.wait()?.code())
}

/// Root of the machine is somebody else inside, so that it cannot reach what is root's.
fn ids() -> IdMaps {
    match var("CASE") == "unreachable" {
        true => {
            let range = || vec![IdRange { inside: 0, outside: 100_000, count: 1000 }];
            IdMaps { uids: range(), gids: range() }
        }
        false => IdMaps::one(),
    }
}

fn with(target: &str, extra: Extra) -> Mount {
    Mount { extra: Some(Box::new(extra)), ..Mount::bind(var("DATA"), target) }
}

fn extra(change: impl FnOnce(&mut Extra)) -> Extra {
    let mut extra = Extra::default();
    change(&mut extra);
    extra
}

fn tmpfs(target: &str, options: &[&str], extra: Extra) -> Mount {
    let mount = Mount::new("tmpfs", target, options, Attributes::default());
    Mount { extra: Some(Box::new(extra)), ..mount }
}

fn how(name: &str) -> Propagation {
    Propagation::parse(name).expect("a propagation")
}

/// What each case adds.
fn configure(rootfs: &mut Rootfs) {
    let read_only = libc::MOUNT_ATTR_RDONLY;
    let mounts = &mut rootfs.mounts;
    match &*var("CASE") {
        "flags" => {
            // In a user namespace the times of last access are the host's affair.
            let noatime = if var("USERS") == "no" { libc::MOUNT_ATTR_NOATIME } else { 0 };
            mounts.push(with("/top", extra(|e| e.top.on(read_only | noatime))));
            mounts.push(with("/all", extra(|e| e.all.on(read_only))));
            let mut again = extra(|e| e.top.on(libc::MOUNT_ATTR_NOSYMFOLLOW));
            again.remount = true;
            mounts.push(with("/all", again));
        }
        "flat" => mounts.push(with("/flat", extra(|e| e.flat = true))),
        "owners" => {
            let range = |to| vec![IdRange { inside: 0, outside: to, count: 10 }];
            let maps = IdMaps { uids: range(1000), gids: range(2000) };
            let mapped = |e: &mut Extra| (e.ids, e.early) = (Some((maps.clone(), false)), true);
            mounts.push(with("/mapped", extra(mapped)));
        }
        "copy up" => mounts.push(tmpfs(
            "/etc",
            &["size=1m"],
            extra(|e| {
                (e.copy_up, e.same_mode) = (true, true);
                e.top.on(read_only);
            }),
        )),
        "long" => {
            let layers =
                (0..9).map(|n| format!("{}/a-layer-with-a-long-name-{n:020}", var("DATA")));
            let lower = format!("lowerdir={}", layers.collect::<Vec<_>>().join(":"));
            let nosuid = Attributes { nosuid: true, ..Attributes::default() };
            let mount = Mount::new("overlay", "/long", &[&lower], nosuid);
            mounts.push(Mount { extra: Some(Box::default()), ..mount });
        }
        "devices" => {
            let device = |path: &str, kind, number, mode| Device {
                path: path.into(),
                kind,
                number,
                mode,
                uid: 0,
                gid: 0,
            };
            let null = device("/dev/null", SFlag::S_IFCHR, (1, 3), 0o600);
            let zero = device("/dev/a/zero", SFlag::S_IFCHR, (1, 5), 0o640);
            let pipe = device("/dev/pipe", SFlag::S_IFIFO, (0, 0), 0o604);
            let all = match var("USERS") == "yes" {
                true => vec![pipe],
                false => vec![null, Device { uid: 7, gid: 8, ..zero }, pipe],
            };
            rootfs.more.devices = Some(all);
        }
        "none" => mounts.retain(|mount| !mount.target.starts_with("/dev")),
        "bound" => {
            mounts.retain(|mount| !mount.target.starts_with("/dev"));
            mounts.push(with("/dev", Extra::default()));
        }
        "slave" | "shared" | "early" => {
            let name = var("CASE");
            let propagation = if name == "early" { vec![] } else { vec![how(&name)] };
            let mut mount = extra(|e| e.early = true);
            mount.propagation = propagation;
            mounts.push(with("/data", mount));
        }
        "unreachable" => mounts.push(with("/data", extra(|e| e.early = true))),
        "cgroup" => {
            let mount = Mount::new("cgroup", "/sys/fs/cgroup", &[], Attributes::DATA.read_only());
            mounts.push(Mount { extra: Some(Box::default()), ..mount });
        }
        "proc file" => mounts.push(Mount::bind(var("DATA") + "/file", "/proc/uptime")),
        "proc link" => mounts.push(Mount::bind(var("DATA") + "/file", "/proc/version")),
        "other proc" => {
            mounts.clear();
            mounts.push(tmpfs("/proc", &[], Extra::default()));
        }
        "words" => mounts.push(tmpfs("/t", &["nonsense"], Extra::default())),
        "frozen" => rootfs.more.frozen.push(PathBuf::from("/dev")),
        other => panic!("{other}: no such case"),
    }
    assert_eq!(Flags::default(), Extra::default().top);
}

fn flags(users: &str) -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::create_dir(data.join("below"))?;
    let script = "
        touch /top/below/x && echo top: below can be written
        for dir in /top /all /all/below; do
            touch $dir/x 2>/dev/null && echo $dir can be written
        done
        grep ' /top .*noatime' /proc/self/mountinfo >/dev/null && echo noatime
        grep ' /all .*nosymfollow' /proc/self/mountinfo >/dev/null && echo nosymfollow
        true";
    let done = case("flags", &root, &data, users, script)
        .env("BEFORE", "mount -t tmpfs none \"$DATA/below\"")
        .success()?;
    let noatime = if users == "no" { "noatime\n" } else { "" };
    assert_eq!(done.stdout, format!("top: below can be written\n{noatime}nosymfollow\n"));
    Ok(())
}

fn a_flat_bind() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::create_dir(data.join("below"))?;
    let done = case("flat", &root, &data, "no", "grep -c /flat /proc/self/mountinfo")
        .env("BEFORE", "mount -t tmpfs none \"$DATA/below\"")
        .success()?;
    assert_eq!(done.stdout, "1\n");
    Ok(())
}

fn owners() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::write(data.join("file"), "")?;
    chown(data.join("file"), Some(3), Some(4))?;
    let done = case("owners", &root, &data, "no", "stat -c %u:%g /mapped/file").success()?;
    assert_eq!(done.stdout, "1003:2004\n");
    Ok(())
}

fn copy_up(users: &str) -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    let etc = root.join("etc");
    fs::create_dir_all(etc.join("a/b"))?;
    fs::write(etc.join("a/b/file"), "content\n")?;
    symlink("/nowhere/at/all", etc.join("link"))?;
    fs::set_permissions(etc.join("a/b/file"), fs::Permissions::from_mode(0o4711))?;
    fs::set_permissions(&etc, fs::Permissions::from_mode(0o751))?;
    let script = "
        cat /etc/a/b/file; readlink /etc/link; stat -c %a /etc /etc/a/b/file
        touch /etc/new 2>/dev/null || echo read-only";
    let done = case("copy up", &root, &data, users, script).success()?;
    assert_eq!(done.stdout, "content\n/nowhere/at/all\n751\n4711\nread-only\n");
    Ok(())
}

fn long_options() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    for number in 0..9 {
        let layer = data.join(format!("a-layer-with-a-long-name-{number:020}"));
        fs::create_dir(&layer)?;
        fs::write(layer.join(format!("of-{number}")), "")?;
    }
    let script = "ls /long | grep -c of-; grep -c ' /long .*nosuid' /proc/self/mountinfo";
    assert_eq!(case("long", &root, &data, "no", script).success()?.stdout, "9\n1\n");
    Ok(())
}

fn devices() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    let script = "stat -c '%F %a %u:%g %t:%T' /dev/null /dev/a/zero /dev/pipe /dev/full";
    let done = case("devices", &root, &data, "no", script).success()?;
    assert_eq!(
        done.stdout,
        "character special file 600 0:0 1:3\ncharacter special file 640 7:8 1:5\n\
         fifo 604 0:0 0:0\ncharacter special file 666 0:0 1:7\n"
    );
    Ok(())
}

fn users_devices() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    let script = "stat -c '%F %a %t:%T' /dev/pipe /dev/full";
    let done = case("devices", &root, &data, "yes", script).success()?;
    assert_eq!(done.stdout, "fifo 604 0:0\ncharacter special file 666 1:7\n");
    Ok(())
}

fn dev_of_the_image(name: &str) -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::create_dir_all(root.join("dev"))?;
    fs::write(root.join("dev/zero"), "the image's\n")?;
    case(name, &root, &data, "no", "true").success()?;
    let made = |dir: &TempDir, name| fs::symlink_metadata(dir.join(name)).is_ok();
    match name {
        "none" => {
            assert!(made(&root, "dev/null") && made(&root, "dev/ptmx"));
            assert_eq!(fs::read_to_string(root.join("dev/zero"))?, "the image's\n");
        }
        _ => assert!(!made(&data, "null") && !made(&data, "ptmx") && !made(&root, "dev/null")),
    }
    Ok(())
}

/// The "host" here is a mount namespace in which `$DATA` is shared.
fn propagation(name: &str) -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    for dir in ["host", "inside", "turn"] {
        fs::create_dir(data.join(dir))?;
    }
    // The host waits for the mount inside, mounts something itself, and gives the turn back.
    let before = "
        mount --make-shared \"$DATA\"
        ( while ! test -e \"$DATA/turn/host\"; do sleep 0.02; done
          grep -q \"$DATA/inside \" /proc/self/mountinfo && touch \"$DATA/turn/heard\"
          mount -t tmpfs none \"$DATA/host\"
          touch \"$DATA/turn/inside\" ) & true";
    let script = "
        mount -t tmpfs none /data/inside || exit 9
        touch /data/turn/host
        while ! test -e /data/turn/inside; do sleep 0.02; done
        grep -c ' /data/host ' /proc/self/mountinfo
        test -e /data/turn/heard && echo heard
        true";
    let done = case(name, &root, &data, "no", script).env("BEFORE", before).success()?;
    let expected = match name {
        "slave" => "1\n",
        "shared" => "1\nheard\n",
        _ => "0\n",
    };
    assert_eq!(done.stdout, expected);
    Ok(())
}

/// Neither the root nor the source of a bind lies where the container's root could go.
fn unreachable() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::write(data.join("file"), "reached\n")?;
    for dir in [&root, &data] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    }
    for name in ["proc", "sys", "dev", "data"] {
        fs::create_dir_all(root.join(name))?;
    }
    // Both are moved below a directory that is root's alone.
    let before = "
        mount -t tmpfs -o mode=700 none /mnt && mkdir /mnt/base /mnt/data &&
        mount --rbind \"$BASE\" /mnt/base && mount --rbind \"$DATA\" /mnt/data &&
        export BASE=/mnt/base DATA=/mnt/data";
    let done = case("unreachable", &root, &data, "yes", "cat /data/file; id -u")
        .env("BEFORE", before)
        .success()?;
    assert_eq!(done.stdout, "reached\n0\n");
    Ok(())
}

fn cgroup() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    let script = "
        cd /sys/fs/cgroup; ls -d * | head -1 >/dev/null || exit 9
        find . -name cgroup.procs | head -1 | wc -l
        touch x 2>/dev/null; mkdir x */x 2>/dev/null && echo can be written
        grep ' /sys/fs/cgroup' /proc/self/mountinfo | grep -vc ' ro,'";
    let done = case("cgroup", &root, &data, "no", script).done()?;
    assert_eq!(done.stdout, "1\n0\n", "{done:?}");
    Ok(())
}

fn in_proc() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    fs::write(data.join("file"), "faked\n")?;
    let done = case("proc file", &root, &data, "yes", "cat /proc/uptime").success()?;
    assert_eq!(done.stdout, "faked\n");
    let done = case("proc link", &root, &data, "yes", "true").code(1)?;
    done.complains("lies in /proc: nothing is mounted there")?;
    let done = case("other proc", &root, &data, "yes", "true").code(1)?;
    done.complains("not of type proc")?;
    Ok(())
}

fn words() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    let done = case("words", &root, &data, "yes", "true").code(1)?;
    done.complains("Unknown parameter 'nonsense'")?;
    Ok(())
}

fn frozen() -> Result<(), Failed> {
    let (root, data) = (root()?, TempDir::new());
    let script = "touch /dev/x 2>/dev/null || echo read-only; echo >/dev/null && echo works";
    let done = case("frozen", &root, &data, "yes", script).success()?;
    assert_eq!(done.stdout, "read-only\nworks\n");
    Ok(())
}
