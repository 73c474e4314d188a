//! Catalogue: not needed to understand the chapter.
//!
//! The commands with their options: what is parsed, and what `--help` prints.

use std::fmt::Write;

use ch01_clone::{Error, Result};

use super::args::{Args, Opt, switch, valued};
use super::{Cli, create, events, exec, features, kill, list, ps, spec, update};

/// One command.
pub(super) struct Verb {
    /// Its name.
    pub(super) name: &'static str,
    /// What it does, in a few words.
    about: &'static str,
    /// Its operands, as the help names them.
    operands: &'static str,
    /// How many there are at least, and at most.
    count: (usize, usize),
    /// Whether all that follows the first operand belongs to another program.
    pub(super) rest: bool,
    /// Its options.
    pub(super) options: &'static [Opt],
    /// What it does.
    pub(super) run: fn(&Cli<'_>, &Args) -> Result<u8>,
    /// The exit status when that fails.
    pub(super) failure: u8,
    /// What the sentence begins with when that fails.
    pub(super) what: &'static str,
}

const ID: Verb = Verb {
    name: "",
    about: "",
    operands: "ID",
    count: (1, 1),
    rest: false,
    options: &[],
    run: |_, _| Ok(0),
    failure: 1,
    what: "",
};

const BUNDLE: Opt =
    valued("bundle", "DIR", "the bundle; the working directory by default").short('b');
const CONSOLE: Opt =
    valued("console-socket", "SOCKET", "where the master side of the terminal is sent");
const PID_FILE: Opt = valued("pid-file", "FILE", "where the process id is written");
const PIDFD_SOCKET: Opt =
    valued("pidfd-socket", "SOCKET", "where a descriptor of the process is sent");
const NO_PIVOT: Opt =
    switch("no-pivot", "the old root stays below: weaker, and for an initial ramfs only");
const NO_KEYRING: Opt = switch("no-new-keyring", "it keeps the caller's session keyring");
const PRESERVE: Opt = valued("preserve-fds", "N", "how many descriptors from 3 on it keeps");
const INIT: Opt = switch("init", "a parent for the program, which reaps and forwards signals");
const DETACH: Opt = switch("detach", "do not wait for its end").short('d');
const FORMAT: Opt = valued("format", "table|json", "how it is printed").short('f');

/// What every command takes.
pub(super) const HELP: &[Opt] = &[switch("help", "print this").short('h')];

/// The options before the command.
pub(super) const GLOBALS: &[Opt] = &[
    valued(
        "root",
        "DIR",
        "where containers are kept: /run/NAME of this program, or $XDG_RUNTIME_DIR/NAME",
    ),
    valued("log", "FILE", "write errors to this file too"),
    valued("log-format", "text|json", "the format of a line in there"),
    switch("debug", "note each step before it is taken"),
    switch("systemd-cgroup", "ask systemd for cgroups; cgroupsPath is slice:prefix:name"),
    valued("rootless", "true|false|auto", "accepted; it is found out in any case"),
    valued("criu", "FILE", "accepted; there are no checkpoints"),
    switch("version", "print versions").short('v'),
    switch("help", "print this").short('h'),
];

/// All commands.
pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "create",
        about: "make a container, whose program waits for start",
        options: &[BUNDLE, CONSOLE, PID_FILE, PIDFD_SOCKET, NO_PIVOT, NO_KEYRING, PRESERVE, INIT],
        run: create::create,
        what: "create failed: ",
        ..ID
    },
    Verb { name: "start", about: "let the program of a container go", run: create::start, ..ID },
    Verb { name: "state", about: "print how a container stands", run: list::state, ..ID },
    Verb {
        name: "kill",
        about: "send a signal to a container; TERM by default",
        operands: "ID [SIGNAL]",
        count: (1, 2),
        options: &[switch("all", "to every process in it").short('a')],
        run: kill::kill,
        ..ID
    },
    Verb {
        name: "stop",
        about: "ask the program of a container to end, then kill it",
        options: &[
            valued("time", "SECONDS", "how long it has; 10 by default").short('t'),
            valued("signal", "SIGNAL", "how it is asked; TERM, or what its image says").short('s'),
        ],
        run: kill::stop,
        ..ID
    },
    Verb {
        name: "delete",
        about: "remove what is left of a container",
        options: &[switch("force", "kill it if it runs; it need not exist").short('f')],
        run: kill::delete,
        ..ID
    },
    Verb {
        name: "run",
        about: "create, start, wait and delete",
        options: &[
            BUNDLE,
            CONSOLE,
            PID_FILE,
            PIDFD_SOCKET,
            NO_PIVOT,
            NO_KEYRING,
            PRESERVE,
            INIT,
            DETACH,
            switch("keep", "do not delete it at its end"),
            switch("no-subreaper", "accepted; nobody is adopted in any case"),
        ],
        run: create::run,
        what: "run failed: ",
        ..ID
    },
    Verb {
        name: "exec",
        about: "run one more program in a container",
        operands: "ID COMMAND [ARGUMENT...]",
        count: (1, usize::MAX),
        rest: true,
        options: &[
            valued("process", "FILE", "the process as JSON; then no COMMAND is given").short('p'),
            switch("tty", "with a terminal of its own").short('t'),
            valued("env", "NAME=VALUE", "a variable of its environment").short('e'),
            valued("cwd", "DIR", "its working directory"),
            valued("user", "UID[:GID]", "who it runs as").short('u'),
            valued("additional-gids", "GID", "one more group").short('g'),
            valued("cap", "CAPABILITY", "one more capability").short('c'),
            switch("no-new-privs", "it cannot gain privileges"),
            valued("apparmor", "PROFILE", "its AppArmor profile"),
            valued("process-label", "LABEL", "its SELinux label"),
            valued("cgroup", "[CONTROLLER:]PATH", "a cgroup below the container's, to run in"),
            switch("ignore-paused", "even if the container is paused"),
            DETACH,
            PID_FILE,
            PIDFD_SOCKET,
            CONSOLE,
            PRESERVE,
        ],
        run: exec::exec,
        // As runc, so that it is not the status of the program.
        failure: 255,
        what: "exec failed: ",
    },
    Verb {
        name: "list",
        about: "print all containers",
        operands: "",
        count: (0, 0),
        options: &[FORMAT, switch("quiet", "print ids only").short('q')],
        run: list::list,
        ..ID
    },
    Verb {
        name: "ps",
        about: "print the processes of a container, as ps(1) shows them",
        operands: "ID [PS-OPTION...]",
        count: (1, usize::MAX),
        rest: true,
        options: &[FORMAT],
        run: ps::ps,
        ..ID
    },
    Verb { name: "pause", about: "stop all processes where they are", run: kill::pause, ..ID },
    Verb { name: "resume", about: "let them go on", run: kill::resume, ..ID },
    Verb {
        name: "update",
        about: "change limits",
        options: &[
            valued("resources", "FILE", "all as JSON; - is standard input").short('r'),
            valued("memory", "BYTES", "memory; -1 is no limit"),
            valued("memory-swap", "BYTES", "memory and swap together; -1 is no limit"),
            valued("memory-reservation", "BYTES", "what is not reclaimed first"),
            valued("cpu-period", "MICROSECONDS", "the period that a quota is counted in"),
            valued("cpu-quota", "MICROSECONDS", "processor time in a period"),
            valued("cpu-burst", "MICROSECONDS", "what may be saved from period to period"),
            valued("cpu-share", "N", "the weight against others"),
            valued("cpu-shares", "N", "the same"),
            valued("cpu-idle", "0|1", "run only when nobody else wants to"),
            valued("cpu-rt-period", "MICROSECONDS", "the period of real-time processes"),
            valued("cpu-rt-runtime", "MICROSECONDS", "their time in a period"),
            valued("cpuset-cpus", "LIST", "the processors to run on"),
            valued("cpuset-mems", "LIST", "the memory nodes to use"),
            valued("pids-limit", "N", "how many processes and threads"),
            valued("blkio-weight", "N", "the share of a busy disk, 10 to 1000"),
            valued("l3-cache-schema", "TEXT", "refused: no Intel RDT here"),
            valued("mem-bw-schema", "TEXT", "refused: no Intel RDT here"),
        ],
        run: update::update,
        ..ID
    },
    Verb {
        name: "events",
        about: "print statistics, and when memory runs out",
        options: &[
            switch("stats", "print statistics once"),
            valued("interval", "DURATION", "how often; 5s by default"),
        ],
        run: events::events,
        ..ID
    },
    Verb {
        name: "spec",
        about: "write a config.json to begin with",
        operands: "",
        count: (0, 0),
        options: &[BUNDLE, switch("rootless", "for an ordinary user")],
        run: spec::spec,
        ..ID
    },
    Verb {
        name: "features",
        about: "print what is supported, as JSON",
        operands: "",
        count: (0, 0),
        run: features::features,
        ..ID
    },
];

