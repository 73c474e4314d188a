//! `dockster`: the runtime that the chapters make.

#![forbid(unsafe_code)]

mod cli;
mod engine;
mod hello;
mod portrait;
mod rootless;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The built-in image holds this very program, under another name.
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_name() {
        Some(name) if name == "hello" => hello::main(),
        _ => cli::main(),
    }
}
