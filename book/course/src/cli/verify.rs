//! `cargo x verify`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::Args;
use course::tree;

/// Prove the book: pages, transcripts, exercises, patches, rungs
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Only what has this in its name
    pub filter: Option<String>,
}

/// The suites that prove it.
const SUITES: [&str; 3] = ["course", "book", "house"];

/// Runs it; the exit status: 0 if all that ran is true.
pub fn verify(args: VerifyArgs) -> Result<u8> {
    // The suites run the chapters' programs and examples.
    let programs = ["build", "--workspace", "--bins", "--examples"];
    if !cargo(&programs).status().context("cannot start cargo")?.success() {
        println!("\nverify: it does not build");
        return Ok(1);
    }
    // The whole workspace here too: with fewer packages cargo would choose other features, and
    // build half of it anew.
    let mut test = cargo(&["test", "--workspace", "--no-fail-fast"]);
    test.args(SUITES.map(|suite| ["--test", suite]).as_flattened());
    test.arg("--").args(args.filter).stdout(Stdio::piped());
    let mut running = test.spawn().context("cannot start cargo")?;
    let mut sum = Sum::default();
    let output = running.stdout.take().context("its output is a pipe")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        sum.read(&line);
        println!("{line}");
    }
    let passed = running.wait()?.success();
    println!("\nverify: {}", sum.words(passed));
    Ok(u8::from(!passed))
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(tree()).args(args);
    command
}

/// What the suites said in the end.
#[derive(Default)]
struct Sum {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Sum {
    /// "test result: ok. 5 passed; 0 failed; 1 ignored; ...".
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let words: Vec<_> = result.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let number = pair[0].parse().unwrap_or(0);
            match pair[1] {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    fn words(&self, passed: bool) -> String {
        let Sum { passed: right, failed, ignored } = self;
        let found = match (passed, failed) {
            (true, _) => "all that was looked at is true".to_owned(),
            (false, 0) => "a suite broke off: see above".to_owned(),
            (false, failed) => format!("{failed} of them are not true: see above"),
        };
        let left = match ignored {
            0 => String::new(),
            _ => format!("; {ignored} cannot be looked at on this host"),
        };
        format!("{} things were looked at; {found}{left}.", right + failed)
    }
}
