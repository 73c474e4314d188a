//! Stores: others can read them, several may use them, and a kill leaves nothing.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use dockster_tests::{Failed, Need, Trial, trial, wait_until};

use crate::layers::assert_same;
use crate::tools::{Archive, Place, helper_run, list, needs, outcome, sh};

pub fn trials() -> Vec<Trial> {
    let any = needs(&[]);
    let packers = needs(&[Need::Program("zstd"), Need::Program("xz"), Need::Program("tar")]);
    vec![
        trial("every_packing_gives_the_same_layer", &packers, packings),
        trial("a_damaged_archive_is_refused", &any, damaged),
        trial("skopeo_reads_the_store", &needs(&[Need::Program("skopeo")]), skopeo),
        trial("umoci_unpacks_the_same_tree", &needs(&[Need::Program("umoci")]), umoci),
        trial("a_directory_gives_the_same_image_each_time", &any, directory),
        trial("names_are_as_docker_reads_them", &any, names),
        trial("removing_keeps_what_others_need", &any, removing),
        trial("a_missing_layer_is_unpacked_again", &any, unpacked_again),
        trial("a_changed_blob_is_not_believed", &any, changed),
        trial("two_imports_at_once", &any, at_once),
        trial("a_killed_import_leaves_nothing", &any, killed),
    ]
}

type Outcome = Result<Result<String, String>, Failed>;

fn import(place: &Place, source: &str, name: &str) -> Outcome {
    outcome(helper_run("import").arg(place.join("store")).args([source, name]).dir(place.path()))
}

fn import_bytes(place: &Place, bytes: Vec<u8>, name: &str) -> Outcome {
    outcome(helper_run("import").arg(place.join("store")).args(["-", name]).input(bytes))
}

fn ask(place: &Place, verb: &str, args: &[&str]) -> Outcome {
    outcome(helper_run(verb).arg(place.join("store")).args(args))
}

fn id(said: &str) -> String {
    said.lines().next().expect("an id").to_owned()
}

fn layer(place: &Place, name: &str) -> Result<String, Failed> {
    let said = ask(place, "resolve", &[name])??;
    Ok(said.lines().nth(1).expect("a layer").to_owned())
}

fn some() -> Archive {
    let archive = Archive::new().dir("./").dir("etc").file("etc/os-release", "NAME=test\n");
    archive.dir("bin").file("bin/sh", "#!")
}

/// Nothing is under work, and every blob and layer is some image's.
fn check(place: &Place, layers: usize, blobs: usize) -> Result<(), Failed> {
    let count = |dir: &str| sh(place.path(), &format!("ls store/{dir} | wc -l"));
    let found = [count("ingest")?, count("layers")?, count("images/blobs/sha256")?];
    assert_eq!(found.map(|n| n.trim().parse::<usize>().expect("a count")), [0, layers, blobs]);
    Ok(())
}

fn packings() -> Result<(), Failed> {
    let place = Place::new();
    fs::write(place.join("t.tar"), some().done())?;
    let script = r#"
        gzip -k t.tar; zstd -q t.tar; xz -k t.tar; head -c 1000 t.tar | gzip >two.tar.gz; tail -c +1001 t.tar | gzip >>two.tar.gz
        mkdir dir; tar -C dir -xf t.tar"#;
    sh(place.path(), script)?;
    for source in ["t.tar", "t.tar.gz", "t.tar.zst", "two.tar.gz"] {
        import(&place, source, source)??;
    }
    let layers: Vec<String> = ["t.tar", "t.tar.gz", "t.tar.zst", "two.tar.gz"]
        .iter()
        .map(|name| layer(&place, name))
        .collect::<Result<_, _>>()?;
    assert!(layers.iter().all(|layer| *layer == layers[0]), "{layers:?}");
    import(&place, "dir", "dir")??;
    assert_same(&list(Path::new(&layer(&place, "dir")?))?, &list(Path::new(&layers[0]))?);
    let error = import(&place, "t.tar.xz", "xz")?.expect_err("xz");
    assert!(error.contains("packed by xz") && error.contains("hint"), "{error}");
    // Five archives, five manifests, and two configurations: one for each layer.
    check(&place, 2, 12)
}

