//! `dockster logs`.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write, stderr, stdout};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::engine::Engine;
use crate::engine::record::Record;
use crate::shim::read::{Entry, Reader};
use crate::shim::time;

/// Print what a container has said
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// Go on until it ends
    #[arg(short, long)]
    follow: bool,
    /// Only so many lines from the end
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        default_value = "all",
        allow_hyphen_values = true
    )]
    tail: String,
    /// Only what was said since then: 2026-01-31T12:00:00Z, or 10m for ten minutes ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was said before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// With the time of each line
    #[arg(short, long)]
    timestamps: bool,
    /// Its name or id
    container: String,
}

/// Prints it.
pub fn logs(engine: &Engine, args: &LogsArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let id = engine.find(&args.container)?;
    let record = engine.known(&id, &args.container)?;
    if !record.plan.log.kept {
        bail!("configured logging driver does not support reading");
    }
    let bound = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => time::parse(text)
            .map(Some)
            .with_context(|| format!("invalid value for a time: {text:?}")),
    };
    let mut printer = Printer {
        since: bound(&args.since)?.unwrap_or(0),
        until: bound(&args.until)?.unwrap_or(u64::MAX),
        timestamps: args.timestamps,
        begun: [true, true],
        out: BufWriter::with_capacity(1 << 16, stdout()),
    };
    let tail: Option<usize> = args.tail.parse().ok();
    let done = printer.all(engine, &record, tail, args.follow);
    match done.and_then(|()| printer.out.flush()) {
        // Whoever reads may stop early.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is left in the buffer has no reader, either.
            std::mem::forget(printer);
            Ok(0)
        }
        done => done.context("reading the log").map(|()| 0),
    }
}

struct Printer {
    since: u64,
    until: u64,
    timestamps: bool,
    /// Whether a line begins: of the output, and of the errors.
    begun: [bool; 2],
    out: BufWriter<io::Stdout>,
}

impl Printer {
    fn all(
        &mut self,
        engine: &Engine,
        record: &Record,
        tail: Option<usize>,
        follow: bool,
    ) -> io::Result<()> {
        let mut reader = Reader::open(engine.place(&record.id).as_ref());
        let mut last: VecDeque<Entry> = VecDeque::new();
        let mut lines = 0;
        while let Some(entry) = reader.next()? {
            let Some(tail) = tail else {
                self.print(&entry)?;
                continue;
            };
            lines += usize::from(entry.bytes.ends_with(b"\n"));
            last.push_back(entry);
            // The last may be one without an end.
            while lines > tail || (tail == 0 && !last.is_empty()) {
                let Some(first) = last.pop_front() else { break };
                lines -= usize::from(first.bytes.ends_with(b"\n"));
            }
        }
        for entry in last {
            self.print(&entry)?;
        }
        self.out.flush()?;
        if !follow {
            return Ok(());
        }
        loop {
            // First whether it lives, then what it has said: so nothing is missed.
            let lives = engine.known(&record.id, "").is_ok_and(|record| record.lives());
            let mut any = false;
            while let Some(entry) = reader.next()? {
                any = true;
                if entry.time > self.until {
                    return Ok(());
                }
                self.print(&entry)?;
            }
            self.out.flush()?;
            if !lives || time::now() > self.until {
                return Ok(());
            }
            if !any {
                std::thread::sleep(Duration::from_millis(20));
                if gone() {
                    return Ok(());
                }
            }
        }
    }

    fn print(&mut self, entry: &Entry) -> io::Result<()> {
        if entry.time < self.since || entry.time > self.until {
            return Ok(());
        }
        let stamp = match self.timestamps && self.begun[usize::from(entry.errors)] {
            true => format!("{} ", time::text(entry.time)),
            false => String::new(),
        };
        self.begun[usize::from(entry.errors)] = entry.bytes.ends_with(b"\n");
        if entry.errors {
            self.out.flush()?;
            let mut errors = stderr().lock();
            errors.write_all(stamp.as_bytes())?;
            return errors.write_all(&entry.bytes);
        }
        self.out.write_all(stamp.as_bytes())?;
        self.out.write_all(&entry.bytes)
    }
}

/// Whether nobody reads what we print any more: then there is nothing to wait for.
pub fn gone() -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let out = stdout();
    let mut ready = [PollFd::new(out.as_fd(), PollFlags::empty())];
    poll(&mut ready, PollTimeout::ZERO).is_ok()
        && ready[0].revents().is_some_and(|flags| flags.contains(PollFlags::POLLERR))
}
