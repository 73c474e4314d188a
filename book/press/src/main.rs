//! Makes the book, serves it, checks it, and is mdBook's preprocessor.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use press::expand::Course;
use press::{check, make, numbers, serve};

/// Makes the book from its pages, and proves them
#[derive(Parser)]
#[command(name = "press")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the book
    Build {
        /// Where to
        #[arg(long, value_name = "DIR", default_value = "target/book")]
        dir: PathBuf,
    },
    /// Serve it on this machine, and make it again when a source changes
    Serve {
        /// Where to make it
        #[arg(long, value_name = "DIR", default_value = "target/book")]
        dir: PathBuf,
        /// The port; 0 is any free one
        #[arg(long, default_value_t = 3000)]
        port: u16,
    },
    /// Say what is wrong with the pages, a line each
    Check {
        /// Say how long the chapters are, too
        #[arg(long)]
        numbers: bool,
    },
    /// Be mdBook's preprocessor
    Preprocess {
        /// `supports RENDERER` is what mdBook asks first
        question: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(wrong) => {
            wrong.iter().for_each(|line| eprintln!("{line}"));
            if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("press: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is wrong with the book.
fn run(command: Command) -> Result<Vec<String>> {
    match command {
        Command::Build { dir } => make::build(&top()?, &dir),
        Command::Serve { dir, port } => serve::serve(&top()?, &dir, port).map(|()| Vec::new()),
        Command::Check { numbers } => {
            let course = Course::load(&top()?);
            if numbers {
                print!("{}", numbers::table(&course));
            }
            Ok(check::all(&course))
        }
        Command::Preprocess { question } => match question.is_empty() {
            true => make::preprocess(std::io::stdin(), std::io::stdout()).map(|()| Vec::new()),
            false => Ok(Vec::new()),
        },
    }
}

/// The top of the source tree: this folder or the first above it that has a book.
fn top() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let found = here.ancestors().find(|dir| dir.join("book/src/SUMMARY.md").is_file());
    found.map(PathBuf::from).context("run this in the source tree")
}
