//! Chapter 5's program: an OCI runtime.

use std::process::ExitCode;

fn main() -> ExitCode {
    ch05_lifecycle::cli::main("05-lifecycle", ch05_lifecycle::credentials::prepare)
}
