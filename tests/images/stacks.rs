//! Images of many layers: what lies over each other is what umoci makes of it in one tree.

use std::fs;
use std::time::Duration;

use dockster_tests::{Failed, Need, Trial, trial};

use crate::layers::assert_same;
use crate::tools::{Archive, Place, Who, helper_run, needs, outcome, run_as, sh};

pub fn trials() -> Vec<Trial> {
    let umoci = [Need::Root, Need::Program("umoci"), Need::Program("skopeo")];
    let whole = [&umoci[..], &[Need::Debian]].concat();
    let any = needs(&[]);
    let mount = needs(&[Need::UserNamespaces]);
    vec![
        trial("a_stack_of_layers_is_as_umoci_unpacks_it", &umoci, as_umoci),
        trial("debian_and_its_changes_are_as_umoci_unpacks_them", &whole, debian),
        trial("archives_of_skopeo_are_loaded", &umoci, skopeo),
        trial("a_layer_belongs_to_those_below_it", &any, chains),
        trial("what_a_layer_does_not_say_is_as_it_was_below", &any, not_said),
        trial("an_opaque_root_hides_all_that_is_below_it", &mount, opaque_root),
        trial("links_that_lead_nowhere_are_taken_away", &mount, dangling),
        trial("a_path_of_two_thousand_names_in_a_stack", &any, deep),
        trial("archives_that_lie_are_not_loaded", &any, lies),
        trial("links_of_lower_layers_lead_nowhere_outside", &any, hostile),
        trial("a_hundred_and_twenty_layers", &mount, many),
        trial("a_disk_that_runs_full_in_a_stack_is_given_back", &mount, full_disk),
        trial("a_killed_unpack_leaves_nothing", &any, killed),
        trial("images_come_and_go_at_once", &any, at_once),
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
    let ours = merged(place, "x")?;
    let theirs = helper_run("list").arg(place.join("bundle/rootfs"));
    let theirs = theirs.limit(Duration::from_secs(120)).success()?.stdout;
    // The root itself is the container's own directory, as under docker.
    let below = |list: &str| list.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_same(&below(&ours).expect("a tree"), &below(&theirs).expect("a tree"));
    // And of the layers the topmost has that of the image.
    let top = layers.first().expect("a layer");
    let top = crate::tools::list(top.as_ref())?;
    assert_eq!(top.lines().next(), theirs.lines().next());
    Ok(())
}

/// The tree of an image, as a container finds it.
fn merged(place: &Place, name: &str) -> Result<String, Failed> {
    let kept = place.join("kept");
    fs::create_dir_all(&kept)?;
    let exe = std::env::current_exe()?;
    let run = run_as(Who::Root, "unshare").arg("--mount").arg(exe).args(["helper", "merged"]);
    let run = run.arg(place.join("store")).arg(name).arg(kept);
    Ok(run.limit(Duration::from_secs(120)).success()?.stdout)
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

/// The same over a whole Debian.
fn debian() -> Result<(), Failed> {
    let debian = dockster_tests::debian().ok_or("there is no Debian")?;
    let place = Place::new();
    std::os::unix::fs::symlink(debian, place.join("base.tar"))?;
    make(&place)?;
    compare(&place)
}

/// The tree of an image of these layers, as a container finds it.
fn tree_of(place: &Place, layers: Vec<Archive>) -> Result<String, Failed> {
    layers_of(place, layers)?;
    merged(place, "x")
}

/// An image `x` of these layers, the lowest first.
fn layers_of(place: &Place, layers: Vec<Archive>) -> Result<(), Failed> {
    let mut script = "mkdir -p L/blobs/sha256; cd L".to_owned();
    let mut ids = Vec::new();
    for (number, layer) in layers.into_iter().enumerate() {
        let bytes = layer.done();
        let id = ch06_images::digest::of(&bytes).digest().to_owned();
        fs::write(place.join(&format!("layer{number}")), &bytes)?;
        script += &format!("; cp ../layer{number} blobs/sha256/{id}");
        ids.push((id, bytes.len()));
    }
    let diffs: Vec<String> = ids.iter().map(|(id, _)| format!("\"sha256:{id}\"")).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diffs.join(",")
    );
    let descriptor = |kind: &str, id: &str, size: usize| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"sha256:{id}","size":{size}"#
        )
    };
    let of = |bytes: &str| ch06_images::digest::of(bytes.as_bytes()).digest().to_owned();
    let all: Vec<String> =
        ids.iter().map(|(id, size)| descriptor("layer.v1.tar", id, *size) + "}").collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{}}},"layers":[{}]}}"#,
        descriptor("config.v1+json", &of(&config), config.len()),
        all.join(",")
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{},"annotations":{{"org.opencontainers.image.ref.name":"x"}}}}]}}"#,
        descriptor("manifest.v1+json", &of(&manifest), manifest.len())
    );
    for (name, text) in [(of(&config), &config), (of(&manifest), &manifest)] {
        fs::write(place.join(&name), text)?;
        script += &format!("; cp ../{name} blobs/sha256/{name}");
    }
    fs::write(place.join("index"), index)?;
    script += r#"; cp ../index index.json; echo '{"imageLayoutVersion":"1.0.0"}' >oci-layout
        tar -cf ../image.tar ."#;
    sh(place.path(), &script)?;
    let load = helper_run("load").arg(place.join("store")).arg(place.join("image.tar"));
    outcome(load)??;
    Ok(())
}

