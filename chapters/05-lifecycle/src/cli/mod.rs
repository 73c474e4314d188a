//! Catalogue: not needed to understand the chapter.
//!
//! The command line of an OCI runtime: what runc takes and prints, since
//! whoever drives a runtime was written for runc.

mod args;
mod create;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod log;
mod names;
mod ps;
mod spec;
mod time;
mod update;
mod verbs;
mod words;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ch01_clone::{Context, Error, Result, steps};
use lexopt::Parser;

use crate::credentials::{self, Credentials};
use crate::runtime::Runtime;
use args::{Args, Name};
use log::Log;
use verbs::{GLOBALS, Verb};

/// The newest version of the runtime specification that is followed.
const SPECIFICATION: &str = "1.3.0";

/// The program `name`: parses the command line and does what it says. A failure
/// is one line on stderr, and one in the file of `--log`.
pub fn main(name: &str, credentials: Credentials) -> ExitCode {
    let mut cli = Cli { name, credentials, globals: Args::default(), log: Log::default() };
    match cli.run() {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            let line = format!("{}{}", failure.what, words::sentence(&failure.error));
            cli.log.error(name, &line);
            ExitCode::from(failure.status)
        }
    }
}

/// What every command can see.
struct Cli<'a> {
    name: &'a str,
    credentials: Credentials,
    globals: Args,
    log: Log,
}

/// Why it did not work, and with which exit status we say so.
struct Failure {
    status: u8,
    what: &'static str,
    error: Error,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { status: 1, what: "", error }
    }
}

impl Cli<'_> {
    fn run(&mut self) -> Result<u8, Failure> {
        let mut parser = Parser::from_env();
        let word = self.global_options(&mut parser);
        // Before the first error is reported, and before there may be others.
        self.read_globals()?;
        let word = match word? {
            _ if self.globals.has("version") => return Ok(self.version()?),
            Some(word) if !self.globals.has("help") => word,
            _ => return Ok(print(&verbs::help(self.name))?),
        };
        if word == "help" || word == "h" {
            return self.help(&mut parser);
        }
        let verb = self.verb(&word)?;
        let args = self.verb_options(&mut parser, verb);
        self.read_globals()?;
        let args = args?;
        if args.has("help") {
            return Ok(print(&verbs::help_of(self.name, verb))?);
        }
        verb.count(&args)?;
        (verb.run)(self, &args).map_err(|error| Failure {
            status: verb.failure,
            what: verb.what,
            error,
        })
    }

    /// The options before the verb, and the verb.
    fn global_options(&mut self, parser: &mut Parser) -> Result<Option<OsString>> {
        loop {
            match Name::next(parser)? {
                None => return Ok(None),
                Some(Err(word)) => return Ok(Some(word)),
                Some(Ok(name)) => {
                    if !self.globals.take(parser, &name, GLOBALS)? {
                        return Err(Error::new(format!(
                            "unknown option {name} (see {} --help)",
                            self.name
                        )));
                    }
                }
            }
        }
    }

    /// What stands after the verb. Global options may stand there as well.
    fn verb_options(&mut self, parser: &mut Parser, verb: &Verb) -> Result<Args> {
        let mut args = Args::default();
        while let Some(next) = Name::next(parser)? {
            match next {
                Err(operand) => {
                    args.operands.push(operand);
                    if verb.rest {
                        let rest = parser.raw_args().map_err(|e| Error::new(e.to_string()))?;
                        let mut rest = rest.peekable();
                        rest.next_if(|word| word == "--");
                        args.operands.extend(rest);
                    }
                }
                Ok(name) => {
                    if !args.take(parser, &name, verb.options)?
                        && !args.take(parser, &name, verbs::HELP)?
                        && !self.globals.take(parser, &name, GLOBALS)?
                    {
                        return Err(Error::new(format!(
                            "{0}: unknown option {name} (see {1} {0} --help)",
                            verb.name, self.name
                        )));
                    }
                }
            }
        }
        Ok(args)
    }

    fn read_globals(&mut self) -> Result<()> {
        self.log.file = self.globals.value("log").map(PathBuf::from);
        self.log.json = match self.globals.value("log-format").and_then(|f| f.to_str()) {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => return Err(Error::new(format!("invalid log-format: {other}"))),
        };
        match self.globals.value("rootless").and_then(|value| value.to_str()) {
            None | Some("true" | "false" | "auto") => {}
            Some(other) => {
                return Err(Error::new(format!("invalid value for --rootless: {other}")));
            }
        }
        if self.globals.has("debug") {
            let log = self.log.clone();
            steps::observe(Box::new(move |step, _| {
                log.debug(&format!("{}: {}", step.name, step.call));
                Ok(())
            }));
        }
        Ok(())
    }

    fn verb(&self, word: &OsString) -> Result<&'static Verb, Failure> {
        if word == "checkpoint" || word == "restore" {
            return Err(Error::new("checkpoint and restore are not supported").into());
        }
        let found = verbs::VERBS.iter().find(|verb| word == verb.name);
        found.ok_or_else(|| {
            let what = format!("unknown command {word:?} (see {} --help)", self.name);
            // As runc, whose library for command lines ends so.
            Failure { status: 3, ..Error::new(what).into() }
        })
    }

    fn help(&self, parser: &mut Parser) -> Result<u8, Failure> {
        Ok(match Name::next(parser)? {
            Some(Err(word)) => print(&verbs::help_of(self.name, self.verb(&word)?))?,
            _ => print(&verbs::help(self.name))?,
        })
    }

    /// Three lines, as go-runc reads them.
    fn version(&self) -> Result<u8> {
        let (name, version) = (self.name, env!("CARGO_PKG_VERSION"));
        print(&format!("{name} version {version}\ncommit: unknown\nspec: {SPECIFICATION}\n"))
    }

    /// Whether this program confines: chapter 5's own sets ids and groups, and no more.
    fn confines(&self) -> bool {
        let ours: Credentials = credentials::prepare;
        !std::ptr::fn_addr_eq(self.credentials, ours)
    }

    /// The containers under `--root`.
    fn runtime(&self) -> Result<Runtime> {
        let root = match self.globals.value("root") {
            Some(root) => PathBuf::from(root),
            None => default_root(self.name)?,
        };
        let root = std::path::absolute(&root).call(|| format!("the root {root:?}"))?;
        let systemd = self.globals.has("systemd-cgroup");
        self.log.takes_warnings();
        Ok(Runtime { root, credentials: self.credentials, systemd, warn: log::warn })
    }
}

/// Where the program `name` keeps root's containers; any other user's are under
/// XDG_RUNTIME_DIR.
pub fn default_root(name: &str) -> Result<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    match own {
        _ if nix::unistd::geteuid().is_root() && !mapped_root(own.is_some()) => {
            Ok(Path::new("/run").join(name))
        }
        Some(dir) => Ok(PathBuf::from(dir).join(name)),
        None => Err(Error::new("XDG_RUNTIME_DIR is not set: no place to keep containers in")
            .hint("name one with --root DIR")),
    }
}

/// Whether we are root only in a user namespace, as rootless Podman runs us. Who
/// has no XDG_RUNTIME_DIR has no choice, and need not be asked.
fn mapped_root(has_own: bool) -> bool {
    has_own
        && std::fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| !map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Writes to stdout; the exit status when that has worked.
fn print(text: &str) -> Result<u8> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).call(|| "write(stdout)")?;
    Ok(0)
}
