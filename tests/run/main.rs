//! `dockster run` and what belongs to it, from outside: judged by what its user sees,
//! what the container sees, and what is left on the host.
//!
//! Every test has a root of its own (`tools::House`). The last topic looks at the whole
//! host, and its tests run one by one.

mod archives;
mod copied;
mod debian;
mod faults;
mod hello;
mod images;
mod isolation;
mod limits;
mod links;
mod list;
mod options;
mod signals;
mod stdio;
mod story;
mod terminal;
mod tools;
mod volumes;
mod words;

fn main() {
    dockster_tests::on_a_network_of_its_own();
    let on_every_host = [isolation::trials(), limits::trials(), faults::trials()];
    let anywhere = [
        story::trials(),
        hello::trials(),
        words::trials(),
        options::trials(),
        volumes::trials(),
        links::trials(),
        copied::trials(),
        images::trials(),
        list::trials(),
        stdio::trials(),
        terminal::trials(),
        signals::trials(),
        debian::trials(),
        archives::trials(),
    ];
    let anywhere = anywhere.into_iter().flatten().map(dockster_tests::not_on_the_slow_machine);
    dockster_tests::run(anywhere.chain(on_every_host.into_iter().flatten()).collect())
}
