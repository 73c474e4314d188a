//! `dockster build`, from outside: judged by what is in the images, and by what a
//! container of them sees.
//!
//! Every test has a root of its own (`tools::House`, that of `tests/run`).

mod again;
mod compile;
mod copies;
mod errors;
mod instructions;
mod programs;
#[path = "../registry/server.rs"]
mod server;
#[path = "../run/tools.rs"]
#[allow(dead_code)]
mod tools;
mod workshop;

fn main() {
    dockster_tests::on_a_network_of_its_own();
    let all = [
        instructions::trials(),
        copies::trials(),
        programs::trials(),
        again::trials(),
        errors::trials(),
        compile::trials(),
    ];
    let all = all.into_iter().flatten().map(dockster_tests::not_on_the_slow_machine);
    dockster_tests::run(all.collect())
}