/// Of the roots of its layers overlayfs makes one, whatever attributes they have.
fn opaque_root() -> Result<(), Failed> {
    let place = Place::new();
    let below = Archive::new().file("old", "").file("both/old", "").link("link", "old");
    let above = Archive::new().file("both/new", "").file(".wh..wh..opq", "").file("new", "");
    let tree = tree_of(&place, vec![below, above])?;
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(names, ["", "both", "both/new", "new"], "{tree}");
    Ok(())
}

fn dangling() -> Result<(), Failed> {
    let place = Place::new();
    let below = Archive::new()
        .link("nowhere", "not/there")
        .link("circle", "circle")
        .link("out", "../../outside/marker")
        .dir("d")
        .link("d/absolute", "/not/there")
        .link("e", "d")
        .file("d/file", "");
    let above = ["nowhere", "circle", "out", "d/absolute", "e/file"].iter();
    let above = above.fold(Archive::new(), |all, path| match path.split_once('/') {
        Some((dir, name)) => all.file(&format!("{dir}/.wh.{name}"), ""),
        None => all.file(&format!(".wh.{path}"), ""),
    });
    let tree = tree_of(&place, vec![below, above])?;
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(names, ["", "d", "e"], "{tree}");
    Ok(())
}

/// As many as a path may have: made below, then seen, changed and taken away above.
fn deep() -> Result<(), Failed> {
    let place = Place::new();
    let path = |depth: usize, name: &str| "d/".repeat(depth) + name;
    let at = |all: Archive, path: String| all.records(&[("path", path.as_bytes())]).file("x", "");
    let below = at(at(Archive::new(), path(2000, "gone")), path(2000, "stays"));
    let above = (1..6).fold(Archive::new(), |all, n| at(all, path(n * 399, "new")));
    let above = at(at(above, path(2000, ".wh.gone")), path(1999, ".wh.never"));
    layers_of(&place, vec![below, above])?;
    let resolve = helper_run("resolve").arg(place.join("store")).arg("x");
    let said = outcome(resolve.limit(Duration::from_secs(120)))??;
    let top = said.lines().nth(1).expect("a layer");
    let script = format!("cd {top}; find . -type c -printf '%f\\n'; find . -name new | wc -l");
    assert_eq!(sh(place.path(), &script)?, "gone\n5\n");
    outcome(helper_run("remove").arg(place.join("store")).arg("x"))??;
    Ok(())
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

/// A layer that tries to leave by what a layer below it has laid.
fn hostile() -> Result<(), Failed> {
    let up = "../../../../../../../../../../../../../..";
    type Tries = fn(Archive) -> Archive;
    let cases: [(&str, Tries); 9] = [
        ("a file", |a| a.file("out/new", "x")),
        ("a directory", |a| a.dir("out/new")),
        ("a whiteout", |a| a.file("out/.wh.marker", "")),
        ("an opaque directory", |a| a.file("out/.wh..wh..opq", "")),
        ("a hard link", |a| a.hard_link("stolen", "out/marker")),
        ("a hard link from there", |a| a.hard_link("out/linked", "f")),
        ("a link and a file", |a| a.link("out/l", "x").file("out/l", "x")),
        ("a link over a link", |a| a.link("dir", "out").file("dir/new", "x")),
        ("a loop", |a| a.link("b", "a").file("a/x", "x")),
    ];
    for (what, tries) in cases {
        for above in [false, true] {
            let place = Place::new();
            let outside = place.join("outside");
            let target = match above {
                true => format!("{up}{}", outside.display()),
                false => outside.display().to_string(),
            };
            let below = Archive::new().file("f", "f").dir("dir").link("a", "b");
            let below = below.records(&[("linkpath", target.as_bytes())]).link("out", "x").done();
            // Whether it is refused or stays inside: nothing outside has changed.
            let _ = load(&place, "x", &[below, tries(Archive::new()).done()])?;
            let names: Vec<_> = fs::read_dir(&outside)?
                .map(|e| e.map(|e| e.file_name()))
                .collect::<Result<_, _>>()?;
            assert_eq!(names, ["marker"], "{what}");
            let marker = fs::metadata(outside.join("marker"))?;
            assert_eq!(std::os::unix::fs::MetadataExt::nlink(&marker), 1, "{what}");
            assert_eq!(fs::read_to_string(outside.join("marker"))?, "untouched", "{what}");
            assert_eq!(fs::read_dir(place.join("store/ingest"))?.count(), 0, "{what}");
        }
    }
    Ok(())
}

fn many() -> Result<(), Failed> {
    let place = Place::new();
    let layer = |number: usize| {
        let own = format!("own-{number}");
        let gone = format!(".wh.own-{}", number.wrapping_sub(2));
        Archive::new().file(&own, &own).file("all/last", &own).file(&gone, "").done()
    };
    let layers: Vec<_> = (0..120).map(layer).collect();
    assert_eq!(load(&place, "many", &layers)??.len(), 120);
    let list = merged(&place, "many")?;
    let names: Vec<_> = list.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(names, ["", "all", "all/last", "own-118", "own-119"], "{list}");
    Ok(())
}

fn full_disk() -> Result<(), Failed> {
    let place = Place::new();
    let layer = |name: &str, size: usize| Archive::new().file(name, &"x".repeat(size)).done();
    let layers = [layer("small", 1000), layer("middle", 2 << 20), layer("large", 6 << 20)];
    fs::write(place.join("image.tar"), docker_archive(&["x"], &layers))?;
    let exe = std::env::current_exe()?;
    let script = format!(
        r#"mount -t tmpfs -o size=14m t tree
        '{exe}' helper load tree/store image.tar
        '{exe}' helper images tree/store; before=$(df -k --output=used tree | tail -1)
        '{exe}' helper resolve tree/store x 2>error && exit 3
        test "$before" = "$(df -k --output=used tree | tail -1)" || exit 4
        ls tree/store/ingest tree/store/layers; cat error
        '{exe}' helper remove tree/store x >/dev/null; find tree/store -type f | sort"#,
        exe = exe.display()
    );
    let run = run_as(Who::Root, "unshare").args(["--mount", "sh", "-c", &script]);
    let said = run.dir(place.path()).success()?.stdout;
    assert!(
        said.contains("no room for this image") && said.contains("hint: remove images"),
        "{said}"
    );
    assert!(said.contains("tree/store/ingest:\n\ntree/store/layers:\n"), "{said}");
    let files: Vec<_> = said.lines().filter(|line| line.starts_with("tree/store/images")).collect();
    assert_eq!(
        files,
        ["tree/store/images.lock", "tree/store/images/index.json", "tree/store/images/oci-layout"]
    );
    Ok(())
}

fn killed() -> Result<(), Failed> {
    let place = Place::new();
    let mut large = Archive::new();
    for number in 0..2000 {
        large = large.file(&format!("d{}/{number}", number % 50), &"x".repeat(2000));
    }
    let layers = [Archive::new().file("first", "1").done(), large.done()];
    fs::write(place.join("image.tar"), docker_archive(&["x"], &layers))?;
    outcome(helper_run("load").arg(place.join("store")).arg(place.join("image.tar")))??;
    let ingest = place.join("store/ingest");
    let mut command = helper_run("resolve").arg(place.join("store")).arg("x").into_command();
    let mut child = command.stdout(std::process::Stdio::null()).spawn()?;
    dockster_tests::wait_until(
        "the second layer is being unpacked",
        Duration::from_secs(20),
        || {
            let begun = fs::read_dir(&ingest).into_iter().flatten().flatten();
            begun.map(|entry| entry.path().join("layer-1")).any(|layer| layer.exists())
                || child.try_wait().is_ok_and(|ended| ended.is_some())
        },
    )?;
    // An ordinary user's child is unshare(1), which goes, and what it has started as well.
    child.kill()?;
    child.wait()?;
    dockster_tests::wait_until("nobody works on it any more", Duration::from_secs(20), || {
        let _ = outcome(helper_run("sweep").arg(place.join("store")));
        fs::read_dir(&ingest).is_ok_and(|left| left.count() == 0)
    })?;
    let said = outcome(helper_run("resolve").arg(place.join("store")).arg("x"))??;
    assert_eq!(said.lines().count(), 3);
    assert_eq!(fs::read_dir(said.lines().nth(1).expect("a layer"))?.count(), 50);
    Ok(())
}

/// Two images that share a layer: one comes, is unpacked and goes, again and again, and so does
/// the other; what one needs the other never takes away.
fn at_once() -> Result<(), Failed> {
    let place = Place::new();
    let shared = Archive::new().file("shared", "s").dir("d").done();
    for (name, file) in [("one", "1"), ("two", "2")] {
        let layers = [shared.clone(), Archive::new().file(file, name).done()];
        fs::write(place.join(name), docker_archive(&[name], &layers))?;
    }
    outcome(helper_run("images").arg(place.join("store")))??;
    let again = |name: &'static str| -> Result<(), Failed> {
        for _ in 0..15 {
            outcome(helper_run("load").arg(place.join("store")).arg(place.join(name)))??;
            let said = outcome(helper_run("resolve").arg(place.join("store")).arg(name))??;
            let layers: Vec<_> = said.lines().skip(1).collect();
            assert!(fs::exists(format!("{}/shared", layers[1]))?, "{said}");
            outcome(helper_run("remove").arg(place.join("store")).arg(name))??;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| again("one")), scope.spawn(|| again("two")));
        one.join().expect("no panic").and(two.join().expect("no panic"))
    })?;
    for dir in ["layers", "ingest", "images/blobs/sha256"] {
        assert_eq!(fs::read_dir(place.join("store").join(dir))?.count(), 0, "{dir}");
    }
    Ok(())
}
