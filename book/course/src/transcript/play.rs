//! Runs a transcript: types its lines, and keeps what comes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::compare::{Bindings, Edit, Line, compare};
use super::home::Home;
use super::leaks;
use super::names::Names;
use super::page::Block;
use super::reader::{PROMPT, make_rootfs, shell};
use super::step::{Key, Step, Typed};
use super::terminal::Terminal;
use super::watch::Watch;

/// Where transcripts are run.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The program that answers to `cargo x`.
    pub x: PathBuf,
    /// The directory of built programs (`DOCKSTER_PROGRAMS`), if `x` shall not build.
    pub programs: Option<PathBuf>,
    /// The source tree: where the shell stands.
    pub tree: PathBuf,
    /// How long one command may take.
    pub patience: Duration,
}

/// What a transcript did.
#[derive(Debug, Default)]
pub struct Played {
    /// A comparison for each step, as far as it came.
    pub steps: Vec<Vec<Edit>>,
    /// Why it did not come to its end: the line, and a sentence.
    pub stopped: Option<(usize, String)>,
    /// What it left behind.
    pub leaks: Vec<String>,
    /// Which real numbers the page's stand for.
    pub bindings: Bindings,
}

impl Played {
    /// All came as it is on the page, and nothing is left.
    pub fn is_true(&self) -> bool {
        let same = |edit: &Edit| matches!(edit, Edit::Same(_));
        self.stopped.is_none() && self.leaks.is_empty() && self.steps.iter().flatten().all(same)
    }
}

/// Runs a block. An error is the runner's own, not the page's.
pub fn play(block: &Block, bench: &Bench) -> Result<Played> {
    let home = Home::new(&bench.x, &bench.tree).context("a home for the transcript")?;
    make_rootfs(block, bench, &home)?;
    let mut session = Session::new(block, bench, &home);
    let stopped = session.run().err();
    let leaks = session.end();
    let (steps, bindings) = session.compare(&session.said);
    Ok(Played { steps, bindings, leaks, stopped: stopped.map(|s| (s.line, s.why)) })
}

/// Where a transcript came to a stop.
struct Stop {
    line: usize,
    why: String,
}

struct Session<'a> {
    block: &'a Block,
    bench: &'a Bench,
    home: &'a Home,
    seats: [Option<Seat>; 2],
    names: Names,
    prompts: BTreeSet<String>,
    /// What came after each step.
    said: Vec<String>,
}

/// One of the two terminals, and how far it is.
struct Seat {
    terminal: Terminal,
    /// The step that was typed last.
    step: Option<usize>,
    /// It shows this prompt, and waits.
    at: Option<String>,
    /// A key that was typed and may still be shown.
    key: Option<Key>,
}

