//! Chapter 5 from outside: the program `05-lifecycle`, and what it knows a process by.
//! (As an OCI runtime it is tested in tests/oci, under its other name.)

#![forbid(unsafe_code)]

mod crowd;
#[path = "../clone/held.rs"]
mod held;
mod incarnation;
mod init;
mod notes;
mod program;
mod stop;

fn main() {
    let topics = [
        incarnation::trials(),
        init::trials(),
        notes::trials(),
        program::trials(),
        stop::trials(),
        crowd::trials(),
    ];
    let trials = topics.into_iter().flatten().map(dockster_tests::not_on_the_slow_machine);
    dockster_tests::run(trials.collect())
}
