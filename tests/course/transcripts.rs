//! Every transcript of the book does what the page shows, and leaves nothing behind.

mod found;

pub use found::trials as self_tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use course::transcript::{self, Bench, Block};
use dockster_tests::{
    Failed, Fingerprint, Need, Trial, find_program, host, scaled, source_dir, trial, wait_until,
};

/// How many have run so far.
static RAN: AtomicUsize = AtomicUsize::new(0);

/// One for each transcript, then the sum.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let (mut all, mut skipped, mut wrong) = (0, 0, Vec::new());
    let pages = transcript::pages(&source_dir().join("book/src")).expect("the book's pages");
    for (page, file) in pages {
        match transcript::blocks(&page, &file) {
            Err(error) => {
                let failed = format!("{error:#}");
                trials.push(Trial::test(page, move || Err(failed.into())));
            }
            Ok(blocks) => {
                all += blocks.len();
                skipped += blocks.iter().filter(|block| block.skip.is_some()).count();
                wrong.extend(
                    blocks.iter().filter(|b| b.builds() != needs_cargo(b)).map(Block::name),
                );
                trials.extend(blocks.into_iter().map(of_block));
            }
        }
    }
    trials.push(trial("transcripts::cargo_is_needed_where_it_says_so", &[], move || {
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(format!("needs=cargo is missing, or not needed: {wrong:?}").into()),
        }
    }));
    trials.push(trial("transcripts", &[], move || sum(all, skipped)));
    trials
}

fn needs_cargo(block: &Block) -> bool {
    block.needs.iter().any(|need| need == "cargo")
}

/// As it is on the page, where this host can do it.
fn of_block(block: Block) -> Trial {
    let ignored =
        |why: String| Trial::test(block.name(), || Ok(())).with_kind(why).with_ignored_flag(true);
    if let Some(reason) = &block.skip {
        return ignored(format!("skipped: {reason}"));
    }
    if block.builds() && !can_build() {
        return ignored("needs cargo".into());
    }
    // The slow machine is there for what only a version 2 host can show.
    let speed = (!block.needs.iter().any(|word| ["limits", "v2"].contains(&&**word)))
        .then_some(Need::Speed);
    let needs: Vec<Need> = block.needs.iter().filter_map(|word| need(word)).chain(speed).collect();
    let name = block.name();
    trial(&name, &needs, move || {
        RAN.fetch_add(1, Ordering::Relaxed);
        is_true(&block)
    })
}

fn is_true(block: &Block) -> Result<(), Failed> {
    let before = Fingerprint::of_host();
    let seconds = if block.builds() { 300 } else { 30 };
    let played = transcript::play(block, &bench(Duration::from_secs(seconds)))
        .map_err(|error| format!("{error:#}"))?;
    if !played.is_true() {
        return Err(transcript::report(block, &played).into());
    }
    nothing_stays(&before, Duration::from_secs(10))
}

/// What was not there before, is there right after, and stays: that is ours. What comes
/// later is somebody else's, as are the directories of other programs' tests.
fn nothing_stays(before: &Fingerprint, limit: Duration) -> Result<(), Failed> {
    let come = || -> Vec<String> {
        let diff = before.diff(&Fingerprint::of_host());
        let own = format!("/dockster-transcript-{}-", std::process::id());
        let ours = |line: &String| {
            let tests = ["/dockster-test-", "/dockster-transcript-"];
            let theirs = line.starts_with("+ file") && tests.iter().any(|name| line.contains(name));
            line.starts_with('+') && (!theirs || line.contains(&own)) && !holds_another_lab(line)
        };
        diff.into_iter().filter(ours).collect()
    };
    let mut left = come();
    let gone = wait_until("nothing is left behind", limit, || {
        let now = if left.is_empty() { Vec::new() } else { come() };
        left.retain(|line| now.contains(line));
        left.is_empty()
    });
    gone.map_err(|_| format!("left behind:\n{}", left.join("\n")).into())
}

/// The cgroup that all labs have in common: it goes with the last of them, which another
/// test may have started.
fn holds_another_lab(line: &str) -> bool {
    let dir = line.strip_prefix("+ cgroup ").map(Path::new);
    let dir = dir.filter(|dir| dir.ends_with(course::lab::PARENT));
    let mut below = dir.into_iter().flat_map(std::fs::read_dir).flatten().flatten();
    below.any(|entry| entry.path().is_dir())
}

/// In the source tree, with the programs that were built with this test.
fn bench(patience: Duration) -> Bench {
    let x = PathBuf::from(env!("CARGO_BIN_EXE_x"));
    Bench {
        programs: x.parent().map(Path::to_path_buf),
        x,
        tree: source_dir().to_path_buf(),
        patience: scaled(patience),
    }
}

/// The word of a page as the tests know it.
fn need(word: &str) -> Option<Need> {
    match word {
        "root" => Some(Need::Root),
        "user" => Some(Need::User),
        "v1" => Some(Need::V1),
        "v2" => Some(Need::V2),
        "limits" => Some(Need::Limits),
        "ranges" => Some(Need::IdRanges),
        _ => word.strip_prefix("program:").map(|name| Need::Program(name.to_owned().leak())),
    }
}

/// There is a cargo, a target directory to write to, and the speed to do it.
fn can_build() -> bool {
    use nix::unistd::{AccessFlags, access};
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| source_dir().join("target"));
    find_program("cargo").is_some()
        && access(&target, AccessFlags::W_OK).is_ok()
        && !host().is_slow()
}

/// At most one of twenty is skipped. (Run alone, it has counted nothing.)
fn sum(all: usize, skipped: usize) -> Result<(), Failed> {
    let ran = RAN.load(Ordering::Relaxed);
    println!("transcripts: {ran} of {all} were executed here; {skipped} are skipped everywhere");
    if skipped * 20 > all {
        return Err(format!("{skipped} of {all} are skipped: more than 5 %").into());
    }
    Ok(())
}
