//! Catalogue: not needed to understand the chapter.
//!
//! How an answer is written down: RFC 1035, section 4, and RFC 6891 for those who take more.

use hickory_proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record};

use crate::names::Reply;

/// RFC 9715: what gets through every network in one piece.
const PAYLOAD: u16 = 1232;

/// An answer with these records; over UDP with as many as the asker takes.
pub(crate) fn answer(request: &Message, records: Vec<RData>, over_udp: bool) -> Reply {
    let mut message = head(request, ResponseCode::NoError);
    message.metadata.authoritative = true;
    let name = &request.queries[0].name;
    message.answers =
        records.into_iter().map(|data| Record::from_rdata(name.clone(), 0, data)).collect();
    let most = match over_udp {
        true => usize::from(request.max_payload().min(PAYLOAD)),
        false => usize::from(u16::MAX),
    };
    let bytes = message.to_vec().unwrap_or_default();
    match bytes.len() > most {
        true => shortened(message, most),
        false => Reply::Answer(bytes),
    }
}

/// As many as there is room for. Whoever wants all asks again over TCP.
fn shortened(mut message: Message, most: usize) -> Reply {
    message.metadata.truncation = true;
    // None is shorter than an IPv4 address whose name is a pointer (RFC 1035, 4.1.4).
    message.answers.truncate(most / 16);
    loop {
        let bytes = message.to_vec().unwrap_or_default();
        if bytes.len() <= most || message.answers.pop().is_none() {
            return Reply::Answer(bytes);
        }
    }
}

/// An answer without records: it is an error, or nobody has the name.
pub(crate) fn refuse(request: &Message, code: ResponseCode) -> Reply {
    sent(&head(request, code))
}

/// The question again, and what holds of all answers.
fn head(request: &Message, code: ResponseCode) -> Message {
    let mut message = Message::response(request.id, request.op_code);
    message.metadata.recursion_desired = request.recursion_desired;
    message.metadata.checking_disabled = request.checking_disabled;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.queries.clone_from(&request.queries);
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.edns = Some(edns);
    }
    message
}

/// What is no message, but has the head of a question, is told so (RFC 1035, 4.1.1).
pub(crate) fn malformed(packet: &[u8]) -> Reply {
    match packet {
        // The id, and the bit that tells an answer from a question.
        [a, b, flags, _, ..] if packet.len() >= 12 && flags & 0x80 == 0 => {
            let id = u16::from_be_bytes([*a, *b]);
            sent(&Message::error_msg(id, OpCode::Query, ResponseCode::FormErr))
        }
        _ => Reply::Silence,
    }
}

/// What of somebody else's answer goes into one datagram. Who asked takes no more than it
/// said; whoever sends more to it means somebody else, or harm.
pub(crate) fn in_one_piece(packet: &[u8], answer: Vec<u8>) -> Option<Vec<u8>> {
    let request = Message::from_vec(packet).ok()?;
    if answer.len() <= usize::from(request.max_payload()) {
        return Some(answer);
    }
    let mut message = head(&request, ResponseCode::NoError);
    message.metadata.truncation = true;
    message.to_vec().ok()
}

/// The answer to a question that nobody could be asked.
pub(crate) fn failed(packet: &[u8]) -> Option<Vec<u8>> {
    let request = Message::from_vec(packet).ok()?;
    head(&request, ResponseCode::ServFail).to_vec().ok()
}

fn sent(message: &Message) -> Reply {
    message.to_vec().map_or(Reply::Silence, Reply::Answer)
}
