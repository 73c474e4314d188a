//! The second gate. The socket at which a created container waits, and sockets that are sent a
//! descriptor. A socket's address has room for 107 bytes: a directory's
//! descriptor makes a short path of any.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use ch01_clone::{Context, Error, Gate, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect,
    listen, sendmsg, socket,
};
use nix::sys::stat::Mode;

/// Makes the socket; the child takes it along.
pub(crate) fn make(path: &Path) -> Result<OwnedFd> {
    let (socket, _dir, address) = at(path)?;
    bind(socket.as_raw_fd(), &address).call(|| format!("bind({path:?})"))?;
    listen(&socket, Backlog::new(8).unwrap_or(Backlog::MAXCONN)).call(|| "listen")?;
    Ok(socket)
}

/// Connects to whoever waits there.
pub(crate) fn knock(path: &Path) -> Result<Gate> {
    let (socket, _dir, address) = at(path)?;
    connect(socket.as_raw_fd(), &address).call(|| format!("connect({path:?})"))?;
    Ok(Gate(socket))
}

fn at(path: &Path) -> Result<(OwnedFd, OwnedFd, UnixAddr)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new(format!("{path:?} does not end in a name")));
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = open(parent, flags, Mode::empty()).call(|| format!("open({parent:?})"))?;
    let short = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    let address = UnixAddr::new(&short).call(|| format!("{path:?}"))?;
    let kind = (AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    let socket = socket(kind.0, kind.1, kind.2, None).call(|| "socket(AF_UNIX)")?;
    Ok((socket, dir, address))
}

/// Sends a descriptor to whoever listens there, as runc does: with a name beside it.
pub(crate) fn send_descriptor(path: &Path, name: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
    let socket = UnixStream::connect(path).call(|| format!("connect({path:?})"))?;
    let fds = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(name)], &rights, MsgFlags::MSG_NOSIGNAL, None)
        .call(|| format!("sendmsg({path:?})"))?;
    Ok(())
}
