//! `dockster import`, `images` and `rmi`.

use std::fs::{self, File};
use std::path::Path;

use dockster_tests::{Failed, Need, Run, Trial};

use crate::tools::{Background, House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("directories_and_archives_are_imported", &[], directories_and_archives),
        beside("zstd_archives_are_imported", &[Need::Program("zstd")], zstd_archives),
        beside("archives_of_images_are_loaded", &[Need::Program("skopeo")], loaded),
        beside("what_is_no_archive_is_refused", &[], what_is_no_archive_is_refused),
        beside("images_are_listed_in_columns", &[], images_are_listed_in_columns),
        beside("images_have_names", &[], names),
        beside("images_are_inspected", &[], inspected),
        beside("images_are_filtered", &[], filtered),
        beside("images_without_names_are_pruned", &[], pruned),
        beside("images_in_use_are_kept", &[], images_in_use_are_kept),
        beside("an_import_that_is_killed_leaves_nothing", &[], an_import_that_is_killed),
    ]
}

/// Packs the tree with the host's tar, as `options` say.
fn pack(tree: &Path, options: &str, archive: &Path) -> Result<(), Failed> {
    Run::new("tar").arg(options).arg(archive).arg("-C").arg(tree).arg(".").success().map(drop)
}

/// Imports `source` as `name`, and looks at what a container finds.
fn import(house: &House, source: Run, name: &str) -> Result<(), Failed> {
    let id = source.arg(name).success()?.stdout;
    assert!(id.starts_with("sha256:") && id.trim_end().len() == 71, "{id}");
    let done = house.run([name, "cat", "/etc/marker"]).success()?;
    assert_eq!(done.stdout, "here\n", "{name}");
    Ok(())
}

fn directories_and_archives() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    fs::write(tree.join("etc/marker"), "here\n")?;
    import(&house, house.dockster(["import"]).arg(&tree), "dir")?;
    for (name, options) in [("tar", "-cf"), ("gzip", "-czf")] {
        let archive = house.join(name);
        pack(&tree, options, &archive)?;
        import(&house, house.dockster(["import"]).arg(&archive), name)?;
        let stream = house.dockster(["import", "-"]).input(fs::read(&archive)?);
        import(&house, stream, &format!("{name}-stream"))?;
    }
    // Without a name it is known by its id.
    let id = house.dockster(["import", "-m", "nameless"]).arg(&tree).success()?.stdout;
    let short = &id["sha256:".len()..][..12];
    let format = "{{.Repository}} {{.Tag}} {{.ID}}";
    let all = house.dockster(["images", "--format", format]).success()?;
    all.says(&format!("<none> <none> {short}\n"))?;
    assert_eq!(house.run([short, "cat", "/etc/marker"]).success()?.stdout, "here\n");
    house.nothing_left()
}

/// What skopeo has saved, as docker saves it and as the OCI does, from a file and by a pipe.
fn loaded() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    fs::write(tree.join("etc/marker"), "here\n")?;
    house.dockster(["import"]).arg(&tree).arg("first").success()?;
    let store = format!("oci:{}:first:latest", house.root().join("images").display());
    for kind in ["docker-archive", "oci-archive"] {
        let (archive, name) = (house.join(kind), format!("{kind}:1"));
        let to = format!("{kind}:{}:{name}", archive.display());
        // Its own directories are the host's, and not every user has them.
        let copy = Run::new("skopeo").args(["--insecure-policy", "--tmpdir"]).arg(house.join(""));
        copy.args(["copy", "-q", &store, &to]).success()?;
        let said = format!("Loaded image: {name}\n");
        let file = house.dockster(["load", "-i"]).arg(&archive).success()?;
        assert_eq!(file.stdout, said);
        let pipe = house.dockster(["image", "load", "-q"]).input(fs::read(&archive)?).success()?;
        assert_eq!(pipe.stdout, said);
        let ran = house.run([&*name, "cat", "/etc/marker"]).success()?;
        assert_eq!(ran.stdout, "here\n", "{name}");
    }
    let file = house.join("no-archive");
    fs::write(&file, "no archive")?;
    let done = house.dockster(["load", "--input"]).arg(&file).code(1)?;
    assert!(done.stdout.is_empty() && !done.stderr.is_empty(), "{}", done.stderr);
    house.nothing_left()
}

