//! The commands of `cargo x`, one file each: they parse, call the library, and print.

pub mod book;
pub mod check;
pub mod clean;
pub mod doctor;
pub mod hint;
pub mod lab;
pub mod progress;
pub mod promote;
pub mod reset;
pub mod rootfs;
pub mod run;
pub mod rung;
pub mod start;
pub mod verify;
pub mod watch;
pub mod without;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The course's own command
#[derive(Parser)]
#[command(name = "cargo x", bin_name = "cargo x", disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Doctor(doctor::DoctorArgs),
    Run(run::RunArgs),
    Rootfs(rootfs::RootfsArgs),
    Lab(lab::LabArgs),
    Clean(clean::CleanArgs),
    Book(book::BookArgs),
    Start(start::StartArgs),
    Check(check::CheckArgs),
    Hint(hint::HintArgs),
    Reset(reset::ResetArgs),
    Watch(watch::WatchArgs),
    Progress(progress::ProgressArgs),
    Without(without::WithoutArgs),
    Rung(rung::RungArgs),
    Verify(verify::VerifyArgs),
    Promote(promote::PromoteArgs),
}

/// Does what was asked for; the exit status.
pub fn run(cli: Cli) -> Result<u8> {
    match cli.verb {
        Verb::Doctor(args) => doctor::doctor(args),
        Verb::Run(args) => run::run(args),
        Verb::Rootfs(args) => rootfs::rootfs(args),
        Verb::Lab(args) => lab::lab(args),
        Verb::Clean(args) => clean::clean(args),
        Verb::Book(args) => book::book(args),
        Verb::Start(args) => start::start(args),
        Verb::Check(args) => check::check(args),
        Verb::Hint(args) => hint::hint(args),
        Verb::Reset(args) => reset::reset(args),
        Verb::Watch(args) => watch::watch(args),
        Verb::Progress(args) => progress::progress(args),
        Verb::Without(args) => without::without(args),
        Verb::Rung(args) => rung::rung(args),
        Verb::Verify(args) => verify::verify(args),
        Verb::Promote(args) => promote::promote(args),
    }
}
