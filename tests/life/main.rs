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
    dockster_tests::on_a_network_of_its_own();
    let topics = [
        background::trials(),
        trees::trials(),
        words::trials(),
        logs::trials(),
        looks::trials(),
        attached::trials(),
        exec::trials(),
        policies::trials(),
        health::trials(),
        screens::trials(),
        statuses::trials(),
        crashes::trials(),
    ];
    let names = &["stats_", "a_killed_shim_is_noticed"];
    let trials = dockster_tests::of_version_2(topics.into_iter().flatten(), names);
    dockster_tests::run(trials.collect())
}
