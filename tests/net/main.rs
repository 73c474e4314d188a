//! Networks of containers, from outside: judged by what `dockster` says of them, and by
//! what a container reaches.
//!
//! Every test has a root of its own (`tools::House`, that of `tests/run`), and so networks
//! of its own; and the suite has a network namespace of its own, whose rules it may look at.

mod crashes;
mod modes;
mod names;
mod networks;
mod ports;
mod street;
#[path = "../run/tools.rs"]
#[allow(dead_code)]
mod tools;
mod usual;
mod wires;

fn main() {
    dockster_tests::on_a_network_of_its_own();
    let topics = [
        usual::trials(),
        crashes::trials(),
        modes::trials(),
        names::trials(),
        networks::trials(),
        ports::trials(),
        wires::trials(),
    ];
    let all = topics.into_iter().flatten().map(dockster_tests::not_on_the_slow_machine);
    dockster_tests::run(all.collect())
}