fn damaged() -> Result<(), Failed> {
    let place = Place::new();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&some().file("big", &"text ".repeat(5000)).done())?;
    let good = packer.finish()?;
    let mut flipped = good.clone();
    let middle = flipped.len() - 6;
    flipped[middle] ^= 1;
    for (what, bytes) in [
        ("cut", good[..good.len() / 2].to_vec()),
        ("flipped", flipped),
        ("empty", vec![]),
        ("text", b"hello".repeat(500)),
        ("short", b"x".to_vec()),
    ] {
        let error = import_bytes(&place, bytes, "bad")?.expect_err(what);
        assert_eq!(error.lines().filter(|line| !line.starts_with("hint")).count(), 1, "{error}");
    }
    check(&place, 0, 0)?;
    import_bytes(&place, good, "good")??;
    check(&place, 1, 3)
}

fn skopeo() -> Result<(), Failed> {
    let place = Place::new();
    import_bytes(&place, some().done(), "Debian:x")?.expect_err("a name with a capital");
    import_bytes(&place, some().done(), "debian")??;
    import_bytes(&place, some().file("more", "").done(), "localhost:5000/a/b:1.2")??;
    let said = sh(
        place.path(),
        "skopeo inspect oci:store/images:debian:latest; skopeo inspect --config oci:store/images:localhost:5000/a/b:1.2",
    )?;
    assert!(said.contains("\"Layers\"") && said.contains("diff_ids"), "{said}");
    // It copies it too, which checks every digest and size.
    sh(
        place.path(),
        "skopeo --insecure-policy copy -q oci:store/images:debian:latest oci:copy:x; test -s copy/index.json",
    )?;
    Ok(())
}

fn umoci() -> Result<(), Failed> {
    let place = Place::new();
    let script = r#"mkdir -p dir/sub; echo x >dir/sub/f; chmod 4711 dir/sub/f; ln dir/sub/f dir/hard; ln -s /etc dir/link
        mkfifo dir/fifo; touch -d @1000000000.5 dir/sub/f; truncate -s 3M dir/holes; echo end >>dir/holes
        n=$(printf 'n%.0s' $(seq 150)); mkdir -p dir/$n/$n; echo y >dir/$n/$n/y; touch -d @5 dir/$n dir"#;
    sh(place.path(), script)?;
    import(&place, "dir", "tree")??;
    let rootless = if dockster_tests::host().root { "" } else { "--rootless" };
    sh(place.path(), &format!("umoci unpack {rootless} --image store/images:tree:latest bundle"))?;
    let ours = list(Path::new(&layer(&place, "tree")?))?;
    assert_same(&ours, &list(&place.join("dir"))?);
    // umoci makes no holes, and it marks what it unpacked without root.
    let plain = |text: &str| {
        let lines = text.lines().map(|line| line.replace(" with holes", ""));
        lines
            .map(|line| {
                line.split(" user.rootlesscontainers").next().unwrap_or("").to_owned() + "\n"
            })
            .collect::<String>()
    };
    assert_same(&plain(&ours), &plain(&list(&place.join("bundle/rootfs"))?));
    Ok(())
}

fn directory() -> Result<(), Failed> {
    let place = Place::new();
    let script = r#"mkdir -p dir/b dir/a dir/store; echo 1 >dir/b/1; echo 2 >dir/a/2; chown 5:6 dir/a/2; ln dir/a/2 dir/b/3
        mkfifo dir/p; ln -s x dir/l; setfattr -n user.k -v v dir/a || :; touch -d @1.000000001 dir/a"#;
    sh(place.path(), script)?;
    let first = id(&import(&place, "dir", "one")??);
    assert_eq!(first, id(&import(&place, "dir", "two")??));
    assert_same(&list(Path::new(&layer(&place, "one")?))?, &list(&place.join("dir"))?);
    check(&place, 1, 3)?;
    // A store within the directory itself is not in the image.
    let run = helper_run("import").arg(place.join("dir/store")).args(["dir", "self"]);
    outcome(run.dir(place.path()))??;
    let inside = outcome(helper_run("resolve").arg(place.join("dir/store")).arg("self"))??;
    let inside = list(Path::new(inside.lines().nth(1).expect("a layer")))?;
    assert!(inside.contains("\"store\"") && !inside.contains("store/"), "{inside}");
    Ok(())
}

