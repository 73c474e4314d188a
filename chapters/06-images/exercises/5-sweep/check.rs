use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use course::judge::*;

/// Once the pull goes on after the collection, once it is killed before.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let store = attempt.scratch().to_owned();
    let prepared = prepare(&store);
    prepared.map_err(|error| Verdict::NotDone(format!("the store: {error}")))?;

    let mut pull = attempt.start(&["pull"])?;
    let half = pull.until("half")?;
    collect(attempt, &pull)?;
    pull.go(&half);
    let half = pull.until("half")?;
    collect(attempt, &pull)?;
    pull.go(&half);
    pull.end()?;
    whole(&store, "app", "swept")?;
    attempt.start(&["collect"])?.end()?;
    whole(&store, "app", "swept")?;
    whole(&store, "old", "lost")?;

    // The image is removed, and comes once more; but this time it does not get far.
    let again = fs::write(store.join("index"), "old other\n");
    again.map_err(|error| Verdict::NotDone(format!("the index: {error}")))?;
    let mut pull = attempt.start(&["pull"])?;
    pull.until("half")?;
    drop(pull);
    attempt.start(&["collect"])?.end()?;
    whole(&store, "old", "lost")?;
    match names(&store.join("blobs"))[..] {
        [ref only] if only == "other" => Ok("nothing is lost, and nothing is left".into()),
        ref left => Err(wrong(
            "left",
            format!("after a killed pull and a collection blobs has {}", left.join(" ")),
            "the blobs of the images alone",
            "ls blobs; cat index",
        )),
    }
}

/// An image, and a blob that has been left over for a day.
fn prepare(store: &Path) -> std::io::Result<()> {
    fs::create_dir(store.join("blobs"))?;
    fs::write(store.join("index"), "old other\n")?;
    for name in ["other", "base"] {
        fs::write(store.join("blobs").join(name), name)?;
    }
    let yesterday = SystemTime::now() - Duration::from_secs(24 * 3600);
    fs::File::options().write(true).open(store.join("blobs/base"))?.set_modified(yesterday)
}

/// Collects beside a pull that stands still. One that waits for the pull may do so.
fn collect(attempt: &mut Attempt, pull: &Running) -> Result<(), Verdict> {
    let run = attempt.start(&["collect"])?;
    let ended = || look::field(run.pid(), "State").is_empty();
    pull.wait_until(|| ended() || waits(&run));
    match ended() {
        true => run.end().map(drop),
        // It goes on when it is killed, here: it must not have done any harm.
        false => Ok(()),
    }
}

/// Whether it stands before a lock: `->` in /proc/locks.
fn waits(run: &Running) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let own = format!(" {} ", run.pid());
    locks.lines().any(|line| line.contains("->") && line.contains(&own))
}

/// Whether an image of the index has all of its blobs.
fn whole(store: &Path, image: &str, hint: &'static str) -> Result<(), Verdict> {
    let index = fs::read_to_string(store.join("index")).unwrap_or_default();
    let blobs = names(&store.join("blobs"));
    let line = index.lines().find(|line| line.split(' ').next() == Some(image));
    let Some(line) = line else {
        return Err(Verdict::NotDone(format!("the index has no image {image}:\n{index}")));
    };
    let gone = line.split(' ').skip(1).find(|blob| !blobs.iter().any(|name| name == blob));
    match (gone, hint) {
        (None, _) => Ok(()),
        (Some(blob), "swept") => Err(wrong(
            "swept",
            format!("{image} is in the index, and its blob {blob} is gone"),
            "an image in the index has all of its blobs",
            "cat index; ls blobs",
        )),
        (Some(blob), _) => Err(wrong(
            "lost",
            format!("{blob} is gone, and {image} had it all the time"),
            "the blobs of images stay",
            "cat index; ls blobs",
        )),
    }
}

/// The names in a directory, in order.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
