//! Pull, push, login: against the real registry of Debian, with images that other
//! programs have made, and against a registry of our own that does all that can go wrong.
//!
//! Every test has a root of its own (`tools::House`, that of `tests/run`).

mod faults;
mod hostile;
mod images;
mod logins;
mod meanwhile;
mod pushes;
mod real;
mod server;
mod taken;
mod tokens;
#[path = "../run/tools.rs"]
#[allow(dead_code)]
mod tools;

fn main() {
    dockster_tests::on_a_network_of_its_own();
    // It is the same on every kernel.
    let all = [
        real::trials(),
        logins::trials(),
        faults::trials(),
        pushes::trials(),
        tokens::trials(),
        meanwhile::trials(),
    ];
    let all = all.into_iter().flatten().map(dockster_tests::not_on_the_slow_machine);
    dockster_tests::run(all.collect())
}
