//! `-v`: parts of the host inside, and never anything of the inside on the host.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use dockster_tests::{Failed, Trial};

use crate::tools::{House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("a_directory_and_a_file_are_bound", &[], a_directory_and_a_file_are_bound),
        beside("read_only_volumes", &[], read_only_volumes),
        beside("a_missing_source_is_made", &[], a_missing_source_is_made),
        beside("targets_stay_inside", &[], targets_stay_inside),
        beside("nothing_is_bound_over_proc", &[], nothing_is_bound_over_proc),
        beside("targets_are_cleaned", &[], targets_are_cleaned),
    ]
}

/// As docker does: `..` is taken away first, and / is no target.
fn targets_are_cleaned() -> Result<(), Failed> {
    let house = House::new()?;
    let source = house.join("source");
    fs::create_dir(&source)?;
    fs::write(source.join("file"), "")?;
    let volume = |target: &str| format!("{}:{target}", source.display());
    let odd = volume("/a/../../../b");
    house.run(["-v", &odd, "busybox", "test", "-e", "/b/file"]).success()?;
    for root in ["/", "/.", "/a/.."] {
        let done = house.run(["-v", &volume(root), "busybox", "true"]).code(125)?;
        one_sentence(&done, "the target cannot be /")?;
    }
    house.nothing_left()
}

fn a_directory_and_a_file_are_bound() -> Result<(), Failed> {
    let house = House::new()?;
    let source = house.join("source");
    fs::create_dir(&source)?;
    fs::write(source.join("file"), "from outside\n")?;
    let dir = format!("{}:/new/place", source.display());
    let file = format!("{}:/etc/single", source.join("file").display());
    let script = "cat /etc/single /new/place/file; echo from inside >/new/place/answer; \
                  echo more >>/etc/single";
    let done = house.sh(["-v", &dir, "-v", &file], script).success()?;
    assert_eq!(done.stdout, "from outside\nfrom outside\n");
    assert_eq!(fs::read_to_string(source.join("answer"))?, "from inside\n");
    assert_eq!(fs::read_to_string(source.join("file"))?, "from outside\nmore\n");
    // Root inside is whoever has started it.
    let own = nix::unistd::geteuid().as_raw();
    assert_eq!(fs::metadata(source.join("answer"))?.uid(), own);
    // A file cannot be a directory's place, nor the other way round.
    let wrong = format!("{}:/bin", source.join("file").display());
    one_sentence(&house.run(["-v", &wrong, "busybox", "true"]).code(125)?, "mount")?;
    let wrong = format!("{}:/etc/passwd", source.display());
    one_sentence(&house.run(["-v", &wrong, "busybox", "true"]).code(125)?, "mount")?;
    house.nothing_left()
}

fn read_only_volumes() -> Result<(), Failed> {
    let house = House::new()?;
    let source = house.join("source");
    fs::create_dir(&source)?;
    fs::write(source.join("file"), "as it was")?;
    let volume = format!("{}:/data:ro", source.display());
    for script in [": >/data/new", "echo x >/data/file", "rm /data/file", "chmod 777 /data"] {
        let done = house.sh(["-v", &volume], script).done()?;
        assert!(!done.status.success(), "{script} worked");
        done.complains("Read-only file system")?;
    }
    assert_eq!(fs::read_to_string(source.join("file"))?, "as it was");
    let volume = format!("{}:/data:nonsense", source.display());
    house.run(["-v", &volume, "busybox", "true"]).code(125)?;
    Ok(())
}

fn a_missing_source_is_made() -> Result<(), Failed> {
    let house = House::new()?;
    let volume = format!("{}:/data", house.join("made/here").display());
    house.sh(["-v", &volume], "echo x >/data/file").success()?;
    assert_eq!(fs::read_to_string(house.join("made/here/file"))?, "x\n");
    house.nothing_left()
}

/// Wherever a target's path leads in the image, it leads to a place in the container.
fn targets_stay_inside() -> Result<(), Failed> {
    let house = House::empty();
    let (outside, tree) = (house.join("outside"), house.tree()?);
    fs::create_dir(&outside)?;
    fs::write(outside.join("marker"), "untouched")?;
    symlink(&outside, tree.join("absolute"))?;
    symlink(format!("../../../../../..{}", outside.display()), tree.join("relative"))?;
    symlink(outside.join("marker"), tree.join("marker"))?;
    house.dockster(["import"]).arg(&tree).arg("busybox").success()?;
    let source = house.join("source");
    fs::create_dir(&source)?;
    fs::write(source.join("mounted"), "")?;

    for target in ["/absolute", "/absolute/new", "/relative/new/deep", "/relative"] {
        let volume = format!("{}:{target}", source.display());
        let done = house.sh(["-v", &volume], &format!("ls {target}")).done()?;
        // Inside, or refused; that is for the runtime to say.
        if done.status.success() {
            assert_eq!(done.stdout, "mounted\n", "{target}");
        } else {
            one_sentence(&done, "mount")?;
        }
    }
    let volume = format!("{}:/marker", source.join("mounted").display());
    house.run(["-v", &volume, "busybox", "true"]).done()?;
    for target in ["/../../../..", "/tmp/../../..", "/tmp/../../../new", "/.."] {
        let above = format!("{target}{}", outside.display());
        for target in [target, &above] {
            let volume = format!("{}:{target}", source.display());
            let done = house.run(["-v", &volume, "busybox", "true"]).done()?;
            if !done.status.success() {
                one_sentence(&done, "")?;
            }
        }
    }
    for (dir, names) in [(&outside, ["marker"]), (&source, ["mounted"])] {
        let found: Vec<_> =
            fs::read_dir(dir)?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
        assert_eq!(found, names, "{}", dir.display());
    }
    assert_eq!(fs::read_to_string(outside.join("marker"))?, "untouched");
    house.nothing_left()
}

fn nothing_is_bound_over_proc() -> Result<(), Failed> {
    let house = House::with(|tree| Ok(symlink("/proc", tree.join("alias"))?))?;
    fs::create_dir(house.join("source"))?;
    for target in
        ["/proc", "/proc/", "/proc/sys", "/proc/self", "/tmp/../proc", "/alias", "/alias/sys"]
    {
        let volume = format!("{}:{target}", house.join("source").display());
        let done = house.run(["-v", &volume, "busybox", "true"]).code(125)?;
        one_sentence(&done, "/proc")
            .map_err(|_| done.failed(&format!("{target}: no word of /proc")))?;
    }
    house.nothing_left()
}
