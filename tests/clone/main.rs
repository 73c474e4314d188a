//! Chapter 1 from outside: the program `01-clone`, judged by what the kernel shows of it.
//!
//! The library's promises that need a process of their own are in `library`: there
//! this program runs itself again, for the tests' own process has threads.

mod ends;
#[path = "held.rs"]
mod held;
mod ids;
mod joining;
mod library;
mod views;
mod watched;

use dockster_tests::{Run, of_version_2, run};

fn main() {
    if let Some(part) = std::env::var_os(library::PART) {
        library::play(&part.to_string_lossy());
        return;
    }
    let parts =
        [views::trials(), ids::trials(), joining::trials(), ends::trials(), watched::trials()];
    let trials = parts.into_iter().flatten().chain(library::trials());
    run(of_version_2(trials, &["its_cgroup"]).collect())
}

/// A run of the chapter's program.
fn clone() -> Run {
    Run::new(env!("CARGO_BIN_EXE_01-clone"))
}

/// The program running `script` with these options.
fn sh(options: &[&str], script: &str) -> Run {
    clone().args(options).args(["--", "sh", "-c", script])
}
