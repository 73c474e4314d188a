//! Changes to this machine: shown, asked for, recorded, made; and taken back.
//!
//! The record is a file with a line for each change, `what`, `run` and `undo` with tabs
//! between. A change is written down before it is made: if we are killed in between,
//! taking back what was not done does no harm, and nothing is forgotten.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use ch01_clone::narrate::fill;
use nix::unistd::geteuid;

use crate::Change;

/// Where the record is: `$XDG_STATE_HOME/dockster/host-changes`.
pub fn record() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").unwrap_or_else(|| "/root".into()).join(".local/state");
    variable("XDG_STATE_HOME").unwrap_or_else(home).join("dockster/host-changes")
}

/// Offers a change, and makes it if the answer is yes. Whether it was made.
pub fn offer(change: &Change) -> Result<bool> {
    println!("Change:  {}", change.what);
    show("as root:", &change.run);
    match change.undo.is_empty() {
        true => println!("  undo:    there is none"),
        false => show("undo:", &change.undo),
    }
    if !ask("Make it?")? {
        return Ok(false);
    }
    let file = record();
    let before = read(&file)?;
    write(&file, &[&before[..], std::slice::from_ref(change)].concat())?;
    run_as_root(&change.run).inspect_err(|_| {
        // It was not made. If the record cannot be mended, one line too many is in it.
        let _ = write(&file, &before);
    })?;
    println!("Done, and written down: `cargo x clean --host` takes it back.\n");
    Ok(true)
}

/// Offers to take back all that is recorded, the newest first. How many are left.
pub fn take_back() -> Result<usize> {
    let file = record();
    let mut left = read(&file)?;
    if left.is_empty() {
        println!("Nothing on this machine was changed by `doctor --fix`.");
    }
    for at in (0..left.len()).rev() {
        let change = left[at].clone();
        println!("Changed: {}", change.what);
        if change.undo.is_empty() {
            println!("  undo:    there is no command for it; it is struck off the record");
        } else {
            show("as root:", &change.undo);
            if !ask("Take it back?")? {
                continue;
            }
            run_as_root(&change.undo)?;
            println!("Taken back.\n");
        }
        left.remove(at);
        write(&file, &left)?;
    }
    Ok(left.len())
}

fn show(label: &str, command: &str) {
    // A command is to be read whole, and copied: it is only broken at spaces.
    for (at, line) in fill(command, 66).iter().enumerate() {
        println!("  {:<8} {line}", if at == 0 { label } else { "" });
    }
}

/// Only a person at a terminal can say yes.
fn ask(question: &str) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        println!("  not done: this is no terminal, so nobody can be asked\n");
        return Ok(false);
    }
    print!("{question} [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let yes = matches!(answer.trim(), "y" | "Y" | "yes");
    if !yes {
        println!("Left as it is.\n");
    }
    Ok(yes)
}

/// `sh -c COMMAND`, through sudo or doas unless we are root.
fn run_as_root(command: &str) -> Result<()> {
    let mut shell = match (geteuid().is_root(), elevator()) {
        (true, _) => Command::new("/bin/sh"),
        (false, Some(program)) => {
            let mut sudo = Command::new(program);
            sudo.args(["--", "/bin/sh"]);
            sudo
        }
        (false, None) => bail!("neither sudo nor doas is installed: as root, run: {command}"),
    };
    let status = shell.arg("-c").arg(command).status().context("cannot start it")?;
    match status.success() {
        true => Ok(()),
        false => bail!("it did not work ({status}): {command}"),
    }
}

/// `sudo` or `doas`, whichever is there.
pub fn elevator() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let find =
        |name: &str| std::env::split_paths(&path).map(|d| d.join(name)).find(|f| f.is_file());
    find("sudo").or_else(|| find("doas"))
}

fn read(file: &Path) -> Result<Vec<Change>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().filter_map(parse).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}

fn parse(line: &str) -> Option<Change> {
    let mut fields = line.split('\t').map(str::to_owned);
    Some(Change { what: fields.next()?, run: fields.next()?, undo: fields.next()? })
}

/// Written beside and renamed: the record is whole at any moment. Without a change there
/// is no file.
fn write(file: &Path, changes: &[Change]) -> Result<()> {
    let written = || {
        if changes.is_empty() {
            return fs::remove_file(file);
        }
        let line = |Change { what, run, undo }: &Change| format!("{what}\t{run}\t{undo}\n");
        let new = file.with_extension("new");
        fs::create_dir_all(file.parent().unwrap_or(file))?;
        fs::write(&new, changes.iter().map(line).collect::<String>())?;
        fs::rename(&new, file)
    };
    written().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = std::env::temp_dir().join(format!("dockster-doctor-test-{}", std::process::id()));
        let file = dir.join("host-changes");
        assert!(read(&file).unwrap().is_empty());
        let changes = [Change::new("load", "modprobe a", ""), Change::new("b", "c d", "e f")];
        write(&file, &changes).unwrap();
        assert_eq!(read(&file).unwrap(), changes);
        write(&file, &[]).unwrap();
        assert!(!file.exists());
        fs::remove_dir(dir).unwrap();
    }
}
