//! Chapter 7 from outside: filters run by a small machine here, and credentials
//! changed for real.
//!
//! A change of credentials has no way back. So this program runs itself again
//! for each of them, and looks at what the kernel says of that process.

mod changes;
mod filters;
mod machine;
mod refused;

fn main() {
    if let Some(part) = std::env::var_os(changes::PART) {
        changes::play(&part.to_string_lossy());
        return;
    }
    let mut trials = filters::trials();
    trials.extend(changes::trials());
    trials.extend(refused::trials());
    dockster_tests::run(trials)
}
