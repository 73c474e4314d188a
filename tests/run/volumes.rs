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
        beside("named_volumes_outlive_containers", &[], named),
        beside("nameless_volumes_go_with_their_container", &[], nameless),
        beside("volumes_begin_with_what_the_image_has", &[], copied_up),
        beside("a_hostile_volume_stays_inside", &[], hostile_volume),
        beside("mounts_are_said_in_words", &[], in_words),
        beside("volumes_are_listed_and_pruned", &[], listed),
        beside("the_system_says_what_it_keeps", &[], system),
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

fn text(house: &House, words: &[&str]) -> Result<String, Failed> {
    Ok(house.dockster(words.iter().copied()).success()?.stdout)
}

fn volumes(house: &House) -> Result<Vec<String>, Failed> {
    Ok(text(house, &["volume", "ls", "-q"])?.lines().map(str::to_owned).collect())
}

fn named() -> Result<(), Failed> {
    let house = House::new()?;
    assert_eq!(text(&house, &["volume", "create", "data"])?, "data\n");
    house.sh(["-v", "data:/data", "-v", "other:/deep/er"], "echo one >/data/f").success()?;
    let done = house.sh(["-v", "data:/data:ro"], "cat /data/f; echo two >/data/f").done()?;
    assert_eq!(done.stdout, "one\n");
    done.complains("Read-only file system")?;
    assert_eq!(volumes(&house)?, ["data", "other"]);
    let id = text(&house, &["create", "-v", "data:/data", "busybox", "true"])?;
    let used = house.dockster(["volume", "rm", "data"]).code(1)?;
    one_sentence(&used, &format!("remove data: volume is in use - [{}]", id.trim()))?;
    let look = "{{range}}";
    house.dockster(["inspect", "-f", look, id.trim()]).code(1)?;
    let mounts = text(&house, &["inspect", "-f", "{{json .Mounts}}", id.trim()])?;
    assert!(
        mounts.contains("\"Name\":\"data\"") && mounts.contains("\"Type\":\"volume\""),
        "{mounts}"
    );
    text(&house, &["rm", "-v", id.trim()])?;
    assert_eq!(text(&house, &["volume", "rm", "data", "other"])?, "data\nother\n");
    one_sentence(&house.dockster(["volume", "rm", "data"]).code(1)?, "no such volume")?;
    house.dockster(["volume", "rm", "-f", "data"]).success()?;
    one_sentence(
        &house.dockster(["volume", "create", "a/b"]).code(1)?,
        "includes invalid characters",
    )?;
    one_sentence(&house.run(["-v", "a b:/x", "busybox", "true"]).code(125)?, "invalid characters")?;
    house.nothing_left()
}

fn nameless() -> Result<(), Failed> {
    let house = House::new()?;
    house.sh(["-v", "/data"], "echo x >/data/x; grep -q /data /proc/self/mountinfo").success()?;
    assert!(volumes(&house)?.is_empty());
    let id = text(&house, &["create", "-v", "/data", "busybox", "true"])?;
    assert_eq!(volumes(&house)?.len(), 1);
    text(&house, &["rm", id.trim()])?;
    assert_eq!(volumes(&house)?.len(), 1, "it stays, unless -v is given");
    let id = text(&house, &["create", "-v", "/data", "busybox", "true"])?;
    text(&house, &["rm", "--volumes", id.trim()])?;
    assert_eq!(volumes(&house)?.len(), 1);
    house.dockster(["volume", "prune", "-f"]).success()?.says("Deleted Volumes:")?;
    // Nor does one stay of a container that could not start.
    house.run(["-v", "/data", "busybox", "/missing"]).code(127)?;
    house.dockster(["run", "-v", "/data", "busybox", "/missing"]).code(127)?;
    assert!(volumes(&house)?.is_empty());
    house.nothing_left()
}

/// An image with `VOLUME volume`, whose tree is that of busybox and what `furnish` adds.
fn with_volume(house: &House, volume: &str, furnish: &str) -> Result<(), Failed> {
    let tree = house.join("tree");
    if !tree.exists() {
        house.tree()?;
    }
    dockster_tests::Run::new("sh").args(["-ec", furnish]).dir(&tree).success()?;
    let change = format!("VOLUME {volume}");
    house.dockster(["import", "-c", &change]).arg(&tree).arg("image").success()?;
    Ok(())
}

fn copied_up() -> Result<(), Failed> {
    let house = House::empty();
    let furnish = "mkdir -p data/sub; echo one >data/one; ln data/one data/again; ln -s one data/link
        chmod 1770 data; chmod 700 data/sub; touch -d 2001-02-03T04:05:06Z data/one; ln -s etc door";
    with_volume(&house, "[\"/data\"]", furnish)?;
    let script = "ls -ld /data /data/sub; stat -c '%h %Y' /data/one; cat /data/link; grep -c ' /data ' /proc/self/mountinfo";
    let done = house.run(["image", "sh", "-c", script]).success()?.stdout;
    for words in ["drwxrwx--T", "drwx------", "2 981173106", "one\n1\n"] {
        assert!(done.contains(words), "{words}: {done}");
    }
    assert!(volumes(&house)?.is_empty());
    // A named one is filled once, and is then its own.
    house
        .run(["-v", "kept:/data", "image", "sh", "-c", "rm /data/one; echo new >/data/new"])
        .success()?;
    let done = house.run(["-v", "kept:/data", "image", "ls", "/data"]).success()?;
    assert_eq!(done.stdout, "again\nlink\nnew\nsub\n");
    // Through links, as the mount goes.
    house.run(["-v", "linked:/door", "image", "test", "-e", "/door/passwd"]).success()?;
    let done = house.run(["-v", "empty:/data:nocopy", "image", "ls", "/data"]).success()?;
    assert_eq!(done.stdout, "");
    // What is asked for comes in the place of the image's own.
    let done = house.run(["--tmpfs", "/data", "image", "ls", "/data"]).success()?;
    assert_eq!(done.stdout, "");
    assert_eq!(volumes(&house)?, ["empty", "kept", "linked"]);
    house.nothing_left()
}

