//! Images of many layers: what lies over each other is what umoci makes of it in one tree.

use std::fs;
use std::time::Duration;

use dockster_tests::{Failed, Need, Trial, trial};

use crate::layers::assert_same;
use crate::tools::{Archive, Place, Who, helper_run, needs, outcome, run_as, sh};

pub fn trials() -> Vec<Trial> {
    let umoci = [Need::Root, Need::Program("umoci"), Need::Program("skopeo")];
    let any = needs(&[]);
    vec![
        trial("a_stack_of_layers_is_as_umoci_unpacks_it", &umoci, as_umoci),
        trial("debian_and_its_changes_are_as_umoci_unpacks_them", &umoci, debian),
        trial("archives_of_skopeo_are_loaded", &umoci, skopeo),
        trial("a_layer_belongs_to_those_below_it", &any, chains),
        trial("what_a_layer_does_not_say_is_as_it_was_below", &any, not_said),
        trial("archives_that_lie_are_not_loaded", &any, lies),
    ]
}

/// Changes, a layer each: whatever programs and people do to a tree.
const CHANGES: [&str; 23] = [
    // Through a link of a layer below, and to a directory that only it has.
    "mkdir -p lib; echo new >lib/new-in-lib",
    "mkdir -p usr/lib/deep/er; echo x >usr/lib/deep/er/file; chmod 2750 usr/lib/deep; chown 7:8 usr/lib/deep",
    "mkdir -p usr/lib/deep/er; echo y >usr/lib/deep/er/second",
    "mkdir -p usr/lib/deep; touch usr/lib/deep/.wh.er",
    "mkdir -p usr/lib/deep/er; echo z >usr/lib/deep/er/third",
    "mkdir -p opt/a/b; echo 1 >opt/a/1; echo 2 >opt/a/b/2; ln opt/a/1 opt/a/again",
    "mkdir -p opt/a; touch opt/a/.wh..wh..opq; echo 3 >opt/a/3",
    "mkdir -p opt; echo file >opt/a",
    "mkdir -p opt/a; echo in >opt/a/in",
    "mkdir -p opt; ln -s a opt/link; ln -s /opt/a opt/absolute; ln -s ../../../opt/a opt/up",
    "mkdir -p opt/link; echo l >opt/link/not-through",
    "mkdir -p srv; echo cap >srv/cap; chmod 4711 srv/cap; chown 3:4 srv/cap",
    "mkdir -p srv; mkfifo -m 620 srv/fifo; mknod srv/zero c 1 5; mknod srv/loop b 7 0",
    "mkdir -p srv; touch srv/.wh.fifo srv/.wh.never-there; mkdir -p none; touch none/.wh.x; touch .wh.nothing",
    "mkdir -p srv/d1/d2/d3; echo deep >srv/d1/d2/d3/f; touch -d 2001-02-03T04:05:06.123456789 srv/d1/d2/d3/f srv/d1/d2/d3 srv/d1/d2",
    "mkdir -p srv/d1; chmod 1777 srv/d1; chown 11:12 srv/d1; touch -d @1000000000 srv/d1",
    "mkdir -p srv; ln -s d1 srv/replaced; head -c 100000 /dev/zero >srv/zeros",
    "mkdir -p srv/replaced; echo r >srv/replaced/r",
    "touch .wh.srv; mkdir -p new; echo n >new/n; truncate -s 3M new/sparse",
    "mkdir -p srv; echo back >srv/back",
    "mkdir -p new; setfattr -n user.colour -v blue new; echo attr >new/attr; setfattr -n user.a -v b new/attr; setcap cap_net_raw+ep new/attr 2>/dev/null || true",
    "mkdir -p a; echo 1 >a/one; ln a/one a/two; mkdir -p b; ln a/one b/three",
    // (Of a file that loses a name overlayfs goes on to count as many as its layer has.)
    "mkdir -p a; echo other >a/new; mkdir -p b; ln a/new b/new",
];

/// A layout `L` with an image `L:x`: `base.tar`, and a layer for each change.
fn make(place: &Place) -> Result<(), Failed> {
    let mut script = "umoci init --layout L; umoci new --image L:x
        umoci raw add-layer --image L:x base.tar\n"
        .to_owned();
    for (number, change) in CHANGES.iter().enumerate() {
        script += &format!(
            "mkdir c{number}; (cd c{number}; {change})
             tar -C c{number} --numeric-owner --xattrs --xattrs-include='*' --format=posix -cf c.tar \
                $(cd c{number}; ls -A)
             umoci raw add-layer --image L:x c.tar\n"
        );
    }
    // One that has only files, and no directories on their way; and a link to an older file.
    script += "mkdir -p last/usr/lib/deep/er last/a; echo f >last/usr/lib/deep/er/only
        tar -C last --format=posix -cf c.tar usr/lib/deep/er/only
        umoci raw add-layer --image L:x c.tar\n";
    run_as(Who::Root, "sh")
        .args(["-ec", &script])
        .dir(place.path())
        .limit(Duration::from_secs(120))
        .success()?;
    Ok(())
}

