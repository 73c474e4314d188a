//! Catalogue: not needed to understand the chapter.
//!
//! The name servers' sockets. Whoever is slow or silent holds up nobody: each question
//! that is passed on and each connection is a task of its own, for so long, and one
//! client has so many of them (CVE-2024-8418).

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::answers::{failed, in_one_piece};
use crate::bounds::Bounds;
use crate::known::Known;
use crate::names::{Asked, Reply, reply};
use crate::upstream::{Upstream, read_message, write_message};

/// A question is a name and some options.
const LONGEST: usize = 4096;

/// For a whole question over TCP, or for taking a whole answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a failure of the host's, such as no descriptor left, before the next try.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// What all name servers share.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) known: RefCell<Known>,
    upstream: Upstream,
    /// Questions that are passed on: each has a socket.
    questions: Rc<Bounds>,
    connections: Rc<Bounds>,
    turn: Cell<usize>,
}

impl Names {
    pub(crate) fn new(known: Known, upstream: Upstream) -> Names {
        Names {
            known: RefCell::new(known),
            upstream,
            questions: Bounds::new(512, 128),
            connections: Bounds::new(256, 16),
            turn: Cell::new(0),
        }
    }

    fn reply(&self, asked: Asked<'_>, packet: &[u8]) -> Reply {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        reply(&mut self.known.borrow_mut(), asked, packet, turn)
    }

    /// What the host's resolvers say; that it failed if there is no place, or nobody answers.
    async fn forward(&self, by: IpAddr, packet: &[u8], over_udp: bool) -> Option<Vec<u8>> {
        let answer = match self.questions.take(by) {
            Some(_taken) => self.upstream.ask(packet, over_udp).await,
            None => None,
        };
        match answer {
            Some(answer) if over_udp => in_one_piece(packet, answer),
            answer => answer.or_else(|| failed(packet)),
        }
    }
}

/// Answers what comes to this socket, for ever.
pub(crate) async fn over_udp(socket: UdpSocket, network: String, names: Rc<Names>) {
    let socket = Rc::new(socket);
    let mut packet = [0; LONGEST];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut packet).await else {
            sleep(PAUSE).await;
            continue;
        };
        let packet = &packet[..length];
        let asked = Asked { network: &network, by: from.ip(), over_udp: true };
        match names.reply(asked, packet) {
            // No room to send: as with any packet, whoever waits for it asks again.
            Reply::Answer(answer) => drop(socket.try_send_to(&answer, from)),
            Reply::Silence => {}
            Reply::Forward => {
                let (names, packet) = (names.clone(), packet.to_vec());
                // Gone with the server: a question under way does not hold the address.
                let socket = Rc::downgrade(&socket);
                spawn_local(async move {
                    let answer = names.forward(from.ip(), &packet, true).await;
                    if let (Some(answer), Some(socket)) = (answer, socket.upgrade()) {
                        drop(socket.try_send_to(&answer, from));
                    }
                });
            }
        }
    }
}

/// Takes connections from this socket, for ever.
pub(crate) async fn over_tcp(listener: TcpListener, network: String, names: Rc<Names>) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        // One too many: it is closed.
        let Some(taken) = names.connections.take(from.ip()) else { continue };
        let (network, names) = (network.clone(), names.clone());
        spawn_local(async move {
            let _taken = taken;
            // Whoever breaks the rules, or the connection, is not told.
            let _ = converse(stream, from.ip(), &network, &names).await;
        });
    }
}

async fn converse(
    mut stream: TcpStream,
    by: IpAddr,
    network: &str,
    names: &Names,
) -> io::Result<()> {
    loop {
        let packet = timeout(PATIENCE, read_message(&mut stream, LONGEST)).await??;
        let answer = match names.reply(Asked { network, by, over_udp: false }, &packet) {
            Reply::Answer(answer) => Some(answer),
            Reply::Forward => names.forward(by, &packet, false).await,
            Reply::Silence => None,
        };
        let Some(answer) = answer else { return Ok(()) };
        timeout(PATIENCE, write_message(&mut stream, &answer)).await??;
    }
}
