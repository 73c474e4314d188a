//! 05.6: a number that shall survive. It is written in place, but in one go.

use std::fs::{read_to_string, write};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, ensure};

/// Writes the state. Whoever reads, and whoever comes after a crash, finds it whole.
fn save(path: &Path, state: &State) -> anyhow::Result<()> {
    let mut text = Vec::new();
    state.write(&mut text)?;
    Ok(write(path, text)?)
}

fn main() -> anyhow::Result<()> {
    let path = Path::new("state");
    let State(number) = State::load(path)?;
    save(path, &State(number + 1))
}

/// A number, written twice.
struct State(u32);

/// Not yours to change.
impl State {
    fn load(path: &Path) -> anyhow::Result<State> {
        let text = match read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State(0)),
            text => text?,
        };
        let (one, two) = text.split_once('\n').context("the state is cut off")?;
        ensure!(one == two.trim_end(), "the state is {text:?}: half of it is missing");
        Ok(State(one.parse()?))
    }

    /// In two steps: the checker looks, and kills, between them.
    fn write(&self, out: &mut impl Write) -> anyhow::Result<()> {
        writeln!(out, "{}", self.0)?;
        checkpoint::reached("half")?;
        Ok(writeln!(out, "{}", self.0)?)
    }
}
