//! Containers that live without the command that has started them, from outside.
//!
//! Every test has a root of its own (`tools::House`, that of `tests/run`).

mod attached;
mod background;
mod crashes;
mod exec;
mod health;
mod logs;
mod looks;
mod policies;
mod screens;
mod statuses;
#[path = "../run/tools.rs"]
#[allow(dead_code)]
mod tools;
mod trees;
mod words;

fn main() {
    let on_every_host = [looks::trials(), crashes::trials()];
    let anywhere = [
        background::trials(),
        trees::trials(),
        words::trials(),
        logs::trials(),
        attached::trials(),
        exec::trials(),
        policies::trials(),
        health::trials(),
        screens::trials(),
        statuses::trials(),
    ];
    let anywhere = anywhere.into_iter().flatten().map(dockster_tests::not_on_the_slow_machine);
    dockster_tests::run(anywhere.chain(on_every_host.into_iter().flatten()).collect())
}