impl Verb {
    /// Whether it got as many operands as it takes.
    pub(super) fn count(&self, args: &Args) -> Result<()> {
        let (least, most) = self.count;
        let wanted = match args.operands.len() {
            given if given >= least && given <= most => return Ok(()),
            _ if least == most => format!("exactly {least}"),
            given if given < least => format!("a minimum of {least}"),
            _ => format!("a maximum of {most}"),
        };
        Err(Error::new(format!("{:?} requires {wanted} argument(s)", self.name)))
    }
}

/// What `--help` prints.
pub(super) fn help(name: &str) -> String {
    let mut text =
        format!("{name}: an OCI runtime\n\nUsage: {name} [OPTION...] COMMAND\n\nCommands:\n");
    for verb in VERBS {
        let _ = writeln!(text, "  {:<11} {}", verb.name, verb.about);
    }
    text.push_str("\nOptions:\n");
    options(&mut text, GLOBALS);
    let _ = writeln!(text, "\n{name} COMMAND --help says more of one.");
    text
}

/// What `COMMAND --help` prints.
pub(super) fn help_of(name: &str, verb: &Verb) -> String {
    let Verb { name: command, about, operands, .. } = verb;
    let mut text =
        format!("{name} {command}: {about}\n\nUsage: {name} {command} [OPTION...] {operands}");
    text.truncate(text.trim_end().len());
    text.push_str("\n\nOptions:\n");
    options(&mut text, verb.options);
    options(&mut text, HELP);
    text
}

/// One option a paragraph: its names, and below them what it is for.
fn options(text: &mut String, options: &[Opt]) {
    for opt in options {
        let short = opt.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
        let value = opt.value.map(|value| format!(" {value}")).unwrap_or_default();
        let _ = writeln!(text, "  {short}--{}{value}\n        {}", opt.long, opt.help);
    }
}
