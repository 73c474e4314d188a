//! Archives that are as they should be: the tree is the one that GNU tar makes.

use std::fs;

use dockster_tests::{Failed, Need, Trial, host, trial};
use tar::EntryType;

use crate::tools::{Archive, Place, Who, list, needs, outcome, run_as, sh};

pub fn trials() -> Vec<Trial> {
    let gnu = needs(&[Need::Program("tar")]);
    let xattrs = needs(&[Need::Program("tar"), Need::Program("setfattr")]);
    let any = needs(&[]);
    let root = [Need::Root];
    let mount = needs(&[Need::UserNamespaces]);
    vec![
        trial("a_tree_is_as_gnu_tar_makes_it", &gnu, as_gnu_tar),
        trial("attributes_are_as_gnu_tar_makes_them", &xattrs, attributes_as_gnu_tar),
        trial("devices_are_as_gnu_tar_makes_them", &root, devices),
        trial("devices_are_left_out_in_a_user_namespace", &mount, devices_left_out),
        trial("with_one_id_all_is_roots", &mount, one_id),
        trial("owners_are_kept", &any, owners),
        trial("sparse_files_keep_their_holes", &gnu, sparse),
        trial("times_are_exact", &any, times),
        trial("directories_keep_their_times", &any, directory_times),
        trial("later_entries_replace_earlier_ones", &any, replaced),
        trial("a_later_file_does_not_write_through_a_hard_link", &any, not_through_a_hard_link),
        trial("parents_that_are_not_said_are_made", &any, parents),
        trial("whiteouts_become_those_of_overlayfs", &any, whiteouts),
        trial("overlayfs_understands_them", &mount, overlay),
        trial("records_may_hold_any_byte", &any, any_byte),
        trial("old_and_odd_headers", &any, odd),
    ]
}

const TREE: &str = r#"
    mkdir -p src/dir/sub src/closed src/a
    echo hello >src/dir/file; echo x >src/dir/sub/x
    chmod 4755 src/dir/file; chmod 2750 src/dir; chmod 1777 src/dir/sub
    ln src/dir/file src/hard; ln src/dir/file src/a/hard2
    ln -s ../../../etc/passwd src/dir/out; ln -s nowhere src/dangling; ln src/dangling src/second
    ln -s ./x/../y/ src/literal
    mkfifo -m 640 src/fifo
    long=$(printf 'n%.0s' $(seq 200)); mkdir -p src/$long/$long
    echo long >src/$long/$long/$long; ln -s $long/$long/$long src/tolong; ln src/$long/$long/$long src/longhard
    printf 'odd' >"src/new
line"
    printf '' >src/empty
    chmod 0 src/empty; chmod 500 src/closed
    head -c 300000 /dev/urandom >src/data
    touch -d '2001-02-03 04:05:06.123456789' src/dir/file src/dir src/data src
    touch -h -d '1999-01-01 00:00:00' src/dangling
    touch -d '@0' src/closed
"#;

fn as_gnu_tar() -> Result<(), Failed> {
    for format in ["posix", "gnu"] {
        let place = Place::new();
        sh(place.path(), TREE)?;
        sh(place.path(), &format!("tar --format={format} --numeric-owner -C src -cf t.tar ."))?;
        compare(&place)?;
    }
    Ok(())
}

/// What the library makes of `t.tar` is what GNU tar makes of it.
pub fn compare(place: &Place) -> Result<(), Failed> {
    sh(
        place.path(),
        "mkdir gnu; tar --numeric-owner --xattrs --xattrs-include='*' -C gnu -xpf t.tar",
    )?;
    let archive = fs::read(place.join("t.tar"))?;
    place.apply(&archive)??;
    let (ours, theirs) = (place.list()?, list(&place.join("gnu"))?);
    assert_same(&ours, &theirs);
    Ok(())
}

