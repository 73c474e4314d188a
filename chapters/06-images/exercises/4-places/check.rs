use std::fs;
use std::path::Path;

use course::judge::*;
use sha2::{Digest, Sha256};

/// Both names and all directories' names, against what the layout says.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    run.until("named")?;
    let here = attempt.scratch();
    let read = |digest: &str| {
        let file = here.join("layout/blobs/sha256").join(digest);
        fs::read_to_string(file).unwrap_or_default()
    };
    let index = fs::read_to_string(here.join("layout/index.json")).unwrap_or_default();
    let digest = digests(&index).into_iter().next().unwrap_or_default();
    let id = digests(&read(&digest)).into_iter().next().unwrap_or_default();
    let yours = fs::read_link(here.join("names")).unwrap_or_default();
    let yours = yours.to_string_lossy();
    let (your_id, your_digest) = yours.split_once(' ').unwrap_or_default();
    let look = "jq . layout/index.json, and the blob that it leads to";
    if your_id != format!("sha256:{id}") {
        let observed = format!("as the ID you say {your_id:?}");
        return Err(wrong("id", observed, format!("sha256:{id}"), look));
    }
    if your_digest != format!("sha256:{digest}") {
        let observed = format!("as the digest you say {your_digest:?}");
        return Err(wrong("digest", observed, format!("sha256:{digest}"), look));
    }
    names(&here.join("layers"), &chain(&digests(&read(&id))))
}

/// The first layer whose directory is not the one it should be.
fn names(layers: &Path, chain: &[String]) -> Judgement {
    for (number, name) in chain.iter().enumerate() {
        if layers.join(name).join(number.to_string()).is_dir() {
            continue;
        }
        let observed = format!("layer {number} is not in layers/{name}");
        let look = "ls layers; printf '%s %s' sha256:… sha256:… | sha256sum";
        return Err(match number {
            0 => wrong("lowest", observed, "that is the digest of its bytes, unpacked", look),
            _ => wrong("alone", observed, "that is the digest of what is below, and of it", look),
        });
    }
    Ok("an ID, a digest and three chain ids, by hand".into())
}

/// What each layer is with all that are below it.
fn chain(diff_ids: &[String]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    for id in diff_ids {
        chain.push(match chain.last() {
            None => id.clone(),
            Some(below) => {
                let hash = Sha256::digest(format!("sha256:{below} sha256:{id}"));
                hash.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        });
    }
    chain
}

/// The digests in a text, in order, without their algorithm.
fn digests(text: &str) -> Vec<String> {
    let parts = text.split("\"sha256:").skip(1);
    parts.filter_map(|part| part.get(..64)).map(str::to_owned).collect()
}
