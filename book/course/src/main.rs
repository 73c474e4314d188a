//! `cargo x`: the course's own command.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use ch01_clone::options;

fn main() -> ExitCode {
    match options::parse() {
        Ok(cli) => options::run("cargo x", || cli::run(cli)),
        Err(status) => status,
    }
}