fn zstd_archives() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    fs::write(tree.join("etc/marker"), "here\n")?;
    pack(&tree, "-cf", &house.join("tar"))?;
    Run::new("zstd").arg("-q").arg(house.join("tar")).success()?;
    import(&house, house.dockster(["import"]).arg(house.join("tar.zst")), "zstd")?;
    let stream = house.dockster(["import", "-"]).input(fs::read(house.join("tar.zst"))?);
    import(&house, stream, "zstd-stream")?;
    house.nothing_left()
}

fn what_is_no_archive_is_refused() -> Result<(), Failed> {
    let house = House::empty();
    fs::write(house.join("text"), "neither\n".repeat(1000))?;
    let tree = house.tree()?;
    pack(&tree, "-czf", &house.join("whole"))?;
    let whole = fs::read(house.join("whole"))?;
    fs::write(house.join("half"), &whole[..whole.len() / 2])?;
    for (source, words) in [("text", "neither a tar archive"), ("missing", "missing"), ("half", "")]
    {
        let done = house.dockster(["import"]).arg(house.join(source)).arg("bad").code(125)?;
        one_sentence(&done, words)?;
    }
    let done = house.dockster(["import", "-", "bad"]).input("no archive\n").code(125)?;
    one_sentence(&done, "neither a tar archive")?;
    for name in ["UPPER", "a b", "", "-", "a:b:c", "../x"] {
        let done = house.dockster(["import"]).arg(&tree).arg("--").arg(name).done()?;
        assert_eq!(done.status.code(), Some(125), "{name:?}: {}", done.stdout);
    }
    assert_eq!(house.dockster(["images", "-q"]).success()?.stdout, "");
    house.nothing_left()
}

fn images_are_listed_in_columns() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    let import = |name: &str| house.dockster(["import"]).arg(&tree).arg(name).success();
    let id = import("shop/first:1.2")?.stdout;
    let short = &id["sha256:".len()..][..12];
    fs::write(tree.join("more"), "more")?;
    import("second")?;
    let listed = house.dockster(["images"]).success()?;
    let lines: Vec<_> = listed.stdout.lines().collect();
    let heading: Vec<_> = lines[0].split("  ").map(str::trim).filter(|w| !w.is_empty()).collect();
    assert_eq!(heading, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    let row = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).ok_or(format!("no {name}"))?;
        Ok::<Vec<&str>, Failed>(line.split_whitespace().collect())
    };
    let first = row("shop/first")?;
    assert_eq!(first[1..3], ["1.2", short]);
    assert!(first.ends_with(&["ago", first[first.len() - 1]]), "{first:?}");
    assert!(first[first.len() - 1].ends_with('B'), "{first:?}");
    assert_eq!(row("second")?[1], "latest");
    assert_eq!(lines.len(), 3);
    assert_eq!(house.dockster(["images", "-q"]).success()?.stdout.lines().count(), 2);

    // By name, by id, and only once.
    let done = house.dockster(["rmi", "shop/first:1.2"]).success()?;
    done.says("Untagged: shop/first:1.2\n")?.says("Deleted: sha256:")?;
    one_sentence(&house.dockster(["rmi", "shop/first:1.2"]).code(1)?, "No such image")?;
    house.dockster(["rmi", row("second")?[2]]).success()?;
    assert_eq!(house.dockster(["images", "-q"]).success()?.stdout, "");
    let blobs = fs::read_dir(house.root().join("images/blobs/sha256"))?.count();
    let layers = fs::read_dir(house.root().join("layers"))?.count();
    assert_eq!((blobs, layers), (0, 0), "removed images leave something");
    Ok(())
}

