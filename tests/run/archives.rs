//! `dockster save`: images as archives, for us and for others.

use std::fs::{self, File};

use dockster_tests::{Failed, Need, Run, Terminal, Trial, host};

use crate::tools::{DOCKSTER, House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    // As root of a user namespace podman needs ids for the owners of the files.
    let podman = match host().root {
        true => vec![Need::Program("podman")],
        false => vec![Need::Program("podman"), Need::IdRanges],
    };
    vec![
        beside("saved_images_come_back", &[], saved_images_come_back),
        beside("saved_images_are_read_by_skopeo", &[Need::Program("skopeo")], read_by_skopeo),
        beside("saved_images_are_loaded_by_podman", &podman, loaded_by_podman),
        beside("what_cannot_be_saved_is_said", &[], what_cannot_be_saved),
        beside("a_save_that_is_killed_leaves_nothing", &[], killed),
        beside("a_full_disk_leaves_no_half_archive", &[], a_full_disk),
    ]
}

fn text(house: &House, words: &[&str]) -> Result<String, Failed> {
    Ok(house.dockster(words.iter().copied()).success()?.stdout)
}

fn digests(house: &House) -> Result<String, Failed> {
    let format = "{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}}";
    text(house, &["images", "--no-trunc", "--format", format])
}

/// Two images that share their layer, one of them by two names.
fn furnished() -> Result<House, Failed> {
    let house = House::new()?;
    text(&house, &["tag", "busybox", "team/app:1"])?;
    house.dockster(["import", "-c", "CMD true"]).arg(house.join("tree")).arg("other").success()?;
    Ok(house)
}

fn saved_images_come_back() -> Result<(), Failed> {
    let house = furnished()?;
    let before = digests(&house)?;
    let (one, two) = (house.join("one.tar"), house.join("two.tar"));
    let names = ["busybox", "team/app:1", "other:latest"];
    house.dockster(["save", "-o"]).arg(&one).args(names).success()?;
    let piped = house.dockster(["image", "save"]).args(names).into_command();
    let status = { piped }.stdout(File::create(&two)?).status()?;
    assert!(status.success(), "{status}");
    assert!(fs::read(&one)? == fs::read(&two)?, "the same images, and other bytes");
    // What they share is there once.
    let listed = Run::new("tar").arg("-tf").arg(&one).success()?.stdout;
    assert_eq!(listed.lines().filter(|name| name.len() > 70).count(), 5, "{listed}");

    text(&house, &["image", "prune", "-a", "-f"])?;
    assert_eq!(digests(&house)?, "");
    let loaded = house.dockster(["load", "-i"]).arg(&one).success()?.stdout;
    let wanted = names.map(|name| name.trim_end_matches(":latest"));
    for name in wanted {
        assert!(loaded.contains(&format!("Loaded image: {name}")), "{loaded}");
        house.run([name, "true"]).success()?;
    }
    let (mut before, after) = (before.lines().collect::<Vec<_>>(), digests(&house)?);
    let mut after: Vec<_> = after.lines().collect();
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after);

    // By its id it goes without its names.
    let id = text(&house, &["images", "-q", "--no-trunc", "busybox"])?;
    house.dockster(["save", id.trim(), "-o"]).arg(&one).success()?;
    text(&house, &["image", "prune", "-a", "-f"])?;
    let loaded = house.dockster(["load", "-i"]).arg(&one).success()?.stdout;
    assert_eq!(loaded, format!("Loaded image ID: {id}"));
    house.nothing_left()
}

fn read_by_skopeo() -> Result<(), Failed> {
    let house = House::new()?;
    let archive = house.join("busybox.tar");
    house.dockster(["save", "busybox", "-o"]).arg(&archive).success()?;
    let id = text(&house, &["images", "-q", "--no-trunc"])?;
    let skopeo = || Run::new("skopeo").args(["--insecure-policy", "--tmpdir"]).arg(house.join(""));
    for from in ["docker-archive:{}:busybox:latest", "docker-archive:{}", "oci-archive:{}:latest"] {
        let from = from.replace("{}", &archive.to_string_lossy());
        let raw = skopeo().args(["inspect", "--raw", &from]).success()?.stdout;
        assert!(raw.contains(id.trim()), "{from}: {raw}");
        // Each blob is read, and its digest is computed.
        let to = house.join("copy");
        let dir = format!("dir:{}", to.display());
        skopeo().args(["copy", "-q", &from, &dir]).success()?;
        let config = fs::read(to.join(&id.trim()["sha256:".len()..]))?;
        assert!(String::from_utf8_lossy(&config).contains("rootfs"), "{from}");
        fs::remove_dir_all(&to)?;
    }
    // As the OCI has it, the manifest itself is in there.
    let inspect = skopeo().args(["inspect", "--format", "{{.Digest}}"]);
    let seen = inspect.arg(format!("oci-archive:{}", archive.display())).success()?.stdout;
    assert_eq!(seen, text(&house, &["images", "--format", "{{.Digest}}"])?);
    house.nothing_left()
}

