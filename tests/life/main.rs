//! Containers that live without the command that has started them, from outside.
//!
//! Every test has a root of its own (`tools::House`, that of `tests/run`).

mod attached;
mod background;
mod crashes;
mod exec;
mod logs;
mod looks;
mod policies;
#[path = "../run/tools.rs"]
#[allow(dead_code)]
mod tools;
mod words;

fn main() {
    let topics = [
        background::trials(),
        words::trials(),
        logs::trials(),
        looks::trials(),
        attached::trials(),
        exec::trials(),
        policies::trials(),
        crashes::trials(),
    ];
    dockster_tests::run(topics.into_iter().flatten().collect())
}