fn images_in_use_are_kept() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["run", "--name", "done", "busybox", "true"]).success()?;
    let done = house.dockster(["rmi", "busybox"]).code(1)?;
    one_sentence(&done, "must be forced")?;
    done.complains("stopped container")?;
    house.run(["busybox", "true"]).success()?;

    let run = house.dockster(["run", "--rm", "busybox", "sh", "-c", "echo ready; exec sleep 1000"]);
    let _running = Background::ready(run)?;
    let done = house.dockster(["rmi", "--force", "busybox"]).code(1)?;
    one_sentence(&done, "cannot be forced")?;
    done.complains("running container")?;
    house.run(["busybox", "true"]).success()?;

    for id in house.containers()? {
        house.dockster(["rm", "--force", &id]).success()?;
    }
    house.dockster(["rmi", "busybox"]).success()?;
    house.nothing_left()
}

fn an_import_that_is_killed() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    pack(&tree, "-cf", &house.join("tar"))?;
    let whole = fs::read(house.join("tar"))?;
    // It has half of the archive and waits for the rest.
    Run::new("mkfifo").arg(house.join("pipe")).success()?;
    let import = house.dockster(["import"]).arg(house.join("pipe")).arg("half");
    let import = Background::start(import)?;
    let mut pipe = File::options().write(true).open(house.join("pipe"))?;
    std::io::Write::write_all(&mut pipe, &whole[..whole.len() / 2])?;
    drop(import);
    drop(pipe);
    assert_eq!(house.dockster(["images", "-q"]).success()?.stdout, "");
    house.dockster(["ps"]).success()?;
    assert_eq!(fs::read_dir(house.root().join("layers"))?.count(), 0);
    house.nothing_left()?;
    house.dockster(["import"]).arg(house.join("tar")).arg("whole").success()?;
    house.run(["whole", "true"]).success()?;
    house.nothing_left()
}

fn text(house: &House, words: &[&str]) -> Result<String, Failed> {
    Ok(house.dockster(words.iter().copied()).success()?.stdout)
}

