//! What others do while a pull is on its way, and what the disk does.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dockster_tests::{Failed, Need, Trial, wait_until};
use serde_json::json;

use crate::hostile::{Act, Asked, Content, MANIFEST, Registry};
use crate::tools::{Background, House, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("what_a_pull_has_nobody_takes_away", &[], nobody_takes_away),
        beside("a_full_disk_gives_its_room_back", &[Need::Root], a_full_disk),
    ]
}

/// A second image of the two lower layers; its digest.
fn shorter(content: &mut Content) -> String {
    let kept = content.layers.pop().expect("it has three");
    let mut config = content.text(&content.config.clone());
    config["rootfs"]["diff_ids"] = json!(content.layers);
    let mut manifest = content.manifest();
    let id = content.add("application/vnd.oci.image.config.v1+json", &config);
    manifest["config"] = content.descriptor(&id);
    content.layers.push(kept);
    content.add(MANIFEST, &manifest)
}

/// Its layers are those of another image, which is removed meanwhile.
fn nobody_takes_away() -> Result<(), Failed> {
    let house = House::empty();
    let mut content = Content::new(&house)?;
    let other = shorter(&mut content);
    let layers = content.layers.clone();
    let (waits, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (waiting, going, noise) = (Arc::clone(&waits), Arc::clone(&go), layers[2].clone());
    let registry = Registry::new(content, move |asked: &Asked| {
        if asked.is(&noise) {
            waiting.store(true, Ordering::SeqCst);
            // If it takes too long, the test below has failed already.
            let _ = wait_until("it may go on", PATIENCE, || going.load(Ordering::SeqCst));
        }
        Act::Serve
    })?;
    let other = format!("{}/app@{other}", registry.address);
    house.dockster(["pull", &other]).success()?;
    let mut pull = Background::start(house.dockster(["pull", &registry.image()]))?;
    wait_until("all but one layer are here", PATIENCE, || waits.load(Ordering::SeqCst))?;
    house.dockster(["rmi", &other]).success()?;
    house.dockster(["image", "prune", "-f"]).success()?;
    assert_eq!(house.dockster(["images", "-q", "-a"]).success()?.stdout, "");
    assert_eq!(fs::read_dir(house.root().join("layers"))?.count(), 0);
    go.store(true, Ordering::SeqCst);
    let status = pull.status()?;
    assert!(status.success(), "{status}: {}", pull.stderr());
    for layer in &layers {
        assert_eq!(registry.gets(layer), 1, "a layer was fetched again");
    }
    let done = house.run(["--pull", "never", &registry.image()]).success()?;
    assert_eq!(done.stdout, "marked\n");
    house.nothing_left()
}

/// The whole life of a store on a disk that is too small for one of its images.
fn a_full_disk() -> Result<(), Failed> {
    let house = House::empty();
    let mut content = Content::new(&house)?;
    let other = shorter(&mut content);
    let registry = Registry::new(content, |_| Act::Serve)?;
    let (image, root) = (registry.image(), house.join("small"));
    fs::create_dir(&root)?;
    let lower = format!("{}/app@{other}", registry.address);
    let script = r#"
        mount -t tmpfs -o mode=700,size="$3"k small "$DOCKSTER_ROOT"
        used() { df -k --output=used "$DOCKSTER_ROOT" | tail -n 1; }
        "$0" images -q
        before=$(used)
        if "$0" pull -q "$1" 2>said; then echo "it fits"; exit 1; fi
        cat said
        test $(used) -le $((before + 64))
        test -z "$("$0" images -q -a)"
        "$0" pull -q "$2"
        "$0" rmi "$2" >said
        mount -o remount,size=200m "$DOCKSTER_ROOT"
        "$0" pull -q "$1"
    "#;
    let tree: u64 = lowest(&house)?;
    let done = dockster_tests::Run::new("unshare")
        .args(["--mount", "sh", "-euc", script])
        .arg(env!("CARGO_BIN_EXE_dockster"))
        .args([&*image, &*lower])
        // The lower layers fit twice, packed and unpacked, but not what is above them.
        .arg(format!("{}", 2 * tree / 1024 + 4096))
        .env("DOCKSTER_ROOT", &root)
        .dir(house.join(""))
        .success()?;
    done.says("no room for this image: ")?.says("remove images that are not needed")?;
    assert!(done.stdout.ends_with(&format!("{image}\n")), "{}", done.stdout);
    Ok(())
}

/// How large the lowest layer is, in bytes.
fn lowest(house: &House) -> Result<u64, Failed> {
    Ok(fs::metadata(house.join("tree.tar"))?.len())
}
