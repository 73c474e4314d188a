//! Catalogue: not needed to understand the chapter.
//!
//! A terminal of the container's own (pty(7)).
//!
//! The child makes it from its own devpts, so that it is /dev/pts/0 in there,
//! and sends the master side through the gate. We keep the user's terminal raw
//! and carry bytes: the inner terminal's driver is the one that understands
//! Ctrl-C, and signals the foreground process *inside*.

use std::io::{IsTerminal, stdin};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ch01_clone::{Context, Result, step};
use ch02_chroot::Root;
use ch02_chroot::mount::{copy_handle, move_mount};
use nix::fcntl::OFlag;
use nix::unistd::{Uid, fchown};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// In the child: a terminal of the devpts in `root`, its master and its slave. It
/// becomes the child's controlling terminal, and belongs to `owner`.
pub fn open(root: &Root, size: (u16, u16), owner: u32) -> Result<(OwnedFd, OwnedFd)> {
    let (rows, columns) = size;
    step!(
        "pty",
        "A terminal of the container's own: the slave is its input, output and \
         errors, and we hold the master.",
        "ls -l /proc/PID/root/dev/pts /proc/PID/fd",
        "open(/dev/pts/ptmx), ioctl(TIOCGPTPEER), ioctl(TIOCSCTTY), {columns}x{rows}",
        open_now(root, size, owner),
    )
}

fn open_now(root: &Root, (rows, columns): (u16, u16), owner: u32) -> Result<(OwnedFd, OwnedFd)> {
    // ANCHOR: open
    let master = root.lookup("dev/pts/ptmx", OFlag::O_RDWR | OFlag::O_NOCTTY)?;
    io(unlockpt(&master)).call(|| "ioctl(TIOCSPTLCK)")?;
    // By the master, not by a path that somebody could have replaced (CVE-2025-52565).
    let slave = io(ioctl_tiocgptpeer(
        &master,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    ))
    .call(|| "ioctl(TIOCGPTPEER)")?;
    // ANCHOR_END: open
    resize(master.as_fd(), rows, columns)?;
    fchown(&slave, Some(Uid::from_raw(owner)), None).call(|| format!("fchown(pts, {owner})"))?;
    // ANCHOR: controlling
    io(rustix::process::ioctl_tiocsctty(&slave)).call(|| "ioctl(TIOCSCTTY)")?;
    // ANCHOR_END: controlling
    Ok((master, slave))
}

/// Before the child moves into its root: /dev/console is the same terminal.
pub fn console(root: &Root, slave: &OwnedFd) -> Result<()> {
    let console = root.make_file("dev/console")?;
    move_mount(copy_handle(slave)?.as_fd(), console.as_fd())
}

/// Tells a terminal how large it is; the foreground process inside gets a SIGWINCH.
pub fn resize(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    io(tcsetwinsize(terminal, size)).call(|| "ioctl(TIOCSWINSZ)")
}

/// The size of the user's terminal, rows and columns; 24 and 80 if it is none.
pub fn size() -> (u16, u16) {
    match tcgetwinsize(stdin()) {
        Ok(size) if size.ws_row > 0 => (size.ws_row, size.ws_col),
        _ => (24, 80),
    }
}

/// The user's terminal in raw mode: every key goes to the container. Dropped, it is as before.
pub struct Raw(Option<Termios>);

impl Raw {
    /// Makes standard input raw, if it is a terminal.
    pub fn stdin() -> Result<Self> {
        if !stdin().is_terminal() {
            return Ok(Self(None));
        }
        // ANCHOR: raw
        let before = io(tcgetattr(stdin())).call(|| "tcgetattr")?;
        let mut raw = before.clone();
        raw.make_raw();
        io(tcsetattr(stdin(), OptionalActions::Now, &raw)).call(|| "tcsetattr")?;
        // ANCHOR_END: raw
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // If the terminal is gone there is nothing to put back.
            let _ = tcsetattr(stdin(), OptionalActions::Drain, before);
        }
    }
}

fn io<T>(result: rustix::io::Result<T>) -> std::io::Result<T> {
    result.map_err(Into::into)
}
