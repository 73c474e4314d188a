//! Catalogue: not needed to understand the chapter.
//!
//! Questions that are not about our containers, passed on to the host's resolvers as they
//! came: only the id is another, by chance, and each goes out from a port of its own.
//! Who wants to answer in a resolver's stead has to guess both (RFC 5452).

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::resolvers::{self, Resolvers};

/// How long one resolver is waited for: libc's programs give up on us after five seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// As many resolvers are asked as libc would ask (resolv.conf(5), MAXNS).
const MOST: usize = 3;

/// The head of a message: RFC 1035, 4.1.1.
const HEAD: usize = 12;

/// Whom to ask.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// Whom the host asks, at the time.
    Host(RefCell<(Option<SystemTime>, Vec<SocketAddr>)>),
    /// Always these.
    These(Vec<SocketAddr>),
}

impl Upstream {
    pub(crate) fn host() -> Upstream {
        Upstream::Host(RefCell::new((None, Resolvers::of_host().servers)))
    }

    fn servers(&self) -> Vec<SocketAddr> {
        match self {
            Upstream::These(servers) => servers.clone(),
            Upstream::Host(read) => {
                let now = std::fs::metadata(resolvers::FILE).and_then(|meta| meta.modified()).ok();
                let mut read = read.borrow_mut();
                if read.0 != now {
                    *read = (now, Resolvers::of_host().servers);
                }
                read.1.clone()
            }
        }
    }

    /// The first answer of a resolver that knows one way or the other; else what the last
    /// of them said.
    pub(crate) async fn ask(&self, packet: &[u8], over_udp: bool) -> Option<Vec<u8>> {
        let mut last = None;
        for server in self.servers().into_iter().take(MOST) {
            let asked = async {
                match over_udp {
                    true => ask_over_udp(server, packet).await,
                    false => ask_over_tcp(server, packet).await,
                }
            };
            if let Ok(Ok(answer)) = timeout(PATIENCE, asked).await {
                if !gave_up(&answer) {
                    return Some(answer);
                }
                last = Some(answer);
            }
        }
        last
    }
}

/// SERVFAIL or REFUSED: another resolver may know more.
fn gave_up(answer: &[u8]) -> bool {
    matches!(answer[3] & 0x0f, 2 | 5)
}

/// A connected socket hears only whom it is connected to.
async fn ask_over_udp(server: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let question = with_id(packet, by_chance()?);
    socket.send(&question).await?;
    loop {
        socket.readable().await?;
        // Only now: who waits needs no room.
        let mut answer = vec![0; usize::from(u16::MAX)];
        match socket.try_recv(&mut answer) {
            Ok(length) => answer.truncate(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if answers(&answer, &question) {
            return Ok(with_id(&answer, [packet[0], packet[1]]));
        }
    }
}

/// Who came over TCP wants all of it, and asked before over UDP (RFC 7766).
async fn ask_over_tcp(server: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let question = with_id(packet, by_chance()?);
    write_message(&mut stream, &question).await?;
    let answer = read_message(&mut stream, usize::from(u16::MAX)).await?;
    match answers(&answer, &question) {
        true => Ok(with_id(&answer, [packet[0], packet[1]])),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Over TCP each message has its length before it (RFC 1035, 4.2.2).
pub(crate) async fn read_message(stream: &mut TcpStream, most: usize) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// As [`read_message`], the other way.
pub(crate) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await
}

fn by_chance() -> io::Result<[u8; 2]> {
    let mut id = [0; 2];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
    Ok(id)
}

fn with_id(packet: &[u8], id: [u8; 2]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[..2].copy_from_slice(&id);
    packet
}

/// It is an answer, has the id, and is about what was asked.
fn answers(answer: &[u8], question: &[u8]) -> bool {
    let asked = question_of(question);
    let same = |about: &[u8]| asked.is_some_and(|asked| about.eq_ignore_ascii_case(asked));
    answer.len() >= HEAD
        && answer[..2] == question[..2]
        && answer[2] & 0x80 != 0
        && question_of(answer).is_some_and(same)
}

/// Name, type and class of the first question (RFC 1035, 4.1.2).
fn question_of(packet: &[u8]) -> Option<&[u8]> {
    let mut end = HEAD;
    while let length @ 1..=63 = *packet.get(end)? {
        end += 1 + usize::from(length);
    }
    // Without this, it goes on elsewhere: nothing comes before a question.
    (packet[end] == 0).then_some(())?;
    packet.get(HEAD..end + 5)
}

#[cfg(test)]
mod tests {
    use super::{answers, question_of};

    const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01\0\0\x29";

    #[test]
    fn the_question_is_the_part_after_the_head() {
        assert_eq!(question_of(QUESTION), Some(&b"\x01a\x02bc\0\0\x01\0\x01"[..]));
        for end in 0..22 {
            assert_eq!(question_of(&QUESTION[..end]), None, "{end} bytes");
        }
        assert_eq!(question_of(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01"), None);
    }

    #[test]
    fn an_answer_is_about_what_was_asked() {
        let mut answer = QUESTION[..22].to_vec();
        assert!(!answers(&answer, QUESTION), "a question is no answer");
        answer[2] |= 0x80;
        assert!(answers(&answer, QUESTION));
        answer[13] = b'A';
        assert!(answers(&answer, QUESTION), "letters may be large");
        for (at, byte) in [(0, 0), (13, b'x'), (19, 2), (21, 2)] {
            let mut other = answer.clone();
            other[at] = byte;
            assert!(!answers(&other, QUESTION), "byte {at}");
        }
        assert!(!answers(&answer[..11], QUESTION) && !answers(&answer[..21], QUESTION));
    }
}