/// What lies over each other in our store, and what umoci makes of the same image.
fn compare(place: &Place) -> Result<(), Failed> {
    sh(place.path(), "tar -C L -cf image.tar .; umoci unpack --image L:x bundle 2>/dev/null")?;
    let load = helper_run("load").arg(place.join("store")).arg(place.join("image.tar"));
    outcome(load.limit(Duration::from_secs(120)))??;
    let resolve = helper_run("resolve").arg(place.join("store")).arg("x");
    let said = outcome(resolve.limit(Duration::from_secs(120)))??;
    let layers: Vec<&str> = said.lines().skip(1).collect();
    assert_eq!(layers.len(), CHANGES.len() + 2);
    let short: Vec<String> = (0..layers.len()).map(|number| format!("l/{number}")).collect();
    let links: String =
        layers.iter().zip(&short).map(|(layer, link)| format!("ln -s {layer} {link}\n")).collect();
    let exe = std::env::current_exe()?;
    let script = format!(
        "mkdir l m; {links} mount -t overlay overlay -o ro,lowerdir={} m; {} helper list m",
        short.join(":"),
        exe.display()
    );
    let merged = run_as(Who::Root, "unshare").args(["-m", "sh", "-ec", &script]);
    let ours = merged.dir(place.path()).limit(Duration::from_secs(120)).success()?.stdout;
    let theirs = helper_run("list").arg(place.join("bundle/rootfs"));
    let theirs = theirs.limit(Duration::from_secs(120)).success()?.stdout;
    assert_same(&ours, &theirs);
    Ok(())
}

fn as_umoci() -> Result<(), Failed> {
    let place = Place::new();
    sh(
        place.path(),
        "mkdir -p base/usr/lib base/etc base/opt; echo lib >base/usr/lib/lib.so
         ln -s usr/lib base/lib; chmod 751 base/opt; chown 5:6 base/opt
         tar -C base --numeric-owner -cf base.tar .",
    )?;
    make(&place)?;
    compare(&place)
}

/// The same over a whole Debian, if the machine has one (`DOCKSTER_TEST_DEBIAN`).
fn debian() -> Result<(), Failed> {
    let Some(debian) = std::env::var_os("DOCKSTER_TEST_DEBIAN") else { return Ok(()) };
    let place = Place::new();
    std::os::unix::fs::symlink(debian, place.join("base.tar"))?;
    make(&place)?;
    compare(&place)
}

fn skopeo() -> Result<(), Failed> {
    let place = Place::new();
    sh(
        place.path(),
        "mkdir base; echo hello >base/hello; tar -C base -cf base.tar .; mkdir more; echo more >more/more
         tar -C more -cf more.tar more
         umoci init --layout L; umoci new --image L:x; umoci raw add-layer --image L:x base.tar
         umoci raw add-layer --image L:x more.tar; umoci config --image L:x --config.cmd sh
         skopeo copy -q oci:L:x docker-archive:docker.tar:team/app:1
         skopeo copy -q oci:L:x oci-archive:oci.tar:team/app:2; gzip -k docker.tar",
    )?;
    let id = sh(place.path(), "skopeo inspect --raw oci:L:x")?;
    let id = id.split("\"digest\":\"").nth(1).and_then(|rest| rest.get(..71)).expect("a digest");
    for (archive, name) in
        [("docker.tar", "team/app:1"), ("oci.tar", "team/app:2"), ("docker.tar.gz", "team/app:1")]
    {
        let load = helper_run("load").arg(place.join("store")).arg(place.join(archive));
        assert_eq!(outcome(load)??, format!("{name} {id}\n"), "{archive}");
        let said = outcome(helper_run("resolve").arg(place.join("store")).arg(name))??;
        let layers: Vec<_> = said.lines().skip(1).collect();
        assert_eq!(layers.len(), 2, "{said}");
        assert_eq!(fs::read_to_string(format!("{}/more", layers[0]))?, "more\n");
        assert_eq!(fs::read_to_string(format!("{}/hello", layers[1]))?, "hello\n");
    }
    // And others read the store as it lies there.
    let store = place.join("store/images");
    sh(place.path(), &format!("skopeo inspect oci:{}:team/app:2 >/dev/null", store.display()))?;
    Ok(())
}