fn names() -> Result<(), Failed> {
    let place = Place::new();
    let id = id(&import_bytes(&place, some().done(), "docker.io/library/debian")??);
    assert_eq!(ask(&place, "images", &[])??, format!("debian:latest {id}\n"));
    for name in [
        "debian",
        "debian:latest",
        "library/debian",
        "docker.io/debian",
        &id,
        &id[7..19],
        &id[7..8],
    ] {
        assert!(ask(&place, "resolve", &[name])??.starts_with(&id), "{name}");
    }
    let error = ask(&place, "resolve", &["debian:11"])?.expect_err("no such tag");
    assert!(error.starts_with("Unable to find image 'debian:11' locally"), "{error}");
    let error = ask(&place, "remove", &["nope"])?.expect_err("no such image");
    assert!(error.starts_with("No such image: nope:latest"), "{error}");
    for bad in ["", "UPPER", "a b", "../x", "a@sha256:00", "-x"] {
        let error = import_bytes(&place, some().done(), bad)?.expect_err(bad);
        assert!(error.contains("invalid reference format"), "{bad}: {error}");
    }
    Ok(())
}

fn removing() -> Result<(), Failed> {
    let place = Place::new();
    let first = id(&import_bytes(&place, some().done(), "one")??);
    import_bytes(&place, some().done(), "two")??;
    import_bytes(&place, some().file("x", "").done(), "three")??;
    check(&place, 2, 6)?;
    assert_eq!(ask(&place, "remove", &["one"])??, "Untagged: one:latest\n");
    check(&place, 2, 6)?;
    let error = ask(&place, "remove", &["two", "used"])?.expect_err("in use");
    assert!(error.contains("a container uses it"), "{error}");
    assert!(ask(&place, "images", &[])??.contains("two:latest"));
    let said = ask(&place, "remove", &["two"])??;
    assert_eq!(said, format!("Untagged: two:latest\nDeleted: {first}\n"));
    check(&place, 1, 3)?;
    // A name that goes to a newer image: the old one stays, without a name.
    let newer = id(&import_bytes(&place, some().done(), "three")??);
    let images = ask(&place, "images", &[])??;
    assert!(
        images.contains(&format!("three:latest {newer}")) && images.contains("<none>"),
        "{images}"
    );
    // By an id with two names only by force.
    import_bytes(&place, some().done(), "four")??;
    let error = ask(&place, "remove", &[&newer])?.expect_err("two names");
    assert!(error.contains("conflict") && error.contains("must be forced"), "{error}");
    ask(&place, "remove", &[&newer, "force"])??;
    let rest = ask(&place, "images", &[])??;
    let rest = rest.strip_prefix("<none> ").expect("the nameless one").trim();
    ask(&place, "remove", &[rest])??;
    check(&place, 0, 0)
}

fn unpacked_again() -> Result<(), Failed> {
    let place = Place::new();
    import_bytes(&place, some().done(), "x")??;
    let path = layer(&place, "x")?;
    let before = list(Path::new(&path))?;
    sh(place.path(), "rm -rf store/layers/*")?;
    assert_eq!(layer(&place, "x")?, path);
    assert_eq!(list(Path::new(&path))?, before);
    // A blob that is another one now.
    let script = r#"rm -rf store/layers/*; cd store/images/blobs/sha256
        for b in *; do case "$(head -c 1 $b)" in '{') ;; *) head -c 1024 /dev/zero >$b;; esac; done"#;
    sh(place.path(), script)?;
    let error = ask(&place, "resolve", &["x"])?.expect_err("another layer");
    assert!(error.contains("the layer is sha256:"), "{error}");
    sh(place.path(), "for b in store/images/blobs/sha256/*; do echo >>$b; done")?;
    let error = ask(&place, "resolve", &["x"])?.expect_err("damaged");
    assert!(error.contains("damaged"), "{error}");
    Ok(())
}

