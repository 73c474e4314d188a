//! PID 1 of a lab: starts the program, reaps whoever dies, passes on signals.
//!
//! It ends when the program ends, and then the kernel kills all that is left in
//! the lab (pid_namespaces(7)).

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context as _;
use ch01_clone::{Context, Error, Gate, Message, Plan};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, wait};

use super::terminal;

/// What PID 1 hears of: the end of a child, and what is meant for the program.
const SIGNALS: [Signal; 10] = [
    Signal::SIGCHLD,
    Signal::SIGALRM,
    Signal::SIGCONT,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// Runs the program to its end; its exit status, 128+n for a signal.
pub fn init(command: &[OsString]) -> anyhow::Result<u8> {
    let (program, arguments) = command.split_first().context("no command given")?;
    // Before the program starts, or its early end would go unheard.
    let signals: SigSet = SIGNALS.into_iter().collect();
    signals.thread_block().context("sigprocmask(SIG_BLOCK)")?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).context("signalfd")?;
    let terminal = terminal::is_ours();
    let waiting = Plan::default().spawn(|gate| {
        if terminal {
            terminal::take().call(|| "tcsetpgrp")?;
        }
        become_program(program, arguments, gate)
    })?;
    // Held to the end, since dropped it would be killed; but reaped with all others.
    let (held, _) = waiting.start()?;
    let child = held.pid();
    loop {
        match signals.read_signal() {
            Ok(Some(signal)) if signal.ssi_signo == libc::SIGCHLD as u32 => {
                if let Some(status) = reap(child)? {
                    return Ok(status);
                }
            }
            Ok(Some(signal)) => forward(&signal, child),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("read(signalfd)"),
        }
    }
}

/// In the child: what our caller sees as the program. The standard library executes it,
/// because that leaves the descriptors that shall be kept, and resets SIGPIPE.
fn become_program(
    program: &OsString,
    arguments: &[OsString],
    gate: &Gate,
) -> ch01_clone::Result<Infallible> {
    SigSet::empty().thread_set_mask().call(|| "sigprocmask(SIG_SETMASK)")?;
    gate.send(&Message::Exec)?;
    let failed = Command::new(program).args(arguments).exec();
    let errno = Errno::from_raw(failed.raw_os_error().unwrap_or(0));
    Err(Error::os(format!("{program:?}"), errno).during("execve"))
}

/// Reaps all that are dead; the status of `child` if it is among them.
///
/// One SIGCHLD may stand for several deaths.
fn reap(child: Pid) -> anyhow::Result<Option<u8>> {
    let mut ended = None;
    loop {
        let (pid, how) = match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(Some((pid, how))) => (pid.as_raw_nonzero().get(), how),
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(ended),
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno).context("waitpid(-1)"),
        };
        if pid != child.as_raw() {
            continue;
        }
        match (how.exit_status(), how.terminating_signal()) {
            (Some(status), _) => ended = Some(status as u8),
            (_, Some(signal)) => ended = Some(128 + signal as u8),
            // Ctrl-Z: who waits outside would never hear of it, so the program goes on.
            _ if how.stopping_signal() == Some(libc::SIGTSTP) => {
                let _ = killpg(child, Signal::SIGCONT);
            }
            _ => {}
        }
    }
}

/// The terminal's driver has sent its own to the whole group, the program among it.
fn forward(signal: &siginfo, child: Pid) {
    let number = signal.ssi_signo as i32;
    let from_terminal = signal.ssi_code == libc::SI_KERNEL && number != libc::SIGHUP;
    if let (false, Ok(signal)) = (from_terminal, Signal::try_from(number)) {
        // If it has ended, its SIGCHLD is on the way.
        let _ = kill(child, signal);
    }
}
