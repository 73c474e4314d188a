//! What a pull or a push says while it runs: a line a layer, redrawn on a terminal; a
//! line a change elsewhere.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ch05_lifecycle::pty;
use ch06_images::registry::State;

use super::live::decimal;

/// Often enough to look alive.
const EVERY: Duration = Duration::from_millis(100);

/// Docker's words for the states of a layer.
pub struct Words {
    waiting: &'static str,
    moving: &'static str,
    exists: &'static str,
    done: &'static str,
    end: &'static str,
}

/// Of a pull.
pub const PULL: Words = Words {
    waiting: "Pulling fs layer",
    moving: "Downloading",
    exists: "Already exists",
    done: "Download complete",
    end: "Pull complete",
};

/// Of a push.
pub const PUSH: Words = Words {
    waiting: "Preparing",
    moving: "Pushing",
    exists: "Layer already exists",
    done: "Pushed",
    end: "Pushed",
};

/// Where it is said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// Nowhere.
    Quiet,
    /// It is what the command is for.
    Out,
    /// The output is a container's.
    Err,
}

/// All layers, as they are shown.
pub struct Board {
    words: Words,
    place: Where,
    terminal: bool,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    layers: Vec<(String, u64, State)>,
    lines: usize,
    drawn: Option<Instant>,
}

impl Board {
    pub fn new(words: Words, place: Where) -> Self {
        let terminal = match place {
            Where::Quiet => false,
            Where::Out => stdout().is_terminal(),
            Where::Err => stderr().is_terminal(),
        };
        Self { words, place, terminal, shown: Mutex::default() }
    }

    /// A line of its own. Whoever does not read it does not stop us.
    pub fn say(&self, line: &str) {
        let _ = match self.place {
            Where::Quiet => Ok(()),
            Where::Out => writeln!(stdout().lock(), "{line}"),
            Where::Err => writeln!(stderr().lock(), "{line}"),
        };
    }

    /// A layer has come to a state. Called by several threads.
    pub fn tell(&self, hex: &str, bytes: u64, state: State) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (hex.to_owned(), bytes, state);
        match shown.layers.iter_mut().find(|(known, ..)| known == hex) {
            Some(layer) => *layer = now,
            None => shown.layers.push(now),
        }
        let moved = matches!(state, State::Moved(_));
        match (self.terminal, moved) {
            (true, false) => self.draw(&mut shown),
            (true, true) if shown.drawn.is_none_or(|then| then.elapsed() >= EVERY) => {
                self.draw(&mut shown);
            }
            (false, false) => self.say(&self.line(hex, bytes, state, false)),
            _ => {}
        }
    }

    /// All that was fetched is unpacked, too.
    pub fn end(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match self.terminal {
            true => self.draw_with(&mut shown, true),
            false => {
                let done = shown.layers.iter().filter(|(.., state)| *state == State::Done);
                done.for_each(|(hex, bytes, state)| {
                    self.say(&self.line(hex, *bytes, *state, true))
                });
            }
        }
    }

    fn draw(&self, shown: &mut Shown) {
        self.draw_with(shown, false);
    }

    /// Over what was drawn before; the last layers if there are more than lines.
    fn draw_with(&self, shown: &mut Shown, end: bool) {
        let (rows, columns) = pty::size();
        let room = usize::from(rows).saturating_sub(1).max(1);
        let mut text = match shown.lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A"),
        };
        let first = shown.layers.len().saturating_sub(room);
        for (hex, bytes, state) in &shown.layers[first..] {
            let line = self.line(hex, *bytes, *state, end);
            let line: String = line.chars().take(usize::from(columns).max(20) - 1).collect();
            text += &format!("\r\x1b[2K{line}\n");
        }
        shown.lines = shown.layers.len() - first;
        shown.drawn = Some(Instant::now());
        self.say(text.strip_suffix('\n').unwrap_or(&text));
    }

    fn line(&self, hex: &str, bytes: u64, state: State, end: bool) -> String {
        let words = &self.words;
        let text = match state {
            State::Waiting => words.waiting.to_owned(),
            State::Exists => words.exists.to_owned(),
            State::Mounted => "Mounted from another repository".to_owned(),
            State::Done if end => words.end.to_owned(),
            State::Done => words.done.to_owned(),
            State::Moved(moved) => {
                let part = (moved * 30).checked_div(bytes).unwrap_or(0).min(30) as usize;
                let bar = format!("{}>", "=".repeat(part));
                format!("{} [{bar:<31}] {}/{}", words.moving, decimal(moved), decimal(bytes))
            }
        };
        format!("{}: {text}", &hex[..hex.len().min(12)])
    }
}