fn loaded_by_podman() -> Result<(), Failed> {
    let house = House::new()?;
    let archive = house.join("busybox.tar");
    house.dockster(["save", "busybox", "-o"]).arg(&archive).success()?;
    let id = text(&house, &["images", "-q", "--no-trunc"])?;
    let user: &[&str] =
        if host().root { &[] } else { &["--user", "--map-root-user", "--map-auto"] };
    // Its mounts, and its locks in /dev/shm, are gone with its namespaces.
    let script = r#"mount -t tmpfs shm /dev/shm
        options="--root $PWD/podman/root --runroot $PWD/podman/run --tmpdir $PWD/podman/tmp"
        options="$options --storage-driver vfs --cgroup-manager cgroupfs --events-backend file"
        podman $options load -i busybox.tar; podman $options images --no-trunc --quiet"#;
    let run = Run::new("unshare").args(user).args(["--mount", "sh", "-euc", script]);
    let run = run.dir(house.join("")).env("HOME", house.join("")).env("TMPDIR", house.join(""));
    let done = run.success()?;
    assert_eq!(done.stdout.lines().last(), Some(id.trim()), "{done:?}");
    // What belongs to other ids than ours only the root of such a namespace can remove.
    let remove = ["rm", "-rf", "podman"];
    let run = Run::new(if user.is_empty() { "env" } else { "unshare" });
    run.args(user).args(remove).dir(house.join("")).success()?;
    house.nothing_left()
}

fn what_cannot_be_saved() -> Result<(), Failed> {
    let house = House::new()?;
    let file = house.join("file");
    let refused = |words: &[&str], why: &str| {
        let done = house.dockster(["save"]).args(words).arg("-o").arg(&file).code(1)?;
        assert!(!file.exists() && done.stdout.is_empty(), "{words:?}");
        one_sentence(&done, why)
    };
    refused(&["busybox", "none"], "No such image: none:latest")?;
    refused(&["busybox:2"], "No such image: busybox:2")?;
    let done = house.dockster(["save", "busybox", "-o", "/dev/null"]).code(1)?;
    one_sentence(&done, "must be a regular file")?;
    let done = house.dockster(["save", "busybox", "-o", "/none/file"]).code(1)?;
    one_sentence(&done, "directory \"/none\" does not exist")?;
    let command = house.dockster(["save", "busybox"]).into_command();
    let mut terminal = Terminal::spawn(command, 30, 100)?;
    terminal.wait_for("cowardly refusing to save to a terminal")?;
    assert_eq!(terminal.finish()?.code(), Some(1));

    // A blob that is damaged is not passed on.
    let blobs = fs::read_dir(house.root().join("images/blobs/sha256"))?;
    let mut paths: Vec<_> = blobs.map(|blob| Ok(blob?.path())).collect::<Result<_, Failed>>()?;
    paths.sort_by_key(|path| fs::metadata(path).map_or(0, |about| about.len()));
    let layer = paths.last().ok_or("no blobs")?;
    let mut bytes = fs::read(layer)?;
    bytes[5000] ^= 1;
    fs::write(layer, bytes)?;
    refused(&["busybox"], "is damaged")?;
    assert!(!fs::read_dir(house.join(""))?.any(|entry| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with('.'))
    }));
    house.nothing_left()
}

/// In the middle of its file: by the kernel, for that is as long as it may be.
fn killed() -> Result<(), Failed> {
    let house = House::new()?;
    let dir = house.join("saved");
    fs::create_dir(&dir)?;
    for before in [None, Some("as it was")] {
        if let Some(text) = before {
            fs::write(dir.join("it.tar"), text)?;
        }
        let script = r#"ulimit -c 0; ulimit -f 200; "$0" save -o "$1" busybox || kill -l $?"#;
        let run = Run::new("sh").args(["-c", script, DOCKSTER]).arg(dir.join("it.tar"));
        let done = run.env("DOCKSTER_ROOT", house.root()).success()?;
        assert_eq!(done.stdout, "XFSZ\n", "{}", done.stderr);
        let left: Vec<_> = fs::read_dir(&dir)?.collect::<Result<_, _>>()?;
        assert_eq!(left.len(), usize::from(before.is_some()), "{left:?}");
        assert_eq!(fs::read_to_string(dir.join("it.tar")).ok().as_deref(), before);
        house.dockster(["images"]).success()?;
    }
    house.dockster(["save", "-o"]).arg(dir.join("it.tar")).arg("busybox").success()?;
    assert_eq!(fs::read_dir(&dir)?.count(), 1);
    house.dockster(["load", "-i"]).arg(dir.join("it.tar")).success()?;
    house.nothing_left()
}

fn a_full_disk() -> Result<(), Failed> {
    let house = House::new()?;
    fs::create_dir(house.join("small"))?;
    let user: &[&str] = if host().root { &[] } else { &["--user", "--map-root-user"] };
    // What was there before stays.
    let script = r#"mount -t tmpfs -o size=512k small small
        echo before >small/file
        "$0" save busybox -o small/file 2>&1 && exit 3
        ls -A small; cat small/file"#;
    let run = Run::new("unshare").args(user).args(["--mount", "sh", "-uc", script, DOCKSTER]);
    let run = run.env("DOCKSTER_ROOT", house.root()).dir(house.join(""));
    let done = run.success()?;
    assert!(done.stdout.contains("ENOSPC"), "{}", done.stdout);
    assert!(done.stdout.ends_with("\nfile\nbefore\n"), "{}", done.stdout);
    house.nothing_left()
}
