//! What is said over a shim's socket: packets, whose first byte says what they are.
//!
//! ```text
//! to the shim   A flags         attach: 1 my input is the container's, 2 I want its output
//!               I bytes         input            E              end of the input
//!               R rows columns  the window's size
//!               K signal        send it a signal
//!               S signal        stop it: the same, and its policy leaves it alone
//!               W               tell me how it ended
//!               U json          change the record
//! from it       1 bytes         its output       2 bytes        its errors
//!               X status error  it has ended     k              done
//! ```
//!
//! A socket is a file in the container's directory (0700), reached by the directory's
//! descriptor: the path of a socket has room for 107 bytes only.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use ch01_clone::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, listen, recv,
    recvmsg, send, sendmsg, socket, socketpair,
};
use nix::sys::stat::Mode;

/// The file of the socket.
pub const FILE: &str = "shim.sock";

/// The longest packet: a type and so many bytes.
pub const MOST: usize = 32 << 10;

/// Flag of `A`: my input is the container's.
pub const INPUT: u8 = 1;
/// Flag of `A`: I want its output.
pub const OUTPUT: u8 = 2;

/// What may be changed in the record of a container that lives.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Change {
    /// Its name.
    pub name: Option<String>,
    /// Whether it stands still.
    pub paused: Option<bool>,
    /// Its policy.
    pub restart: Option<crate::engine::record::Policy>,
    /// The networks that it is on.
    pub wire: Option<crate::engine::wire::Wire>,
}

fn seqpacket(flags: SockFlag) -> Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, flags | SockFlag::SOCK_CLOEXEC, None)
        .call(|| "socket(AF_UNIX, SOCK_SEQPACKET)")
}

/// The address of the socket in `dir`, good while the returned descriptor is open.
fn address(dir: &Path) -> Result<(OwnedFd, UnixAddr)> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let fd = open(dir, flags, Mode::empty()).call(|| format!("open({dir:?})"))?;
    let path = format!("/proc/self/fd/{}/{FILE}", fd.as_raw_fd());
    let address = UnixAddr::new(path.as_str()).call(|| "sockaddr_un")?;
    Ok((fd, address))
}

/// In the shim: the socket on which it listens.
pub fn listener(dir: &Path) -> Result<OwnedFd> {
    let (_dir, address) = address(dir)?;
    let path = dir.join(FILE);
    let socket = seqpacket(SockFlag::SOCK_NONBLOCK)?;
    let bound = match bind(socket.as_raw_fd(), &address) {
        // Of a life before this one.
        Err(Errno::EADDRINUSE) => {
            std::fs::remove_file(&path).call(|| format!("unlink({path:?})"))?;
            bind(socket.as_raw_fd(), &address)
        }
        bound => bound,
    };
    bound.call(|| format!("bind({path:?})"))?;
    listen(&socket, Backlog::MAXALLOWABLE).call(|| format!("listen({path:?})"))?;
    Ok(socket)
}

/// To the shim of the container in `dir`; `None` if there is none.
pub fn reach(dir: &Path) -> Result<Option<Line>> {
    let Ok((_dir, address)) = address(dir) else { return Ok(None) };
    let socket = seqpacket(SockFlag::empty())?;
    match connect(socket.as_raw_fd(), &address) {
        Ok(()) => Ok(Some(Line(socket))),
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(None),
        Err(errno) => Err(errno).call(|| format!("connect({:?})", dir.join(FILE))),
    }
}

/// Both ends of a line that has no file.
pub fn pair() -> Result<(Line, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .call(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)")?;
    Ok((Line(ours), theirs))
}

/// A user's end.
#[derive(Debug)]
pub struct Line(pub OwnedFd);

impl Line {
    /// Says something. That nobody hears it any more, the next answer tells.
    pub fn say(&self, kind: u8, body: &[u8]) -> Result<()> {
        loop {
            match say(&self.0, kind, body, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(()),
                Err(errno) => return Err(errno).call(|| "sendmsg(shim.sock)"),
            }
        }
    }

    /// Waits for one packet; `None` when the shim is gone.
    pub fn hear(&self, buffer: &mut Vec<u8>) -> Result<Option<u8>> {
        loop {
            match hear(&self.0, buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(None),
                done => return done.call(|| "recv(shim.sock)"),
            }
        }
    }
}

/// One packet.
pub fn say(socket: &OwnedFd, kind: u8, body: &[u8], flags: MsgFlags) -> nix::Result<()> {
    if body.is_empty() {
        return send(socket.as_raw_fd(), &[kind], flags | MsgFlags::MSG_NOSIGNAL).map(drop);
    }
    let kind = [kind];
    let data = [IoSlice::new(&kind), IoSlice::new(body)];
    let flags = flags | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &data, &[], flags, None).map(drop)
}

/// One packet: its type, and the rest in `buffer`; `None` at the end.
pub fn hear(socket: &OwnedFd, buffer: &mut Vec<u8>, flags: MsgFlags) -> nix::Result<Option<u8>> {
    let fd = socket.as_fd().as_raw_fd();
    // How long it is first: most are short, and a shim shall stay small.
    let look = flags | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    let length = recv(fd, &mut [], look)?;
    buffer.resize(length.clamp(1, MOST + 1) - 1, 0);
    let mut kind = [0];
    let mut data = [IoSliceMut::new(&mut kind), IoSliceMut::new(buffer)];
    let length = recvmsg::<()>(fd, &mut data, None, flags)?.bytes;
    Ok((length > 0).then_some(kind[0]))
}
