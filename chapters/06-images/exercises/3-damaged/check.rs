use std::fs;
use std::path::Path;

use course::judge::*;

/// Damages three of four images, each in another way, and looks which ones are still listed.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let stored = run.until("stored")?;
    let images = attempt.scratch().join("store/images");
    let blobs = images.join("blobs/sha256");
    damage(&images, &blobs).map_err(|error| Verdict::NotDone(format!("the store: {error}")))?;
    let before = count(&blobs);
    run.go(&stored);
    run.until("sifted")?;
    if count(&blobs) != before {
        let observed = format!("{} blobs, and there were {before}", count(&blobs));
        let expected = "the same blobs: somebody else will look at them";
        return Err(wrong("blobs", observed, expected, "ls store/images/blobs/sha256"));
    }
    let index = fs::read_to_string(images.join("index.json")).unwrap_or_default();
    let look = "sha256sum store/images/blobs/sha256/*, and jq . store/images/index.json";
    let listed = |name: &str| format!("{name} is still listed");
    if !index.contains("amber") {
        return Err(wrong(
            "lost",
            "amber is not listed any more",
            "it is: nothing was done to it",
            look,
        ));
    }
    if index.contains("cedar") {
        return Err(wrong("missing", listed("cedar"), "it is not: its manifest is gone", look));
    }
    if index.contains("birch") {
        let expected = "it is not: one bit of its layer is another";
        return Err(wrong("flipped", listed("birch"), expected, look));
    }
    if index.contains("dune") {
        let expected = "it is not: its configuration is not the one it was";
        return Err(wrong("config", listed("dune"), expected, look));
    }
    Ok("of four images one is whole, and you have found it".into())
}

/// One bit of a layer, a manifest that is gone, a word of a configuration.
fn damage(images: &Path, blobs: &Path) -> std::io::Result<()> {
    let index = fs::read_to_string(images.join("index.json"))?;
    let manifest = |name| {
        let own = index.split_once(name).map_or("", |(_, after)| after);
        blobs.join(digests(own).into_iter().next().unwrap_or_default())
    };
    let parts = |name| std::io::Result::Ok(digests(&fs::read_to_string(manifest(name))?));
    // The configuration comes first, then the layer.
    change(&blobs.join(&parts("birch")?[1]), |bytes| bytes[20] ^= 1)?;
    fs::remove_file(manifest("cedar"))?;
    change(&blobs.join(&parts("dune")?[0]), |bytes| {
        let text = String::from_utf8_lossy(bytes).replace("linux", "minix");
        *bytes = text.into_bytes();
    })
}

/// Another file in its place: it may be one that nobody may write to.
fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> std::io::Result<()> {
    let mut bytes = fs::read(file)?;
    change(&mut bytes);
    fs::remove_file(file)?;
    fs::write(file, bytes)
}

/// The digests in a text, in order.
fn digests(text: &str) -> Vec<String> {
    let parts = text.split("\"sha256:").skip(1);
    parts.filter_map(|part| part.get(..64)).map(str::to_owned).collect()
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).into_iter().flatten().count()
}
