//! The command line: parse, call the engine, print. Words and flags are docker's.

mod containers;
mod doctor;
mod images;
mod run;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use ch01_clone::options;
use clap::{Parser, Subcommand};

use crate::engine::{self, Engine};
use crate::rootless;

/// A container runtime to learn from
#[derive(Parser)]
#[command(name = "dockster", version, term_width = 78)]
struct Cli {
    /// Where images and containers are kept [default: /var/lib/dockster, or
    /// ~/.local/share/dockster for an ordinary user]
    #[arg(long, env = "DOCKSTER_ROOT", value_name = "DIR", hide_env = true)]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create and run a new container from an image
    Run(Box<run::RunArgs>),
    /// List containers
    Ps(containers::PsArgs),
    /// Remove one or more containers
    Rm(containers::RmArgs),
    /// Make an image of a tar archive or a directory
    Import(images::ImportArgs),
    /// List images
    Images(images::ImagesArgs),
    /// Remove one or more images
    Rmi(images::RmiArgs),
    /// Say what on this machine stands in the way, and the cure
    Doctor(doctor::DoctorArgs),
}

/// The program: parse, become root in a namespace of one's own if need be, do it.
pub fn main() -> ExitCode {
    let cli: Cli = match options::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    options::run("dockster", || {
        let root = cli.root.unwrap_or_else(engine::default_root);
        if let Command::Doctor(args) = cli.command {
            return doctor::doctor(args, &root);
        }
        if rootless::needed() {
            if let Command::Run(args) = &cli.command {
                args.before_entering()?;
            }
            return Ok(rootless::enter()?);
        }
        let engine = Engine::open(&root)?;
        match cli.command {
            Command::Run(args) => run::run(&engine, *args),
            Command::Ps(args) => containers::ps(&engine, &args),
            Command::Rm(args) => containers::rm(&engine, &args),
            Command::Import(args) => images::import(&engine, args),
            Command::Images(args) => images::images(&engine, &args),
            Command::Rmi(args) => images::rmi(&engine, &args),
            Command::Doctor(_) => unreachable!("answered above"),
        }
    })
}

/// Prints what a command has found. Whoever reads may stop early: `| head` is no error.
fn print(text: &str) -> anyhow::Result<u8> {
    match stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(0),
    }
}

/// Rows under each other, each column as wide as its widest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  "));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// How long ago, as docker says it.
fn ago(seconds_since_1970: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs()).saturating_sub(seconds_since_1970);
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        172_800..1_209_600 => (seconds / 86_400, "day"),
        1_209_600..5_184_000 => (seconds / 604_800, "week"),
        _ => (seconds / 2_592_000, "month"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural} ago")
}
