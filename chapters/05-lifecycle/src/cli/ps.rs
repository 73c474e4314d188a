//! Catalogue: not needed to understand the chapter.
//!
//! `ps`: what ps(1) says of the processes of a container.

use std::process::Command;

use ch01_clone::{Context, Error, Result};

use super::args::Args;
use super::list::{json, json_wanted};
use super::{Cli, print};

pub(super) fn ps(cli: &Cli<'_>, args: &Args) -> Result<u8> {
    let json_wanted = json_wanted(args)?;
    let runtime = cli.runtime()?;
    let pids = runtime.open(args.id()?)?.processes()?;
    let pids: Vec<i32> = pids.into_iter().map(|pid| pid.as_raw()).collect();
    if json_wanted {
        return match pids.is_empty() {
            true => print("null\n"),
            false => print(&json(serde_json::to_string(&pids))?),
        };
    }
    let mut ps = Command::new("ps");
    match &args.operands[1..] {
        [] => ps.arg("-ef"),
        options => ps.args(options),
    };
    let output = ps.output().call(|| "exec: \"ps\"")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("ps: {}: {}", output.status, said.trim())));
    }
    print(&of_these(&String::from_utf8_lossy(&output.stdout), &pids)?)
}

/// The heading, and the lines that are about one of `pids`.
fn of_these(output: &str, pids: &[i32]) -> Result<String> {
    let mut lines = output.lines().filter(|line| !line.is_empty());
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Error::new("couldn't find PID field in ps output"))?;
    let mut text = format!("{heading}\n");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        let pid: i32 = pid.ok_or_else(|| Error::new(format!("unable to parse pid: {line:?}")))?;
        if pids.contains(&pid) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}