pub fn assert_same(ours: &str, theirs: &str) {
    let lines = |a: &str, b: &str| -> Vec<String> {
        a.lines().filter(|line| !b.lines().any(|l| l == *line)).map(str::to_owned).collect()
    };
    let (more, less) = (lines(ours, theirs), lines(theirs, ours));
    assert!(more.is_empty() && less.is_empty(), "ours:\n{more:#?}\ntheirs:\n{less:#?}");
}

fn attributes_as_gnu_tar() -> Result<(), Failed> {
    let place = Place::new();
    // The capability is cap_dac_override and cap_fowner: one of its bytes is a newline.
    let script = r#"
        mkdir -p src/d; echo >src/f; echo >src/cap
        setfattr -n user.one -v 0x610a62 src/f; setfattr -n user.zero -v 0x00ff src/d
        setfattr -n security.capability -v 0x010000020a000000000000000000000000000000 src/cap
        tar --format=posix --xattrs --xattrs-include='*' --numeric-owner -C src -cf t.tar .
    "#;
    sh(place.path(), script)?;
    compare(&place)?;
    let ours = place.list()?;
    assert!(ours.contains("user.one=[61, 0a, 62]"), "{ours}");
    assert!(ours.contains("security.capability=[01, 00, 00, 02, 0a,"), "{ours}");
    Ok(())
}

fn nodes() -> Vec<u8> {
    Archive::new()
        .dir("./")
        .device("null", EntryType::Char, 1, 3)
        .device("disk", EntryType::Block, 7, 300)
        .device("fifo", EntryType::Fifo, 0, 0)
        .file("file", "x")
        .done()
}

fn devices() -> Result<(), Failed> {
    let place = Place::new();
    fs::write(place.join("t.tar"), nodes())?;
    compare(&place)?;
    assert!(place.list()?.contains("block 7:300"));
    Ok(())
}

fn devices_left_out() -> Result<(), Failed> {
    let place = Place::new();
    let said = place.apply_as(Who::OneId, &nodes(), "", "")??;
    assert!(said.contains("devices_skipped: 2"), "{said}");
    let ours = place.list()?;
    assert!(
        ours.contains("fifo") && ours.contains("file of 1") && !ours.contains("null"),
        "{ours}"
    );
    Ok(())
}

fn one_id() -> Result<(), Failed> {
    let place = Place::new();
    let archive = Archive::new()
        .entry("theirs", EntryType::Regular, "", b"x", |h| h.set_uid(1000))
        .entry("shared", EntryType::Regular, "", b"x", |h| h.set_gid(42))
        .file("ours", "x")
        .done();
    let said = place.apply_as(Who::OneId, &archive, "", "")??;
    assert!(said.contains("owners_flattened: 2"), "{said}");
    Ok(())
}

fn owners() -> Result<(), Failed> {
    let place = Place::new();
    let archive = Archive::new()
        .entry("suid", EntryType::Regular, "", b"x", |h| {
            h.set_uid(1000);
            h.set_gid(42);
            h.set_mode(0o6755);
        })
        .entry("link", EntryType::Symlink, "/etc/passwd", b"", |h| h.set_uid(33))
        .done();
    let said = place.apply(&archive)??;
    assert!(said.contains("owners_flattened: 0"), "{said}");
    let ours = place.list()?;
    assert!(ours.contains("\"suid\" 6755 1000:42"), "{ours}");
    assert!(ours.contains("\"link\" 777 33:0"), "{ours}");
    Ok(())
}

fn sparse() -> Result<(), Failed> {
    let formats = [
        "gnu",
        "posix --sparse-version=1.0",
        "posix --sparse-version=0.1",
        "posix --sparse-version=0.0",
    ];
    for format in formats {
        let place = Place::new();
        let script = format!(
            r#"mkdir src; truncate -s 30M src/holes src/nothing
            for at in $(seq 0 40); do printf "piece $at" | dd of=src/holes bs=1 seek=$((at * 700000)) conv=notrunc 2>/dev/null; done
            echo after >src/z
            tar --format={format} -S --numeric-owner -C src -cf t.tar ."#
        );
        sh(place.path(), &script)?;
        compare(&place)?;
        assert!(place.list()?.contains("with holes"));
    }
    Ok(())
}