/// A docker archive of layers that were made by hand.
pub fn docker_archive(names: &[&str], layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> =
        layers.iter().map(|layer| ch06_images::digest::of(layer).to_string()).collect();
    let config = serde_json::json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "config": { "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let files: Vec<String> =
        (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let list = serde_json::json!([{ "Config": "config.json", "RepoTags": names, "Layers": files }]);
    let mut archive = Archive::new()
        .file("config.json", &config.to_string())
        .file("manifest.json", &list.to_string());
    for (name, layer) in files.iter().zip(layers) {
        archive = archive.entry(name, tar::EntryType::Regular, "", layer, |_| {});
    }
    archive.done()
}

/// Loads layers as one image: the directories of its layers, the topmost first.
fn load(
    place: &Place,
    name: &str,
    layers: &[Vec<u8>],
) -> Result<Result<Vec<String>, String>, Failed> {
    fs::write(place.join("image.tar"), docker_archive(&[name], layers))?;
    let load = helper_run("load").arg(place.join("store")).arg(place.join("image.tar"));
    if let Err(error) = outcome(load)? {
        return Ok(Err(error));
    }
    let said = outcome(helper_run("resolve").arg(place.join("store")).arg(name))?;
    Ok(said.map(|said| said.lines().skip(1).map(str::to_owned).collect()))
}

fn chains() -> Result<(), Failed> {
    let place = Place::new();
    let one = Archive::new().dir("d").file("d/one", "1").done();
    let other = Archive::new().dir("e").file("e/other", "2").done();
    let change = Archive::new().file("change", "3").done();
    let first = load(&place, "first", &[one.clone(), change.clone()])??;
    let again = load(&place, "again", &[one.clone(), change.clone(), change.clone()])??;
    let second = load(&place, "second", &[other, change.clone()])??;
    assert_eq!(first[..], again[1..], "what is the same is there once");
    assert_ne!(first[0], second[0], "what lies over something else is something else");
    // The image that goes takes only what is its own.
    outcome(helper_run("remove").arg(place.join("store")).arg("again"))??;
    assert_eq!(load(&place, "first", &[one, change])??, first);
    assert_eq!(fs::read_dir(place.join("store/layers"))?.count(), 4);
    assert_eq!(fs::read_dir(place.join("store/ingest"))?.count(), 0);
    Ok(())
}

fn not_said() -> Result<(), Failed> {
    let place = Place::new();
    let below = Archive::new()
        .entry("d", tar::EntryType::Directory, "", b"", |header| header.set_mode(0o2751))
        .file("d/old", "old")
        .link("l", "d")
        .link("out", "../../../../../../outside")
        .done();
    let above = Archive::new()
        .file("l/new", "new")
        .hard_link("d/second", "d/old")
        .file("nowhere/.wh.x", "")
        .file(".wh.neither", "")
        .done();
    let layers = load(&place, "x", &[below.clone(), above])??;
    let top = place.join(&layers[0]);
    let list = crate::tools::list(&top)?;
    let names: Vec<_> = list.lines().map(|line| line.split('"').nth(1).unwrap_or("")).collect();
    assert_eq!(names, ["", "d", "d/new", "d/old", "d/second"], "{list}");
    assert!(list.contains("\"d\" 2751 "), "{list}");
    assert!(list.contains("\"d/old\" 644 0:0 2 1000000000."), "{list}");
    // A link of a layer below is as dangerous as one of its own.
    let outside = Archive::new().file("out/marker", "changed").done();
    let said = load(&place, "y", &[below, outside])?.expect_err("it leads nowhere");
    assert!(said.contains("in the way"), "{said}");
    assert_eq!(fs::read_to_string(place.join("outside/marker"))?, "untouched");
    assert_eq!(fs::read_dir(place.join("store/ingest"))?.count(), 0);
    Ok(())
}

fn lies() -> Result<(), Failed> {
    let place = Place::new();
    let layer = Archive::new().file("f", "x").done();
    // A configuration that says another content of its layer.
    let whole = docker_archive(&["x"], std::slice::from_ref(&layer));
    let id = ch06_images::digest::of(&layer);
    let other = "0".repeat(64);
    let text = String::from_utf8(whole)?.replace(id.digest(), &other);
    fs::write(place.join("image.tar"), text)?;
    let load =
        |name: &str| outcome(helper_run("load").arg(place.join("store")).arg(place.join(name)));
    load("image.tar")??;
    let said = outcome(helper_run("resolve").arg(place.join("store")).arg("x"))?;
    assert!(said.expect_err("a lie").contains("and should be"));
    for (name, archive, words) in [
        ("nothing", Archive::new().file("x", "").done(), "neither index.json nor manifest.json"),
        (
            "gap",
            Archive::new().file("manifest.json", r#"[{"Config":"c","Layers":[]}]"#).done(),
            "no file \"c\"",
        ),
        ("up", Archive::new().file("../x", "").done(), "leads out"),
        ("list", Archive::new().file("manifest.json", "{").done(), "manifest.json"),
    ] {
        fs::write(place.join(name), archive)?;
        let said = load(name)?.expect_err(name);
        assert!(said.contains(words), "{name}: {said}");
    }
    Ok(())
}
