//! `dockster`: the runtime that the chapters make.

#![deny(unsafe_code)]

mod cli;
mod engine;
mod hello;
mod netd;
mod portrait;
mod rootless;
mod shim;
#[allow(unsafe_code)]
mod sys;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A program that needs a second one starts itself under another name: so does the
    // built-in image, and so does who sees to a container that lives without its command.
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_name() {
        Some(name) if name == "hello" => hello::main(),
        Some(name) if name == shim::NAME => shim::main(),
        Some(name) if name == rootless::keeper::NAME => rootless::keeper::main(),
        Some(name) if name == netd::NAME => netd::main(),
        Some(name) if name == shim::probe::NAME => shim::probe::main(),
        _ => cli::main(),
    }
}
