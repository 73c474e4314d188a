//! A resolver as the host might have one, which answers each name in its own way.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use dockster_tests::Failed;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// What it was asked: the name, `udp` or `tcp`, the id, and from which port.
pub type Asked = (String, &'static str, u16, u16);

/// It serves as long as the test runs.
pub struct Upstream {
    heard: Arc<Mutex<Vec<Asked>>>,
    last: Arc<Mutex<Vec<u8>>>,
}

impl Upstream {
    /// At port 53 of `address`. It answers an `A` question with `answer`.
    pub fn new(address: &str, answer: [u8; 4]) -> Result<Upstream, Failed> {
        let at: (IpAddr, u16) = (address.parse()?, 53);
        let (socket, listener) = (UdpSocket::bind(at)?, TcpListener::bind(at)?);
        let upstream = Upstream { heard: Arc::default(), last: Arc::default() };
        let (heard, last) = (upstream.heard.clone(), upstream.last.clone());
        thread::spawn(move || {
            let mut packet = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                let Ok(asked) = Message::from_vec(&packet[..length]) else { continue };
                note(&heard, &asked, "udp", from.port());
                *last.lock().expect("a lock") = packet[..length].to_vec();
                for reply in over_udp(&asked, answer) {
                    let _ = socket.send_to(&reply, from);
                }
                if first(&asked).starts_with("liar") {
                    // The right answer, but from somebody else.
                    let other = UdpSocket::bind("0.0.0.0:0").expect("a port");
                    let _ = other.send_to(&said(&asked, [6, 6, 6, 6]), from);
                    let _ = socket.send_to(&said(&asked, answer), from);
                }
            }
        });
        let heard = upstream.heard.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut length = [0; 2];
                let _ = stream.read_exact(&mut length);
                let mut packet = vec![0; u16::from_be_bytes(length).into()];
                let _ = stream.read_exact(&mut packet);
                let Ok(asked) = Message::from_vec(&packet) else { continue };
                note(&heard, &asked, "tcp", stream.peer_addr().map_or(0, |peer| peer.port()));
                let reply = said(&asked, answer);
                let length = u16::try_from(reply.len()).expect("it is short").to_be_bytes();
                let _ = stream.write_all(&[&length[..], &reply].concat());
            }
        });
        Ok(upstream)
    }

    /// All that it was asked so far.
    pub fn heard(&self) -> Vec<Asked> {
        self.heard.lock().expect("a lock").clone()
    }

    /// The last packet as it came.
    pub fn last(&self) -> Vec<u8> {
        self.last.lock().expect("a lock").clone()
    }
}

fn note(heard: &Mutex<Vec<Asked>>, asked: &Message, over: &'static str, port: u16) {
    let name = asked.queries[0].name.to_ascii();
    heard.lock().expect("a lock").push((name, over, asked.id, port));
}

fn first(asked: &Message) -> String {
    asked.queries[0].name.to_ascii()
}

fn over_udp(asked: &Message, answer: [u8; 4]) -> Vec<Vec<u8>> {
    let mut reply = Message::response(asked.id, asked.op_code);
    reply.queries.clone_from(&asked.queries);
    let name = first(asked);
    match name.split('.').next().unwrap_or("") {
        "silent" => Vec::new(),
        "servfail" | "refused" | "nxdomain" => {
            reply.metadata.response_code = match name.as_bytes()[0] {
                b's' => ResponseCode::ServFail,
                b'r' => ResponseCode::Refused,
                _ => ResponseCode::NXDomain,
            };
            vec![reply.to_vec().expect("a message")]
        }
        "big" => {
            reply.metadata.truncation = true;
            vec![reply.to_vec().expect("a message")]
        }
        "giant" => vec![[said(asked, answer), vec![7; 60_000]].concat()],
        // A name that stands for another, which stands for a third.
        "alias" => {
            let names = [name.as_str(), "second.example.", "third.example."];
            for (from, to) in names.iter().zip(&names[1..]) {
                let to = CNAME(Name::from_ascii(to).expect("a name"));
                let from = Name::from_ascii(from).expect("a name");
                reply.add_answer(Record::from_rdata(from, 60, RData::CNAME(to)));
            }
            let third = Name::from_ascii(names[2]).expect("a name");
            reply.add_answer(Record::from_rdata(third, 60, RData::A(A(answer.into()))));
            vec![reply.to_vec().expect("a message")]
        }
        // Its record's name is wherever it is.
        "loop" => {
            let mut bytes = reply.to_vec().expect("a message");
            bytes[7] = 1;
            let here = u8::try_from(bytes.len()).expect("it is short");
            bytes.extend([0xc0, here, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 6, 6, 6, 6]);
            vec![bytes]
        }
        "liar" => {
            let mut other_id = asked.clone();
            other_id.metadata.id = asked.id.wrapping_add(1);
            let mut other_name = asked.clone();
            let name = Name::from_ascii("x.example.").expect("a name");
            other_name.queries = vec![Query::query(name, RecordType::A)];
            let lies = [other_id, other_name].map(|asked| said(&asked, [6, 6, 6, 6]));
            // No answer at all, not even a head, and the question itself.
            let nothing = [b"\0".to_vec(), asked.to_vec().expect("a message")];
            lies.into_iter().chain(nothing).collect()
        }
        _ => vec![said(asked, answer)],
    }
}

fn said(asked: &Message, answer: [u8; 4]) -> Vec<u8> {
    let mut reply = Message::response(asked.id, asked.op_code);
    reply.queries.clone_from(&asked.queries);
    let data = RData::A(A(answer.into()));
    reply.add_answer(Record::from_rdata(asked.queries[0].name.clone(), 60, data));
    reply.to_vec().expect("a message")
}
