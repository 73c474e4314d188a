//! Overlays: thrown away, kept, many layers.

use std::fs;
use std::path::{Path, PathBuf};

use ch01_clone::{IdMaps, Namespace, Namespaces, Plan, Program};
use ch02_chroot::{Rootfs, Tree};
use dockster_tests::{Failed, Need, Run, TempDir, Trial, trial};

use crate::{root, sh};

/// The variable that says which part this program plays.
pub const PART: &str = "DOCKSTER_TEST_PART";

const NS: &[Need] = &[Need::UserNamespaces];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("an_overlay_is_thrown_away", NS, an_overlay_is_thrown_away),
        trial("an_upper_directory_keeps", NS, an_upper_directory_keeps),
        trial("an_overlay_without_a_user_namespace", &[Need::Root], || {
            let root = root()?;
            let done = sh(&["--overlay", "--no-user"], &root, "rm -r /etc && ls -d /etc").done()?;
            assert!(!done.status.success() && root.join("etc/passwd").exists(), "{done:?}");
            Ok(())
        }),
        trial("library_120_layers", NS, many_layers),
    ]
}

fn an_overlay_is_thrown_away() -> Result<(), Failed> {
    let root = root()?;
    fs::write(root.join("etc/old"), "old\n")?;
    let script = "cat /etc/old; echo new >/etc/new; rm /etc/old; ls /etc/new; ls /etc/old";
    let done = sh(&["--overlay"], &root, script).done()?;
    assert_eq!(done.stdout, "old\n/etc/new\n", "{done:?}");
    assert!(root.join("etc/old").exists() && !root.join("etc/new").exists());
    assert_eq!(sh(&["--overlay"], &root, "ls /etc/new").done()?.stdout, "");
    Ok(())
}

fn an_upper_directory_keeps() -> Result<(), Failed> {
    let (root, kept) = (root()?, TempDir::new());
    fs::write(root.join("etc/old"), "old\n")?;
    let upper = kept.path().to_str().unwrap();
    sh(&["--upper", upper], &root, "echo new >/etc/new; rm /etc/old").success()?;
    assert!(root.join("etc/old").exists() && !root.join("etc/new").exists());
    assert_eq!(fs::read_to_string(kept.join("upper/etc/new"))?, "new\n");
    let done = sh(&["--upper", upper], &root, "cat /etc/new; ls /etc/old").done()?;
    assert_eq!(done.stdout, "new\n", "{done:?}");
    Ok(())
}

/// As an image may have them: each with a file of its own, and one that all of them have.
fn many_layers() -> Result<(), Failed> {
    let (root, layers) = (root()?, TempDir::new());
    for number in 0..119 {
        let layer = layers.join(format!("a-layer-with-a-name-as-long-as-a-digest-{number:020}"));
        fs::create_dir_all(layer.join("etc"))?;
        fs::write(layer.join(format!("etc/only-{number}")), "")?;
        fs::write(layer.join("etc/all"), format!("{number}\n"))?;
    }
    let done = Run::new(std::env::current_exe()?)
        .env(PART, "layers")
        .env("LAYERS", layers.path())
        .env("BASE", root.path())
        .success()?;
    assert_eq!(done.stdout, "119\n118\n");
    assert_eq!(
        fs::read_dir(layers.join("a-layer-with-a-name-as-long-as-a-digest-00000000000000000000"))?
            .count(),
        1
    );
    Ok(())
}

/// In a process with one thread.
pub fn play(part: &str) {
    assert_eq!(part, "layers");
    let path = |name| PathBuf::from(std::env::var_os(name).expect("the test sets it"));
    let names = fs::read_dir(path("LAYERS")).expect("the layers").flatten();
    let mut lowers: Vec<_> = names.map(|entry| entry.path()).collect();
    // The topmost first.
    lowers.sort();
    lowers.reverse();
    lowers.push(path("BASE"));
    assert_eq!(lowers.len(), 120);
    match layered(lowers) {
        Ok(status) => std::process::exit(status.into()),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

fn layered(lowers: Vec<PathBuf>) -> ch01_clone::Result<u8> {
    let ids = IdMaps::best();
    let rootfs = Rootfs::new(Tree::Overlay { lowers, kept: None, volatile: false }, &ids);
    assert!(rootfs.mounts.iter().any(|mount| mount.target == Path::new("/proc")));
    let script = "ls /etc | grep -c only; cat /etc/all";
    let program = Program::new(["sh", "-c", script], ["PATH=/bin"])?;
    let plan =
        Plan { namespaces: Namespaces::of(Namespace::ALL), ids: Some(ids), ..Plan::default() };
    let child = plan.spawn(|gate| {
        rootfs.enter()?;
        program.find()?.exec(gate)
    })?;
    Ok(child.start()?.0.wait()?.code())
}