fn times() -> Result<(), Failed> {
    let place = Place::new();
    let archive = Archive::new()
        .records(&[("mtime", b"1350244992.023960108")])
        .file("exact", "")
        .records(&[("mtime", b"-1.5")])
        .file("before", "")
        .records(&[("mtime", b"5.25")])
        .link("link", "x")
        .records(&[("mtime", b"7")])
        .dir("dir")
        .file("dir/file", "")
        .done();
    place.apply(&archive)??;
    let ours = place.list()?;
    for (name, time) in [
        ("exact", "1350244992.023960108"),
        ("before", "-2.500000000"),
        ("link", "5.250000000"),
        ("dir", "7.000000000"),
        ("dir/file", "1000000000.000000000"),
    ] {
        let line = ours.lines().find(|line| line.starts_with(&format!("{name:?} "))).expect(name);
        assert!(line.contains(time), "{line}");
    }
    Ok(())
}

fn directory_times() -> Result<(), Failed> {
    let place = Place::new();
    let mut archive =
        Archive::new().dir("./").dir("a").dir("a/b").file("a/b/1", "").file("a/1", "");
    // Again and again, between others, and through a link.
    archive =
        archive.link("l", "a/b").file("l/2", "").file("a/b/3", "").file("a/2", "").file("z", "");
    archive = archive.file("a/b/1", "again").hard_link("a/h", "z").file("a/.wh.gone", "");
    place.apply(&archive.done())??;
    let ours = place.list()?;
    for line in ours.lines() {
        assert!(line.contains(" 1000000000.000000000 ") || line.contains("char 0:0"), "{line}");
    }
    assert_eq!(ours.lines().count(), 12, "{ours}");
    Ok(())
}

fn replaced() -> Result<(), Failed> {
    let place = Place::new();
    let archive = Archive::new()
        .file("a", "first")
        .file("a", "second!")
        .file("d/x/y", "deep")
        .file("d", "a file now")
        .file("e", "file")
        .dir("e")
        .file("e/in", "")
        .link("f", "e")
        .dir("f")
        .file("f/own", "")
        .file("g", "")
        .link("g", "a")
        .dir("h")
        .file("h/kept", "")
        .dir("h")
        .done();
    place.apply(&archive)??;
    let ours = place.list()?;
    for part in [
        "\"a\" 644 0:0 1",
        "file of 7",
        "\"d\" 644",
        "\"e/in\"",
        "\"f/own\"",
        "link to \"a\"",
        "\"h/kept\"",
    ] {
        assert!(ours.contains(part), "{part}: {ours}");
    }
    assert!(!ours.contains("\"e/own\"") && !ours.contains("d/x"), "{ours}");
    Ok(())
}

fn not_through_a_hard_link() -> Result<(), Failed> {
    let place = Place::new();
    let archive =
        Archive::new().file("a", "one").hard_link("b", "a").file("b", "other").hard_link("a", "a");
    place.apply(&archive.done())??;
    assert_eq!(fs::read_to_string(place.join("tree/a"))?, "one");
    assert_eq!(fs::read_to_string(place.join("tree/b"))?, "other");
    Ok(())
}

fn parents() -> Result<(), Failed> {
    let place = Place::new();
    place.apply(&Archive::new().file("x/y/z", "").file("/abs/file", "").done())??;
    let ours = place.list()?;
    assert!(ours.contains("\"x/y\" 755 0:0") && ours.contains("\"abs/file\""), "{ours}");
    Ok(())
}

