//! Catalogue: not needed to understand the chapter.
//!
//! netd: the process behind the name servers and the proxies of one root. Commands come
//! and go; it stays as long as it has something to serve.
//!
//! ```text
//! a command                                      netd (nobody, without capabilities)
//!   makes and binds DIR/netd.sock, starts it ──▶ accepts
//!   which services are missing?              ──▶ lets go what no lease needs any more
//!                                            ◀── these
//!   opens their sockets (privileged)         ──▶ serves them (SCM_RIGHTS)
//!   a container's name?                      ──▶ reads DIR/NAME/leases.json if it is a new one
//! ```
//!
//! Killed, it leaves nothing behind but the socket's name: the next command starts it
//! again, and everything is missing. To be read by nobody, `DIR` and what is in it have
//! to be open for all; who may come to `DIR` is a matter of the directories above it.

mod serve;
mod unprivileged;
mod wire;

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use ch01_clone::{Context, Error, Result};
use nix::errno::Errno;
use rustix::fs::{AtFlags, Mode, OFlags, open, unlinkat};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};

pub use serve::serve;

use crate::{Reach, Service};

/// The name of its socket.
const SOCKET: &str = "netd.sock";

/// How long a command waits for an answer: it is ready within milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where netd is, which is told to whoever starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Home {
    /// In the host's network namespace. It ends when it has nothing more to serve.
    Host,
    /// In one of its own, which it holds open. It ends when no network has a lease.
    Apart {
        /// Whom it asks for names: what pasta(1) calls `--dns-forward`, or slirp4netns's
        /// 10.0.2.3. None: the host's resolvers that are not the host itself.
        resolver: Option<IpAddr>,
    },
}

impl Home {
    /// Which sockets it has to serve.
    pub fn reach(&self) -> Reach {
        match self {
            Home::Host => Reach::Host,
            Home::Apart { .. } => Reach::Apart,
        }
    }
}

/// A netd that is there.
#[derive(Debug)]
pub struct Netd {
    socket: OwnedFd,
    pid: u32,
}

/// Sees to it that exactly the services of `wanted` are served: see [`crate::services`].
/// Called after the leases were written, and with the lock held.
///
/// `open` opens the socket of a service, in the network namespace where it belongs
/// ([`Service::open`]). `start` starts netd, if it is not there and something is wanted:
/// a process that calls [`serve`] with the socket given here, typically as its stdin.
///
/// # Errors
///
/// The first that `open` or `start` gives; netd has ended meanwhile.
pub fn bring_up(
    dir: &Path,
    wanted: &[Service],
    mut open: impl FnMut(&Service) -> Result<OwnedFd>,
    start: impl FnOnce(OwnedFd) -> Result<()>,
) -> Result<()> {
    if wanted.is_empty() {
        return Netd::connect(dir)?.map_or(Ok(()), |netd| netd.missing(&[]).map(drop));
    }
    let netd = Netd::ensure(dir, start)?;
    for chunk in netd.missing(wanted)?.chunks(wire::CHUNK) {
        let sockets: Vec<_> = chunk.iter().map(&mut open).collect::<Result<_>>()?;
        netd.give(chunk, &sockets)?;
    }
    Ok(())
}

impl Netd {
    /// Connects to the one that is there, if it is.
    ///
    /// # Errors
    ///
    /// `dir` cannot be opened, or it does not answer.
    pub fn connect(dir: &Path) -> Result<Option<Netd>> {
        let socket = unix_socket()?;
        let connected = with_short_path(dir, |address| net::connect(&socket, address))?;
        match connected.map_err(|errno| Errno::from_raw(errno.raw_os_error())) {
            Ok(()) => {}
            Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
            Err(errno) => return Err(Error::os(format!("connect({SOCKET})"), errno)),
        }
        for timeout in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            sockopt::set_socket_timeout(&socket, timeout, Some(PATIENCE))
                .map_err(std::io::Error::from)
                .call(|| "setsockopt(SO_RCVTIMEO)")?;
        }
        let pid = wire::ask(&socket, &wire::Ask::Serve(Vec::new()), &[])?.pid;
        Ok(Some(Netd { socket, pid }))
    }

    /// As [`Netd::connect`]; if it is not there, `start` starts it. The lock is held, so
    /// that nobody else does.
    ///
    /// # Errors
    ///
    /// Those of `start`; the one that was started ended at once.
    pub fn ensure(dir: &Path, start: impl FnOnce(OwnedFd) -> Result<()>) -> Result<Netd> {
        if let Some(netd) = Netd::connect(dir)? {
            return Ok(netd);
        }
        // It is there to connect to before netd is: nobody has to wait and try again.
        let listener = unix_socket()?;
        let bound = with_short_path(dir, |address| {
            net::bind(&listener, address).and_then(|()| net::listen(&listener, 64))
        });
        // What one that was killed has left.
        let bound = match bound? {
            Err(rustix::io::Errno::ADDRINUSE) => {
                remove_socket(dir)?;
                with_short_path(dir, |address| {
                    net::bind(&listener, address).and_then(|()| net::listen(&listener, 64))
                })?
            }
            other => other,
        };
        bound.map_err(std::io::Error::from).call(|| format!("bind({SOCKET})"))?;
        start(listener)?;
        Netd::connect(dir)?.ok_or_else(|| Error::new("netd ended as soon as it was started"))
    }

    /// Its process, in the PID namespace that it was started in.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Which of `wanted` it does not serve. What no lease needs any more, it has let go
    /// when this returns: the addresses can be bound again.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn missing(&self, wanted: &[Service]) -> Result<Vec<Service>> {
        let mut missing = Vec::new();
        let whole = [wanted];
        let chunks = wanted.chunks(wire::CHUNK).chain(whole.into_iter().filter(|w| w.is_empty()));
        for chunk in chunks {
            let answer = wire::ask(&self.socket, &wire::Ask::Missing(chunk.to_vec()), &[])?;
            missing.extend(answer.missing.iter().filter_map(|at| chunk.get(*at)).cloned());
        }
        Ok(missing)
    }

    /// Has it serve `services` at these sockets, one each. They are served when this returns.
    ///
    /// # Errors
    ///
    /// A socket is not what the service says; it has ended.
    pub fn give(&self, services: &[Service], sockets: &[OwnedFd]) -> Result<()> {
        for (services, sockets) in services.chunks(wire::CHUNK).zip(sockets.chunks(wire::CHUNK)) {
            let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
            wire::ask(&self.socket, &wire::Ask::Serve(services.to_vec()), &fds)?;
        }
        Ok(())
    }
}

fn unix_socket() -> Result<OwnedFd> {
    net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(std::io::Error::from)
        .call(|| "socket(AF_UNIX)")
}

fn directory(dir: &Path) -> Result<OwnedFd> {
    open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(std::io::Error::from)
        .call(|| format!("open({dir:?})"))
}

/// A socket's address has room for 107 bytes: a descriptor makes a short one of any.
fn with_short_path<T>(
    dir: &Path,
    call: impl FnOnce(&SocketAddrUnix) -> rustix::io::Result<T>,
) -> Result<rustix::io::Result<T>> {
    let dir = directory(dir)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
    let address = SocketAddrUnix::new(path).map_err(std::io::Error::from).call(|| SOCKET)?;
    Ok(call(&address))
}

fn remove_socket(dir: &Path) -> Result<()> {
    unlinkat(directory(dir)?, SOCKET, AtFlags::empty())
        .map_err(std::io::Error::from)
        .call(|| format!("unlink({SOCKET})"))
}
