//! The course: exercises, rungs, patches and transcripts are true, `cargo x` does what
//! it says, and each checker finds what it is there for.

mod bad;
mod exercises;
mod holes;
mod house;
mod made_up;
mod mine;
mod program;
mod rungs;
mod shape;
mod transcripts;
mod without;

use dockster_tests::run_serial;

fn main() {
    let all = [
        shape::trials(),
        bad::trials(),
        made_up::trials(),
        program::trials(),
        mine::trials(),
        rungs::trials(),
        exercises::trials(),
        holes::trials(),
        without::trials(),
        transcripts::trials(),
    ];
    run_serial(all.into_iter().flatten().collect())
}
