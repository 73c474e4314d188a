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

use dockster_tests::{not_on_the_slow_machine, run_serial};

fn main() {
    dockster_tests::on_a_network_of_its_own();
    let on_every_host = [
        program::of_the_kernel(),
        rungs::trials(),
        exercises::trials(),
        holes::trials(),
        without::trials(),
        transcripts::trials(),
    ];
    let anywhere = [
        shape::trials(),
        bad::trials(),
        made_up::trials(),
        program::trials(),
        mine::trials(),
        transcripts::self_tests(),
    ];
    let anywhere = anywhere.into_iter().flatten().map(not_on_the_slow_machine);
    run_serial(on_every_host.into_iter().flatten().chain(anywhere).collect())
}
