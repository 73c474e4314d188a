//! Catalogue: not needed to understand the chapter.
//!
//! The command line of an OCI runtime.

use std::process::ExitCode;

use crate::credentials::Credentials;

/// The program `name`: parses the command line and does what it says.
pub fn main(name: &str, _credentials: Credentials) -> ExitCode {
    eprintln!("{name}: not yet");
    ExitCode::FAILURE
}