fn names() -> Result<(), Failed> {
    let house = House::new()?;
    text(&house, &["tag", "busybox", "team/app:1"])?;
    let id = text(&house, &["images", "-q", "busybox"])?;
    text(&house, &["image", "tag", id.trim(), "registry.example:5000/x"])?;
    let shown = text(&house, &["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])?;
    for name in ["busybox:latest", "team/app:1", "registry.example:5000/x:latest"] {
        assert!(shown.contains(&format!("{name} {id}")), "{shown}");
    }
    house.run(["team/app:1", "true"]).success()?;
    assert_eq!(text(&house, &["rmi", "team/app:1"])?, "Untagged: team/app:1\n");
    house.run(["registry.example:5000/x", "true"]).success()?;
    one_sentence(&house.dockster(["tag", "none", "x"]).code(1)?, "No such image: none:latest")?;
    one_sentence(&house.dockster(["tag", "busybox", "X"]).code(1)?, "must be lowercase")?;
    // A name goes from one image to the next.
    house.dockster(["import", "-c", "CMD true"]).arg(house.join("tree")).arg("other").success()?;
    text(&house, &["tag", "other", "busybox"])?;
    house.run(["busybox"]).success()?;
    house.nothing_left()
}

fn inspected() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    let import = house.dockster(["import", "-m", "by hand", "-c", "CMD [\"sh\"]", "-c", "ENV A=b"]);
    let id = import.arg(&tree).arg("x:1").success()?.stdout;
    text(&house, &["tag", "x:1", "y"])?;
    let look = |format: &str| text(&house, &["image", "inspect", "-f", format, "x:1"]);
    assert_eq!(look("{{.Id}}")?, id);
    assert_eq!(
        look("{{join .RepoTags \",\"}} {{.Os}} {{.Config.Cmd}}")?,
        "x:1,y:latest linux [sh]\n"
    );
    assert_eq!(look("{{json .Config.Env}} {{.Comment}}")?, "[\"A=b\"] by hand\n");
    assert_eq!(look("{{len .RootFS.Layers}} {{.RootFS.Type}}")?, "1 layers\n");
    assert!(look("{{.RepoDigests}}")?.starts_with("[x@sha256:"));
    let either = text(&house, &["inspect", "-f", "{{.Id}}", "y"])?;
    assert_eq!(either, id);
    let whole = text(&house, &["image", "inspect", "x:1", "y"])?;
    assert_eq!(whole.matches("\"RepoTags\"").count(), 2, "{whole}");
    let done = house.dockster(["image", "inspect", "none", "y"]).code(1)?;
    done.complains("No such image: none:latest")?.says("RepoTags")?;
    let history = text(&house, &["history", "x:1"])?;
    let lines: Vec<_> = history.lines().collect();
    assert!(lines[0].starts_with("IMAGE         CREATED"), "{history}");
    assert!(lines[1].ends_with("by hand") && lines[1].contains("MB"), "{history}");
    let ids = text(&house, &["history", "-q", "--no-trunc", "x:1"])?;
    assert_eq!(ids, id);
    house.nothing_left()
}

fn filtered() -> Result<(), Failed> {
    let house = House::new()?;
    for name in ["team/app:1", "team/app:2", "team/other"] {
        text(&house, &["tag", "busybox", name])?;
    }
    let count = |words: &[&str]| {
        text(&house, &[&["images", "-q"], words].concat()).map(|text| text.lines().count())
    };
    assert_eq!(count(&[])?, 4);
    assert_eq!(count(&["team/app"])?, 2);
    assert_eq!(count(&["team/app:2"])?, 1);
    assert_eq!(count(&["-f", "reference=team/*"])?, 3);
    assert_eq!(count(&["-f", "reference=*"])?, 1);
    assert_eq!(count(&["-f", "dangling=true"])?, 0);
    assert_eq!(count(&["-f", "label=none"])?, 0);
    assert_eq!(count(&["-f", "before=busybox"])?, 0);
    one_sentence(&house.dockster(["images", "-f", "x=y"]).code(125)?, "invalid filter 'x'")?;
    let shown = text(&house, &["images", "--digests", "busybox"])?;
    assert!(shown.contains("DIGEST") && shown.contains("sha256:"), "{shown}");
    house.nothing_left()
}

fn pruned() -> Result<(), Failed> {
    let house = House::new()?;
    let import = |command: &str, name: &str| {
        house.dockster(["import", "-c", command]).arg(house.join("tree")).arg(name).success()
    };
    // The same name twice: the first image goes without.
    let first = import("CMD one", "x")?.stdout;
    import("CMD two", "x")?;
    let kept = house.dockster(["create", "busybox", "true"]).success()?.stdout;
    let no = house.dockster(["image", "prune"]).input("n\n").success()?;
    no.says("WARNING! This will remove all dangling images.")?;
    let done = house.dockster(["image", "prune", "-f"]).success()?;
    done.says(&format!("deleted: {first}"))?.says("Total reclaimed space: ")?;
    assert_eq!(text(&house, &["images", "-q"])?.lines().count(), 2);
    let done = house.dockster(["image", "prune", "-a", "-f"]).success()?;
    done.says("untagged: x:latest")?;
    assert_eq!(text(&house, &["images", "--format", "{{.Repository}}"])?, "busybox\n");
    text(&house, &["rm", kept.trim()])?;
    house.dockster(["image", "prune", "--all", "--force"]).success()?.says("untagged: busybox")?;
    assert_eq!(fs::read_dir(house.root().join("layers"))?.count(), 0);
    assert_eq!(fs::read_dir(house.root().join("images/blobs/sha256"))?.count(), 0);
    house.nothing_left()
}