/// An import in the background; a test that fails takes it along.
struct Importer(Child);

impl Drop for Importer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(place: &Place, bytes: &[u8], name: &str) -> Result<Importer, Failed> {
    let run = helper_run("import").arg(place.join("store")).args(["-", name]);
    let mut command = run.into_command();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    // Whoever is killed does not read to the end.
    std::thread::spawn(move || stdin.write_all(&bytes));
    Ok(Importer(child))
}

/// A configuration of the same size, well-formed: only its digest tells.
fn changed() -> Result<(), Failed> {
    let place = Place::new();
    let config = id(&import_bytes(&place, some().done(), "x")??).replace("sha256:", "");
    sh(place.path(), &format!("sed -i s/linux/minix/ store/images/blobs/sha256/{config}"))?;
    for verb in ["images", "resolve"] {
        let said = ask(&place, verb, &["x"])?.expect_err("another configuration");
        assert!(said.contains("its digest is another"), "{said}");
    }
    Ok(())
}

fn at_once() -> Result<(), Failed> {
    let place = Place::new();
    let mut archive = some();
    for number in 0..300 {
        archive = archive.file(&format!("d/{number}"), "data");
    }
    let bytes = archive.done();
    ask(&place, "images", &[])??;
    let same = ["same", "same", "other", "third"];
    let children: Vec<Importer> =
        same.iter().map(|name| start(&place, &bytes, name)).collect::<Result<_, _>>()?;
    // And beside them, one that removes.
    for _ in 0..5 {
        import_bytes(&place, some().done(), "brief")??;
        ask(&place, "remove", &["brief"])??;
    }
    for mut child in children {
        assert!(child.0.wait()?.success());
    }
    let images = ask(&place, "images", &[])??;
    assert_eq!(images.lines().count(), 3, "{images}");
    assert_eq!(list(Path::new(&layer(&place, "same")?))?.lines().count(), 306);
    check(&place, 1, 3)
}

fn killed() -> Result<(), Failed> {
    let place = Place::new();
    let mut archive = some();
    for number in 0..2000 {
        archive = archive.file(&format!("d/{number:04}"), &format!("data {number}"));
    }
    let bytes = archive.done();
    import_bytes(&place, some().done(), "kept")??;
    let store = place.join("store");
    let moments = [
        "ingest/*/archive",
        "ingest/*/layer",
        "ingest/*/layer/d/0100",
        "ingest/*/layer/d/1999",
        "ingest/*/config",
        "ingest/*/manifest",
        "layers/*/d/0001",
        "ingest/*/index.json",
    ];
    for moment in moments {
        let mut child = start(&place, &bytes, "killed")?;
        let pattern = moment.split('/').collect::<Vec<_>>();
        wait_until("the moment or the end", Duration::from_secs(30), || {
            exists(&store, &pattern) || child.0.try_wait().is_ok_and(|ended| ended.is_some())
        })?;
        child.0.kill()?;
        child.0.wait()?;
        ask(&place, "sweep", &[])??;
        let images = ask(&place, "images", &[])??;
        match images.contains("killed") {
            true => {
                ask(&place, "remove", &["killed"])??;
            }
            false => assert_eq!(images.lines().count(), 1, "{moment}: {images}"),
        }
        check(&place, 1, 3)?;
    }
    import_bytes(&place, bytes, "killed")??;
    check(&place, 2, 6)
}

/// Whether there is something at a path with one `*` for any name.
fn exists(dir: &Path, pattern: &[&str]) -> bool {
    match pattern {
        [] => true,
        ["*", rest @ ..] => fs::read_dir(dir)
            .is_ok_and(|names| names.flatten().any(|name| exists(&name.path(), rest))),
        [name, rest @ ..] => {
            dir.join(name).symlink_metadata().is_ok() && exists(&dir.join(name), rest)
        }
    }
}