/// CVE-2022-23648: the image's VOLUME leads out of it, and is copied from the host.
fn hostile_volume() -> Result<(), Failed> {
    let house = House::empty();
    fs::create_dir(house.join("secret"))?;
    fs::write(house.join("secret/key"), "secret")?;
    let secret = house.join("secret");
    let link = format!(
        "ln -sfn {0} way; ln -sfn ../../../../../../../../../../..{0} up",
        secret.display()
    );
    for volume in ["/way", "/up", "/../../../../../../../..", "/proc/self/root", "/proc"] {
        with_volume(&house, &format!("[\"{volume}\"]"), &link)?;
        let done = house.run(["image", "ls", "/way/", "/up/"]).done()?;
        assert!(!done.stdout.contains("key"), "{volume}: {}", done.stdout);
        assert!(volumes(&house)?.is_empty());
    }
    let dotted = format!("[\"/a/../..{}\"]", secret.display());
    with_volume(&house, &dotted, "true")?;
    let find = house.run(["image", "ls", &secret.display().to_string()]).success()?;
    assert_eq!(find.stdout, "");
    assert_eq!(fs::read_to_string(house.join("secret/key"))?, "secret");
    house.nothing_left()
}

fn in_words() -> Result<(), Failed> {
    let house = House::new()?;
    let source = house.join("source");
    fs::create_dir(&source)?;
    fs::write(source.join("file"), "here\n")?;
    let bind = format!("type=bind,source={},target=/b,readonly", source.display());
    let options = [
        "--mount",
        &bind,
        "--mount",
        "src=vol,dst=/v",
        "--mount",
        "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700",
    ];
    let script = "cat /b/file; echo x >/v/x; ! touch /b/no 2>/dev/null; df -m /t | grep -c ' 1 '; stat -c %a /t";
    let done = house.sh(options, script).success()?;
    assert_eq!(done.stdout, "here\n1\n700\n");
    assert_eq!(volumes(&house)?, ["vol"]);
    for (words, why) in [
        ("type=bind,source=/none/such,target=/x", "bind source path does not exist: /none/such"),
        ("type=bind,target=/x", "source is required"),
        ("type=volume,source=vol", "target is required"),
        ("type=what,target=/x", "not known"),
        ("target=/x,colour=blue", "unexpected key 'colour'"),
        ("type=volume,source=a/b,target=/x", "invalid characters"),
    ] {
        one_sentence(&house.run(["--mount", words, "busybox", "true"]).code(125)?, why)?;
    }
    let twice = ["-v", "vol:/x", "-v", "w:/x", "busybox", "true"];
    one_sentence(&house.run(twice).code(125)?, "Duplicate mount point: /x")?;
    house.nothing_left()
}

fn listed() -> Result<(), Failed> {
    let house = House::new()?;
    for name in ["one", "two"] {
        text(&house, &["volume", "create", "--label", &format!("a={name}"), name])?;
    }
    let nameless = text(&house, &["volume", "create"])?;
    let used = text(&house, &["create", "-v", "two:/two", "busybox", "true"])?;
    let shown = text(&house, &["volume", "ls"])?;
    assert!(
        shown.starts_with("DRIVER  VOLUME NAME\n") && shown.contains("local   one\n"),
        "{shown}"
    );
    assert_eq!(text(&house, &["volume", "ls", "-q", "-f", "dangling=false"])?, "two\n");
    assert_eq!(text(&house, &["volume", "ls", "-q", "-f", "label=a=one"])?, "one\n");
    let place = text(&house, &["volume", "inspect", "-f", "{{.Mountpoint}} {{.Labels.a}}", "one"])?;
    assert!(place.ends_with("/volumes/one/_data one\n"), "{place}");
    one_sentence(
        &house.dockster(["volume", "inspect", "none"]).code(1).map(|mut done| {
            done.stdout.clear();
            done
        })?,
        "no such volume",
    )?;
    let done = house.dockster(["volume", "prune", "-f"]).success()?;
    assert_eq!(done.stdout.lines().nth(1), Some(nameless.trim()));
    house.dockster(["volume", "prune", "-a", "-f"]).success()?.says("one\n")?;
    assert_eq!(volumes(&house)?, ["two"]);
    text(&house, &["rm", used.trim()])?;
    house.nothing_left()
}

fn system() -> Result<(), Failed> {
    let house = House::new()?;
    house
        .dockster([
            "run",
            "-v",
            "vol:/v",
            "-v",
            "/w",
            "busybox",
            "sh",
            "-c",
            "echo 12345 >/v/f; echo 1 >/x",
        ])
        .success()?;
    let shown = text(&house, &["system", "df"])?;
    let rows: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    assert_eq!(rows[1][..3], ["Images", "1", "1"]);
    assert_eq!(rows[2][..3], ["Containers", "1", "0"]);
    assert_eq!(rows[3][..4], ["Local", "Volumes", "2", "2"]);
    let done = house.dockster(["system", "prune", "-f", "--volumes"]).success()?;
    done.says("Deleted Containers:")?.says("Deleted Volumes:")?.says("Total reclaimed space:")?;
    assert_eq!(volumes(&house)?, ["vol"]);
    house.dockster(["system", "prune", "-a", "-f"]).success()?.says("untagged: busybox:latest")?;
    house.nothing_left()
}
