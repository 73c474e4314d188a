//! Images: archives applied to real trees, and stores that others can read.
//!
//! Everything runs in processes of its own (`helper`, below), as root, or as an
//! ordinary user as the root of a user namespace.

mod changes;
mod hostile;
mod imports;
mod layers;
mod limits;
mod mutants;
mod odd;
mod packed;
mod stacks;
mod tools;
mod users;

fn main() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == "helper") {
        return tools::helper(args.collect());
    }
    let all = [
        layers::trials(),
        hostile::trials(),
        limits::trials(),
        odd::trials(),
        mutants::trials(),
        packed::trials(),
        imports::trials(),
        changes::trials(),
        stacks::trials(),
        users::trials(),
    ];
    dockster_tests::run(all.into_iter().flatten().collect())
}