impl Session<'_> {
    fn new<'a>(block: &'a Block, bench: &'a Bench, home: &'a Home) -> Session<'a> {
        let mut prompts: BTreeSet<String> =
            block.steps.iter().filter_map(|step| step.prompt.clone()).collect();
        prompts.insert(PROMPT.into());
        let names = Names::of(&home.path(), &bench.tree, ["", ""]);
        Session { block, bench, home, seats: [None, None], names, prompts, said: Vec::new() }
    }

    fn run(&mut self) -> Result<(), Stop> {
        let block = self.block;
        for (index, step) in block.steps.iter().enumerate() {
            self.open(step)?;
            self.ready(step)?;
            self.said.push(String::new());
            self.seat(step.terminal).step = Some(index);
            self.enter(step)?;
            self.answer(index)?;
        }
        Ok(())
    }

    /// The step's terminal is there.
    fn open(&mut self, step: &Step) -> Result<(), Stop> {
        if self.seats[step.terminal].is_some() {
            return Ok(());
        }
        let terminal = Terminal::start(&shell(self.block, self.bench, self.home))
            .map_err(|e| stop(step, format!("cannot start bash by setsid(1): {e}")))?;
        self.seats[step.terminal] = Some(Seat { terminal, step: None, at: None, key: None });
        let name = |n: usize| self.seats[n].as_ref().map_or("", |seat| &seat.terminal.name);
        self.names = Names::of(&self.home.path(), &self.bench.tree, [name(0), name(1)]);
        self.until_prompt(step)
    }

    /// The step's terminal shows its prompt: already, or when a command of before ends.
    fn ready(&mut self, step: &Step) -> Result<(), Stop> {
        self.read_all();
        let Some(wanted) = &step.prompt else { return Ok(()) };
        if self.seat(step.terminal).at.is_none() {
            self.until_prompt(step)?;
        }
        self.keep(step.terminal);
        match &self.seat(step.terminal).at {
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(stop(step, format!("the prompt is {found:?}, not {wanted:?}"))),
            None => Err(stop(step, "the shell of this terminal has ended".into())),
        }
    }

    fn enter(&mut self, step: &Step) -> Result<(), Stop> {
        match &step.typed {
            Typed::Nothing => Ok(()),
            Typed::Key(key) => {
                self.seat(step.terminal).key = Some(*key);
                self.type_keys(step, key.bytes())
            }
            Typed::Line(lines) => self.enter_lines(step, lines),
        }
    }

    /// Types the lines of a command, the page's numbers replaced by the real ones.
    fn enter_lines(&mut self, step: &Step, lines: &[String]) -> Result<(), Stop> {
        let (_, bindings) = self.compare(&self.said);
        for (n, line) in lines.iter().enumerate() {
            let line = bindings.to_real(line);
            self.type_keys(step, &format!("{line}\r"))?;
            self.echoed(step, &line)?;
            if n + 1 < lines.len() {
                self.until(step, "the shell does not ask for more", |said| said == "> ")?;
                self.seat(step.terminal).terminal.take();
            }
        }
        Ok(())
    }

    fn type_keys(&mut self, step: &Step, keys: &str) -> Result<(), Stop> {
        let seat = self.seat(step.terminal);
        seat.at = None;
        seat.terminal.type_keys(keys).map_err(|e| stop(step, format!("cannot type: {e}")))
    }

    /// Waits until the terminal has shown a typed line, and takes exactly that off.
    fn echoed(&mut self, step: &Step, line: &str) -> Result<(), Stop> {
        self.until(step, "what is typed is not shown", |said| said.contains('\n'))?;
        let terminal = &mut self.seat(step.terminal).terminal;
        let shown = terminal.take_line();
        if shown == line || terminal.closed {
            return Ok(());
        }
        Err(stop(step, format!("typed: {line:?}, but the terminal shows {shown:?}")))
    }

    /// Waits for the end of a step's output.
    fn answer(&mut self, index: usize) -> Result<(), Stop> {
        let block = self.block;
        let step = &block.steps[index];
        let goes_on = block.steps.get(index + 1).is_some_and(|next| {
            next.terminal != step.terminal
                || matches!((&next.prompt, &next.typed), (None, Typed::Key(_)))
        });
        match goes_on {
            true => self.until_said(index)?,
            false if self.seat(step.terminal).at.is_none() => self.until_prompt(step)?,
            false => {}
        }
        self.keep(step.terminal);
        Ok(())
    }

    /// Waits until a prompt stands alone in the last line, or the terminal is closed.
    fn until_prompt(&mut self, step: &Step) -> Result<(), Stop> {
        let prompts = self.prompts.clone();
        self.until(step, "no prompt", |said| prompts.contains(last_line(said)))?;
        self.keep(step.terminal);
        Ok(())
    }

    /// Waits until the output of a command that goes on is that of the page, or there is
    /// a prompt.
    fn until_said(&mut self, index: usize) -> Result<(), Stop> {
        let step = &self.block.steps[index];
        let next = self.block.steps.get(index + 1).map(|next| &next.typed);
        // Output to wait for is a sign. Without, and before ^C, which a shell that is
        // about to start a program may miss, the program must run.
        let sign = !step.output.is_empty() && next != Some(&Typed::Key(Key::Interrupt));
        let mut watch = Watch::begin();
        loop {
            let said = self.seat(step.terminal).terminal.said();
            watch.look(said.len(), self.seat(step.terminal).terminal.is_busy());
            if self.seat(step.terminal).terminal.closed || self.prompts.contains(last_line(&said)) {
                return Ok(());
            }
            let patience = self.bench.patience;
            let runs = watch.runs(patience / 100) || watch.silent(patience / 10);
            if self.says(index, &said) && (sign || runs) {
                return Ok(());
            }
            // Something else came, as long as the page's, and no more: on with it.
            let other = !step.output.is_empty() && said.matches('\n').count() >= step.output.len();
            if other && watch.silent(patience / 20) {
                return Ok(());
            }
            if watch.start.elapsed() > patience {
                self.keep(step.terminal);
                return Err(stop(step, "what is on the page did not come, nor a prompt".into()));
            }
            self.read_all();
        }
    }

    /// Whether the step's output would be right, with this.
    fn says(&self, index: usize, more: &str) -> bool {
        let key = self.seats[self.block.steps[index].terminal].as_ref().and_then(|seat| seat.key);
        let mut said = self.said.clone();
        said[index] += without_echo(key, more);
        let (steps, _) = self.compare(&said);
        steps[index].iter().all(|edit| matches!(edit, Edit::Same(_)))
    }

    fn until(
        &mut self,
        step: &Step,
        without: &str,
        condition: impl Fn(&str) -> bool,
    ) -> Result<(), Stop> {
        let patience = self.bench.patience;
        let start = Instant::now();
        loop {
            let terminal = &self.seat(step.terminal).terminal;
            let said = terminal.said();
            if terminal.closed || condition(&said) {
                return Ok(());
            }
            if start.elapsed() > patience {
                self.keep(step.terminal);
                return Err(stop(step, self.too_late(without, last_line(&said))));
            }
            self.read_all();
        }
    }

    fn too_late(&self, without: &str, last: &str) -> String {
        let patience = self.bench.patience;
        let open = match self.prompts.iter().any(|prompt| last.ends_with(prompt.as_str())) {
            true => ": does the output end without a new line?",
            false => "",
        };
        format!("{without} after {patience:.1?}; the last line is {last:?}{open}")
    }

    /// What was said belongs to the step that was typed last in this terminal; a prompt
    /// to none.
    fn keep(&mut self, terminal: usize) {
        let prompts = self.prompts.clone();
        let seat = self.seat(terminal);
        let said = seat.terminal.take();
        if said.is_empty() {
            return;
        }
        let text = without_echo(seat.key.take(), &said);
        let prompt = prompts.get(last_line(text));
        if prompt.is_some() {
            seat.at = prompt.cloned();
        }
        if let Some(index) = seat.step {
            self.said[index] += &text[..text.len() - prompt.map_or(0, |p| p.len())];
        }
    }

    fn read_all(&mut self) {
        self.seats.iter_mut().flatten().for_each(|seat| seat.terminal.read_some());
    }

    fn seat(&mut self, terminal: usize) -> &mut Seat {
        self.seats[terminal].as_mut().expect("a step's terminal was opened")
    }

    /// Compares what was said so far with the page.
    fn compare(&self, said: &[String]) -> (Vec<Vec<Edit>>, Bindings) {
        let mut bindings = Bindings::default();
        let steps = said.iter().zip(&self.block.steps).map(|(said, step)| {
            let real: Vec<Line> = said.lines().map(|line| self.names.in_the_book(line)).collect();
            compare(&step.output, &real, &self.block.differs, &mut bindings)
        });
        (steps.collect(), bindings)
    }

    /// Leaves the shells as a person would; what then remains.
    fn end(&mut self) -> Vec<String> {
        let patience = self.bench.patience / 5;
        let mut sessions = Vec::new();
        for seat in self.seats.iter_mut().flatten() {
            sessions.push(seat.terminal.pid());
            // Twice: a shell with stopped jobs warns first.
            let left = seat.at.as_deref() == Some(PROMPT)
                && !seat.terminal.is_busy()
                && seat.terminal.type_keys("exit\rexit\r").is_ok()
                && seat.terminal.ended(patience).is_some();
            if !left {
                let _ = seat.terminal.hang_up();
                let _ = seat.terminal.ended(patience);
            }
            seat.terminal.kill();
        }
        leaks::end(&sessions, &self.home.path(), patience)
    }
}

fn stop(step: &Step, why: String) -> Stop {
    Stop { line: step.line, why }
}

fn last_line(text: &str) -> &str {
    text.rsplit('\n').next().unwrap_or("")
}

/// Takes off what a terminal shows of a key: a new line, or `^C` and one.
fn without_echo(key: Option<Key>, said: &str) -> &str {
    let rest = match key {
        None => return said,
        Some(Key::Interrupt) => said.strip_prefix("^C").unwrap_or(said),
        Some(_) => said,
    };
    rest.strip_prefix('\n').unwrap_or(rest)
}
