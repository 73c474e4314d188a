//! `dockster-oci`: the runtime that Podman, containerd and Docker can drive.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ch05_lifecycle::cli::main("dockster-oci", ch07_confine::credentials::prepare)
}
