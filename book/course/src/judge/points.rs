//! The checker's end of `checkpoint::reached`.
//!
//! ```text
//!   checker                     program, any process of it
//!              ◄── "name", ───  a socket for the answer; the kernel adds its pid
//!   looks                       waits
//!   go ──────────────────────►  goes on
//! ```

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials, recvmsg,
    send, setsockopt, socketpair, sockopt,
};
use nix::unistd::{Pid, close};

use super::Stopped;

/// Who has arrived where.
pub struct Points {
    socket: OwnedFd,
    arrived: Vec<Arrival>,
}

struct Arrival {
    name: String,
    pid: Pid,
    /// Somebody has waited for it and got it.
    taken: bool,
    /// Closed, once it went on.
    answer: Option<Answer>,
}

/// The socket that a process waits at.
struct Answer(RawFd);

impl Drop for Answer {
    fn drop(&mut self) {
        let _ = close(self.0);
    }
}

/// The program's end: inherited across execve, so it lives only until the program is started.
pub struct Theirs(OwnedFd);

impl Theirs {
    /// Its number, the same in the program.
    pub fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Points {
    /// A new pair.
    pub fn new() -> io::Result<(Points, Theirs)> {
        let (socket, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        // The kernel says who sends, and in our PID namespace.
        setsockopt(&socket, sockopt::PassCred, &true)?;
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok((Points { socket, arrived: Vec::new() }, Theirs(theirs)))
    }

    /// Waits for arrivals, at most so long.
    pub fn gather(&mut self, patience: Duration) -> io::Result<()> {
        let mut wait = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
        loop {
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, wait) {
                Ok(1) => {}
                Ok(_) | Err(Errno::EINTR) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
            match receive(&self.socket)? {
                Some(arrival) => self.arrived.push(arrival),
                // Nobody is left who could come. Do not spin.
                None => {
                    std::thread::sleep(patience);
                    return Ok(());
                }
            }
            wait = PollTimeout::ZERO;
        }
    }

    /// The first arrival at this point that nobody asked for yet.
    pub fn take(&mut self, name: &str) -> Option<Stopped> {
        let number = self.arrived.iter().position(|a| !a.taken && a.name == name)?;
        let arrival = &mut self.arrived[number];
        arrival.taken = true;
        Some(Stopped { pid: arrival.pid, number })
    }

    /// Lets it go on. That it has been killed meanwhile is no error.
    pub fn go(&mut self, stopped: &Stopped) {
        if let Some(answer) = self.arrived[stopped.number].answer.take() {
            let _ = send(answer.0, &[1], MsgFlags::MSG_NOSIGNAL);
        }
    }

    /// The points at which somebody still stands.
    pub fn standing(&self) -> Vec<String> {
        let waiting = self.arrived.iter().filter(|a| a.answer.is_some());
        waiting.map(|a| format!("\"{}\"", a.name)).collect()
    }
}

/// One packet; `None` at the end of file.
fn receive(socket: &OwnedFd) -> io::Result<Option<Arrival>> {
    let mut bytes = [0; 256];
    let mut control = nix::cmsg_space!(UnixCredentials, [RawFd; 1]);
    let mut data = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let packet = match recvmsg::<()>(socket.as_raw_fd(), &mut data, Some(&mut control), flags) {
        // The last process died with an answer of ours unread.
        Err(Errno::ECONNRESET) => return Ok(None),
        packet => packet?,
    };
    let (mut pid, mut answer) = (None, None);
    for message in packet.cmsgs()? {
        match message {
            ControlMessageOwned::ScmCredentials(sender) => pid = Some(Pid::from_raw(sender.pid())),
            ControlMessageOwned::ScmRights(fds) => {
                // All but one are closed again.
                answer = fds.into_iter().map(Answer).next_back();
            }
            _ => {}
        }
    }
    let length = packet.bytes;
    let (Some(pid), true) = (pid, length > 0) else { return Ok(None) };
    let name = String::from_utf8_lossy(&bytes[..length]).into_owned();
    Ok(Some(Arrival { name, pid, taken: false, answer }))
}
