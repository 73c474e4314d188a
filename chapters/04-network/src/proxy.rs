//! Catalogue: not needed to understand the chapter.
//!
//! What comes to one socket goes to a container's address, and back. For what no rule can
//! redirect: `::1` is this host, and no packet to it may leave; without privileges there
//! are no rules in the host's network namespace at all.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::try_join;
use rustix::net::sockopt::set_socket_keepalive;
use rustix::net::{Shutdown, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::datagrams::{Datagrams, Ends};
use crate::listen::PAUSE;

/// Connections through one port at a time. More wait in the listener's queue.
const CONNECTIONS: usize = 1024;

/// What is under way in one direction of a connection. Who does not read stops who writes.
/// It is a pipe as one comes (pipe(7)), and for those who fill it a larger one: half the work.
const ROOM: usize = 64 * 1024;
const MORE_ROOM: usize = 256 * 1024;

/// How long a container may take to accept.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who sends datagrams through one port; one more takes the place of the most silent.
const SESSIONS: usize = 1024;

/// Datagrams have no end: this long after the last one, as in docker.
const SILENCE: Duration = Duration::from_secs(90);

/// Passes connections on to `to`, for ever. Those under way end with it.
pub(crate) async fn over_tcp(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn_local(relay(stream, to))),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Ends when both have ended; one that has is passed on as such (shutdown(2), SHUT_WR).
async fn relay(outer: TcpStream, to: SocketAddr) {
    let Ok(Ok(inner)) = timeout(PATIENCE, TcpStream::connect(to)).await else {
        return reset(&outer);
    };
    for stream in [&outer, &inner] {
        // What is sent in small pieces was not put together by us; and who vanished
        // without a word is found out (tcp(7)).
        let _ = stream.set_nodelay(true);
        let _ = set_socket_keepalive(stream, true);
    }
    if try_join(pass(&outer, &inner), pass(&inner, &outer)).await.is_err() {
        reset(&outer);
        reset(&inner);
    }
}

/// All that comes, and that it has ended. None of it is copied: the kernel moves pages from
/// a socket to a pipe, and from there to the other (splice(2)).
async fn pass(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let mut room = ROOM;
    loop {
        // The pipe is empty: what would block is the socket.
        let come = || Ok(splice(from, None, &write, None, room, SpliceFlags::NONBLOCK)?);
        let mut left = from.async_io(Interest::READABLE, come).await?;
        match left {
            0 => return Ok(shutdown(to, Shutdown::Write)?),
            // Whoever is nobody has so many pages for all pipes: if there are none left, it stays.
            ROOM if room == ROOM && fcntl_setpipe_size(&write, MORE_ROOM).is_ok() => {
                room = MORE_ROOM;
            }
            _ => {}
        }
        while left > 0 {
            let go = || Ok(splice(&read, None, to, None, left, SpliceFlags::NONBLOCK)?);
            left -= to.async_io(Interest::WRITABLE, go).await?;
        }
    }
}

/// A break is passed on as a break: not every end of data is the end of a document.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Passes datagrams on to `to`, for ever. Each who sends has a socket of its own, so that
/// what comes back finds its way.
pub(crate) async fn over_udp(socket: Datagrams, to: SocketAddr) {
    let socket = Rc::new(socket);
    let sessions = Rc::new(RefCell::new(Sessions::new()));
    let mut tasks = JoinSet::new();
    let mut packet = vec![0; usize::from(u16::MAX)];
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok((length, from)) = socket.receive(&mut packet).await else {
            sleep(PAUSE).await;
            continue;
        };
        if !sessions.borrow().contains_key(&from) {
            let Ok(inner) = connected(to).await else { continue };
            let inner = Rc::new(inner);
            let last = Rc::new(Cell::new(Instant::now()));
            let back = back(inner.clone(), last.clone(), socket.clone(), from, sessions.clone());
            let task = tasks.spawn_local(back);
            make_room(&mut sessions.borrow_mut());
            sessions.borrow_mut().insert(from, Session { inner, last, task });
        }
        if let Some(session) = sessions.borrow().get(&from) {
            session.last.set(Instant::now());
            // Nobody listens, or there is no room: a datagram may be lost.
            let _ = session.inner.try_send(&packet[..length]);
        }
    }
}

type Sessions = HashMap<Ends, Session>;

struct Session {
    inner: Rc<UdpSocket>,
    last: Rc<Cell<Instant>>,
    task: AbortHandle,
}

fn make_room(sessions: &mut Sessions) {
    if sessions.len() < SESSIONS {
        return;
    }
    let silent = sessions.iter().min_by_key(|(_, session)| session.last.get());
    if let Some(client) = silent.map(|(client, _)| *client)
        && let Some(session) = sessions.remove(&client)
    {
        session.task.abort();
    }
}

async fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    // Only then what is sent at once is sent.
    socket.writable().await?;
    Ok(socket)
}

/// What comes from the container goes to `client`, until neither says anything.
async fn back(
    inner: Rc<UdpSocket>,
    last: Rc<Cell<Instant>>,
    outer: Rc<Datagrams>,
    client: Ends,
    sessions: Rc<RefCell<Sessions>>,
) {
    loop {
        let end = last.get() + SILENCE;
        match timeout_at(end, inner.readable()).await {
            Err(_) if last.get() + SILENCE <= Instant::now() => break,
            Err(_) => {}
            Ok(_) => {
                // Only now: who waits needs no room.
                let mut packet = vec![0; usize::from(u16::MAX)];
                if let Ok(length) = inner.try_recv(&mut packet) {
                    last.set(Instant::now());
                    let _ = outer.send_back(&packet[..length], client);
                }
            }
        }
    }
    sessions.borrow_mut().remove(&client);
}
