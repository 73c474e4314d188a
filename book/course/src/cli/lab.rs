//! `cargo x lab`.

use std::ffi::OsString;
use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use course::lab::{self, Ceiling, Lab, Scratch};
use course::{exercise, programs, rootfs, run, tree};
use nix::unistd::geteuid;

/// Open a shell in a sandbox, where nothing can hurt this machine
#[derive(Args, Debug)]
pub struct LabArgs {
    /// The chapter: 02
    pub chapter: String,
    /// After so many seconds all in it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    pub seconds: u64,
    /// No shell and no words: for what judges programs
    #[arg(long, hide = true)]
    raw: bool,
    /// With --raw: the working directory
    #[arg(long, value_name = "DIR", hide = true, default_value = ".")]
    scratch: PathBuf,
    /// With --raw: a descriptor that the program gets
    #[arg(long, value_name = "FD", hide = true)]
    keep: Vec<RawFd>,
    /// Be PID 1 of a lab
    #[arg(long, hide = true)]
    inside: bool,
    /// Another program than a shell
    #[arg(last = true)]
    pub command: Vec<OsString>,
}

/// Runs it; the exit status.
pub fn lab(args: LabArgs) -> Result<u8> {
    match (args.inside, args.raw) {
        (true, _) => lab::init(&args.command),
        (_, true) => raw(args),
        _ => shell(args),
    }
}

/// The sandbox alone: the environment as it is, the caller's directory and descriptors.
fn raw(args: LabArgs) -> Result<u8> {
    let ceiling = Ceiling::find()?;
    let lab = Lab {
        command: args.command,
        environment: lab::environment(&[path(None)]),
        directory: args.scratch,
        keep: args.keep,
        limit: Duration::from_secs(args.seconds),
        quiet: true,
    };
    Ok(lab.run(&ceiling)?)
}

/// A shell in a directory of its own, with the chapters' programs at hand.
fn shell(args: LabArgs) -> Result<u8> {
    let chapter = programs::number(&args.chapter)?;
    run::refuse_to_build_as_root(&tree(), &format!("cargo x lab {chapter}"))?;
    let built = std::path::absolute(programs::build_up_to(&chapter)?)?;
    let ceiling = Ceiling::find()?;
    let scratch = Scratch::new()?;
    rootfs::make(&scratch.path().join("rootfs"))?;
    put_what_the_chapter_has(&chapter, scratch.path())?;
    // Who gives a command wants to see what that says, and nothing else.
    let quiet = !args.command.is_empty();
    if !quiet {
        greet(&chapter, &ceiling, args.seconds);
    }
    let lab = Lab {
        command: if quiet { args.command } else { vec!["sh".into()] },
        environment: lab::environment(&variables(&chapter, built)),
        directory: scratch.path().to_owned(),
        keep: Vec::new(),
        limit: Duration::from_secs(args.seconds),
        quiet,
    };
    Ok(lab.run(&ceiling)?)
}

/// Copies of the files in `chapters/NN-name/lab`, to play with.
fn put_what_the_chapter_has(chapter: &str, scratch: &Path) -> Result<()> {
    let known = programs::chapters(&tree()).into_iter().filter(|known| known.number == chapter);
    for folder in known.map(|known| tree().join("chapters").join(known.name).join("lab")) {
        for file in exercise::files(&folder) {
            let copy = scratch.join(exercise::name(&file));
            fs::copy(&file, &copy).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

fn greet(chapter: &str, ceiling: &Ceiling, seconds: u64) {
    let time = match seconds {
        minutes if minutes % 60 == 0 => format!("{} minutes", minutes / 60),
        seconds => format!("{seconds} seconds"),
    };
    eprintln!("Lab {chapter}: at most {}, {time}.", ceiling.sentence());
    eprintln!("Leave it with exit or Ctrl-D: all in it ends, this directory is deleted.");
    if geteuid().is_root() {
        eprintln!("You are root on this machine, and in here: a file changed stays changed.");
    }
}

/// The prompt, and a PATH with the chapters' programs.
fn variables(chapter: &str, built: PathBuf) -> Vec<OsString> {
    vec![path(Some(built)), format!("PS1=(lab {chapter}) # ").into()]
}

/// A PATH with this directory, and those of the machine that an ordinary user's often lacks.
fn path(first: Option<PathBuf>) -> OsString {
    let own = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let all = first.into_iter().chain(std::env::split_paths(&own));
    let all = all.chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut path = OsString::from("PATH=");
    // A directory with a colon in its name cannot be in PATH: then it has to do without.
    path.push(std::env::join_paths(all).unwrap_or(own));
    path
}