fn taken_away() -> Vec<u8> {
    Archive::new()
        .file(".wh.gone", "")
        .dir("opaque")
        .file("opaque/new", "")
        .file("opaque/.wh..wh..opq", "")
        .file(".wh.again", "")
        .file("again/new", "")
        .file("both/new", "")
        .file(".wh.both", "")
        .file("dir/.wh.file", "")
        .dir(".wh..wh.plnk")
        .file(".wh..wh.plnk/1.2", "")
        .done()
}

fn whiteouts() -> Result<(), Failed> {
    let place = Place::new();
    place.apply(&taken_away())??;
    let ours = place.list()?;
    let opaque =
        if host().root { "trusted.overlay.opaque=[79]" } else { "user.overlay.opaque=[79]" };
    for name in ["opaque", "both"] {
        let line = ours.lines().find(|line| line.starts_with(&format!("{name:?} "))).expect(name);
        assert!(line.contains(opaque), "{line}");
    }
    for name in ["gone", "dir/file"] {
        let line = ours.lines().find(|line| line.starts_with(&format!("{name:?} "))).expect(name);
        assert!(line.contains("char 0:0"), "{line}");
    }
    assert!(!ours.contains(".wh."), "{ours}");
    Ok(())
}

fn overlay() -> Result<(), Failed> {
    let place = Place::new();
    let below = Archive::new()
        .file("gone", "")
        .file("opaque/old", "")
        .file("again/old", "")
        .file("both/old", "")
        .file("dir/file", "")
        .file("dir/stays", "");
    place.apply(&below.done())??;
    fs::rename(place.join("tree"), place.join("below"))?;
    fs::create_dir(place.join("tree"))?;
    place.apply(&taken_away())??;
    let options = if host().root { "" } else { ",userxattr" };
    let script = format!(
        "mount -t tmpfs t outside; mkdir outside/m; \
         mount -t overlay o -o lowerdir=tree:below{options} outside/m; cd outside/m; find . -type f | sort"
    );
    let run = run_as(Who::Root, "unshare").args(["--mount", "sh", "-ec", &script]);
    let seen = outcome(run.dir(place.path()))??;
    assert_eq!(seen, "./again/new\n./both/new\n./dir/stays\n./opaque/new\n");
    Ok(())
}

fn any_byte() -> Result<(), Failed> {
    let place = Place::new();
    // After a value with a newline comes the size, which must not get lost.
    let archive = Archive::new()
        .records(&[("SCHILY.xattr.user.x", b"a\nb"), ("path", b"new\nline"), ("size", b"3")])
        .entry("short", EntryType::Regular, "", b"abc", |h| h.set_size(0));
    // The header says that there is no data.
    place.apply(&archive.file("after", "x").done())??;
    let ours = place.list()?;
    assert!(ours.contains("\"new\\nline\"") && ours.contains("file of 3"), "{ours}");
    assert!(ours.contains("\"after\""), "{ours}");
    Ok(())
}

fn odd() -> Result<(), Failed> {
    let place = Place::new();
    let archive = Archive::new()
        .entry("olddir/", EntryType::Regular, "", b"", |h| {
            h.set_mode(0o700);
            // What archives had before there was a type for directories.
            h.as_mut_bytes()[156] = 0;
        })
        .entry("contiguous", EntryType::Continuous, "", b"data", |_| {})
        .entry("global", EntryType::XGlobalHeader, "", b"11 path=no\n", |_| {})
        .entry("linked", EntryType::Link, "contiguous", b"", |h| h.set_size(4));
    place.apply(&archive.file("last", "").done())??;
    let ours = place.list()?;
    let olddir = ours.lines().find(|line| line.starts_with("\"olddir\" 700")).expect("olddir");
    assert!(olddir.ends_with(" dir") && ours.contains("\"last\""), "{ours}");
    assert!(ours.contains("\"linked\" 644 0:0 2"), "{ours}");
    // The two empty blocks at the end are often missing.
    let mut bytes = Archive::new().file("x", "").done();
    bytes.truncate(512);
    place.apply(&bytes)??;
    Ok(())
}
