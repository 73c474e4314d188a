//! The course: exercises, rungs, patches and transcripts are true, `cargo x` does what
//! it says, and each checker finds what it is there for.

mod exercises;
mod program;
mod rungs;
mod transcripts;
mod without;

use dockster_tests::run_serial;

fn main() {
    let all = [
        program::trials(),
        exercises::trials(),
        rungs::trials(),
        without::trials(),
        transcripts::trials(),
    ];
    run_serial(all.into_iter().flatten().collect())
}
