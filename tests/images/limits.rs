//! How much an archive may take: a clear error, and nothing left.

use std::fs;
use std::io::Write;
use std::time::Duration;

use dockster_tests::{Failed, Need, Trial, trial};

use crate::tools::{Archive, Place, Who, helper_run, needs, outcome, run_as};

pub fn trials() -> Vec<Trial> {
    let any = needs(&[]);
    let mount = needs(&[Need::UserNamespaces]);
    vec![
        trial("a_bomb_of_zeros_meets_the_limit", &any, zeros),
        trial("a_bomb_of_entries_meets_the_limit", &any, entries),
        trial("a_disk_that_runs_full_is_given_back", &mount, full_disk),
        trial("a_disk_without_inodes_is_given_back", &mount, no_inodes),
        trial("memory_is_bounded", &any, memory),
        trial("a_tree_deeper_than_any_path_is_removed", &any, deep),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("into memory");
    packer.finish().expect("into memory")
}

/// A packed archive whose one file has `mib` mebibytes of zeros.
fn zeros_of(mib: usize) -> Vec<u8> {
    let size = (mib as u64) << 20;
    let mut archive = Archive::new()
        .entry("zeros", tar::EntryType::Regular, "", b"", |h| h.set_size(size))
        .done();
    archive.truncate(512);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&archive).expect("into memory");
    (0..mib).for_each(|_| packer.write_all(&vec![0; 1 << 20]).expect("into memory"));
    packer.write_all(&[0; 1024]).expect("into memory");
    packer.finish().expect("into memory")
}

fn zeros() -> Result<(), Failed> {
    let place = Place::new();
    let store = place.join("store");
    let run = helper_run("import").arg(&store).args(["-", "bomb", "1000000", ""]);
    let error = outcome(run.input(zeros_of(64)))?.expect_err("it is too big");
    assert!(error.contains("more than 1000000 bytes, which is the limit"), "{error}");
    nothing_left(&place)
}

fn entries() -> Result<(), Failed> {
    let place = Place::new();
    let mut archive = Archive::new();
    for number in 0..1100 {
        archive = archive.file(&format!("{number}"), "");
    }
    let bytes = archive.done();
    let run = helper_run("import").arg(place.join("store")).args(["-", "bomb", "", "1000"]);
    let error = outcome(run.input(gzip(&bytes)))?.expect_err("it is too big");
    assert!(error.contains("more than 1000 entries"), "{error}");
    nothing_left(&place)?;
    let run = helper_run("import").arg(place.join("store")).args(["-", "legal", "", "1100"]);
    outcome(run.input(gzip(&bytes)))??;
    Ok(())
}

/// The store has no image, and nothing else.
fn nothing_left(place: &Place) -> Result<(), Failed> {
    let found =
        run_as(Who::Root, "find").arg(place.join("store")).args(["-mindepth", "2"]).success()?;
    let mut lines: Vec<&str> =
        found.stdout.lines().map(|line| line.split_once("store/").expect("a path").1).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["images/blobs", "images/blobs/sha256", "images/index.json", "images/oci-layout"]
    );
    Ok(())
}

/// Imports on a small disk: its error, and what is used of the disk before and after.
fn on_small_disk(options: &str, archive: Vec<u8>, used: &str) -> Result<String, Failed> {
    let place = Place::new();
    let exe = std::env::current_exe()?;
    let exe = exe.to_str().expect("a path in UTF-8");
    fs::write(place.join("archive"), archive)?;
    // An empty store first; then the difference must be nothing.
    let script = format!(
        r#"mount -t tmpfs -o {options} t tree
        '{exe}' helper images tree/store; before=$({used} tree | tail -1)
        '{exe}' helper import tree/store archive bomb 2>error && exit 3
        test "$before" = "$({used} tree | tail -1)" || exit 4
        '{exe}' helper images tree/store
        cat error; find tree -mindepth 4 ! -path '*/images/*'"#
    );
    let run = run_as(Who::Root, "unshare").args(["--mount", "sh", "-c", &script]);
    Ok(run.dir(place.path()).success()?.stdout)
}

fn full_disk() -> Result<(), Failed> {
    let said = on_small_disk("size=8m", zeros_of(20), "df -k --output=used")?;
    assert!(said.contains("zeros") && said.contains("no room for this image"), "{said}");
    assert!(said.contains("ENOSPC") && said.contains("hint: remove images"), "{said}");
    // Many small ones, none of which is too big by itself.
    let mut archive = Archive::new();
    for number in 0..300 {
        archive = archive.file(&format!("{number}"), &"x".repeat(50_000));
    }
    let said = on_small_disk("size=8m", gzip(&archive.done()), "df -k --output=used")?;
    assert!(said.contains("ENOSPC") && said.contains("hint: remove images"), "{said}");
    Ok(())
}

fn no_inodes() -> Result<(), Failed> {
    let mut archive = Archive::new();
    for number in 0..3000 {
        archive = archive.file(&format!("{number}"), "");
    }
    let said = on_small_disk("size=64m,nr_inodes=2000", archive.done(), "df --output=iused")?;
    assert!(said.contains("ENOSPC") && said.contains("hint: remove images"), "{said}");
    Ok(())
}

fn memory() -> Result<(), Failed> {
    let peak = |archive: Vec<u8>| -> Result<u64, Failed> {
        let place = Place::new();
        let run =
            helper_run("import").arg(place.join("store")).args(["-", "big", "", "", "memory"]);
        let said = outcome(run.input(archive).limit(Duration::from_secs(120)))??;
        let peak = said.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        Ok(peak.trim().trim_end_matches(" kB").parse().expect("a number"))
    };
    let small = peak(Archive::new().file("x", "x").done())?;
    let mut many = Archive::new();
    for number in 0..30_000 {
        many = many.file(&format!("d{}/f{number}", number % 3000), "");
    }
    for (what, archive) in [("size", zeros_of(200)), ("entries", gzip(&many.done()))] {
        let big = peak(archive)?;
        assert!(big < small + 4096, "{what}: {big} kB, and {small} kB for one file");
    }
    Ok(())
}

fn deep() -> Result<(), Failed> {
    // A link to a directory far down, which gets another such path, and so on.
    let step = "d/".repeat(900);
    let mut archive = Archive::new();
    let mut at = String::new();
    for number in 0..4 {
        let dir = format!("{at}{step}");
        archive = archive.records(&[("path", dir.as_bytes())]).dir("x");
        let (link, target) = (format!("l{number}"), dir.trim_end_matches('/').to_owned());
        archive = archive.records(&[("linkpath", target.as_bytes())]).link(&link, "x");
        at = format!("{link}/");
    }
    archive = archive.file(&format!("{at}end"), "");
    let place = Place::new();
    let store = place.join("store");
    let run = helper_run("import").arg(&store).args(["-", "deep"]);
    outcome(run.input(archive.done()))??;
    outcome(helper_run("remove").arg(&store).arg("deep"))??;
    nothing_left(&place)
}
