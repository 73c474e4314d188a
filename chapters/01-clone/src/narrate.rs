//! Catalogue: not needed to understand the chapter.
//!
//! Who watches the steps: `--explain` tells them, `--pause` stops at them,
//! `--timings` says where the time went, `--fail` makes one of them fail.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Context, Error, Result};
use crate::signals::Signals;
use crate::steps::{self, Step};

/// How wide the book's terminals are.
const WIDTH: usize = 78;

/// What to do at each step.
#[derive(Debug, Clone, Default)]
pub struct Narration {
    /// Tell each step before it is taken.
    pub explain: bool,
    /// Stop at this step, or at every one (`""`), until Enter.
    pub pause: Option<String>,
    /// At the end, say how long each took.
    pub timings: bool,
    /// Make this step fail.
    pub fail: Option<String>,
}

/// Something else that wants to see a child at a step: told whether we pause there.
pub type Onlooker = Box<dyn FnMut(&Step, Option<i32>, bool) + Send>;

impl Narration {
    /// Whether any of it was asked for.
    pub fn wanted(&self) -> bool {
        self.explain || self.pause.is_some() || self.timings || self.fail.is_some()
    }

    /// Starts it. Nothing happens, and steps stay free, unless it is wanted or there is an onlooker.
    pub fn begin(self, onlooker: Option<Onlooker>) {
        if self.wanted() || onlooker.is_some() {
            let mut narrator = Narrator::new(self, onlooker);
            steps::observe(Box::new(move |step, child| narrator.at(step, child)));
        }
    }
}

struct Narrator {
    narration: Narration,
    onlooker: Option<Onlooker>,
    color: bool,
    count: usize,
    taken: Vec<(String, Duration)>,
    last: Instant,
}

impl Narrator {
    fn new(narration: Narration, onlooker: Option<Onlooker>) -> Self {
        let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { narration, onlooker, color, count: 0, taken: Vec::new(), last: Instant::now() }
    }

    fn at(&mut self, step: &Step, child: Option<i32>) -> Result<()> {
        self.clock();
        self.count += 1;
        let pauses =
            self.narration.pause.as_ref().is_some_and(|at| at.is_empty() || *at == step.name);
        if self.narration.explain || pauses {
            self.tell(step);
        }
        if let Some(onlooker) = &mut self.onlooker {
            onlooker(step, child, pauses);
        }
        if pauses {
            self.pause(step, child)?;
        }
        self.taken.push((step.name.clone(), Duration::ZERO));
        self.last = Instant::now();
        match &self.narration.fail {
            Some(name) if *name == step.name => Err(Error::os(step.call.clone(), Errno::EIO)
                .hint("it failed because you asked for that with --fail")),
            _ => Ok(()),
        }
    }

    /// What passed since the last step was taken belongs to that step.
    fn clock(&mut self) {
        if let Some((_, time)) = self.taken.last_mut() {
            *time = self.last.elapsed();
        }
    }

    fn tell(&self, step: &Step) {
        let (bold, dim, off) =
            if self.color { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let chapter = step.package.strip_prefix("ch").unwrap_or("final");
        let title = format!("{:2}  {}", self.count, step.name);
        let page = format!("book: {chapter}#{}", step.name);
        let gap = WIDTH.saturating_sub(title.len() + page.len()).max(1);
        let mut text = format!("{bold}{title}{off}{:gap$}{dim}{page}{off}\n", "");
        // What was said once need not be said of each mount.
        let known = self.taken.iter().any(|(name, _)| *name == step.name);
        for line in fill(&step.why, WIDTH - 4).iter().filter(|_| !known) {
            text += &format!("    {line}\n");
        }
        for line in fill(&step.call, WIDTH - 6) {
            text += &format!("    {dim}> {line}{off}\n");
        }
        say(&text);
    }

    fn pause(&self, step: &Step, child: Option<i32>) -> Result<()> {
        // From here on Ctrl-C does not end us in the middle.
        let signals = Signals::catch()?;
        say(&format!("    Paused before `{}`. Look from another terminal:\n", step.name));
        match child {
            Some(pid) => say(&format!("    $ {}\n", step.look.replace("PID", &pid.to_string()))),
            None => say("    (the child does not exist yet)\n"),
        }
        say("    Enter goes on, Ctrl-C ends it here. ");
        // The container may own our standard input, so ask the terminal itself.
        let entered = match File::open("/dev/tty") {
            Ok(terminal) => wait_for_enter(terminal, signals),
            Err(_) => io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .call(|| "fcntl(F_DUPFD_CLOEXEC)")
                .and_then(|stdin| wait_for_enter(File::from(stdin), signals)),
        };
        say("\n");
        entered
    }
}

/// Reads up to the end of a line, byte by byte: what follows is the container's.
fn wait_for_enter(mut input: impl Read + AsFd, mut signals: Signals) -> Result<()> {
    loop {
        let mut ready = [
            PollFd::new(input.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("poll", errno)),
        }
        let entered = ready[0].any() == Some(true);
        while let Some(signal) = signals.receive()? {
            if signal.ends_us() {
                return Err(Error::new("interrupted"));
            }
        }
        let mut byte = [0];
        if entered && (input.read(&mut byte).call(|| "read")? == 0 || byte == *b"\n") {
            return Ok(());
        }
    }
}

impl Drop for Narrator {
    fn drop(&mut self) {
        self.clock();
        if !self.narration.timings {
            return;
        }
        let total: Duration = self.taken.iter().map(|(_, time)| *time).sum();
        say("      ms  step\n");
        for (name, time) in self.taken.iter().map(|(name, time)| (name.as_str(), *time)) {
            say(&format!("{:8.3}  {name}\n", time.as_secs_f64() * 1e3));
        }
        say(&format!("{:8.3}  all of them\n", total.as_secs_f64() * 1e3));
    }
}

/// Ends the narration; `--timings` prints its table now. The last step lasts until here.
pub fn end() {
    steps::unobserve();
}

fn say(text: &str) {
    // Nobody can be told that standard error is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Breaks a text into lines of at most `width` characters: at spaces, and where a
/// word is longer than a line, after one of the signs that join its parts.
pub fn fill(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let space = usize::from(used > 0);
            let line = lines.last_mut().expect("there is always one");
            if used + space + word.len() <= width {
                line.extend((space == 1).then_some(' '));
                line.extend(&word);
                used += space + word.len();
                break;
            }
            if word.len() > width && used + space < width {
                line.extend((space == 1).then_some(' '));
                let room = width - used - space;
                let joint = word[..room].iter().rposition(|c| "|/,:".contains(*c)).map(|at| at + 1);
                line.extend(word.drain(..joint.unwrap_or(if used == 0 { room } else { 0 })));
            }
            lines.push(String::new());
            used = 0;
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}
