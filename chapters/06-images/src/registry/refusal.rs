//! Catalogue: not needed to understand the chapter.
//!
//! What it means when a registry says no, or nothing: an error for a person, and whether
//! it makes sense to ask again.

use std::io::ErrorKind;
use std::time::Duration;

use ch01_clone::Error;
use serde::Deserialize;
use ureq::Body;
use ureq::http::{Method, Response, header};

use super::address::bare;
use super::patience::Fault;

/// What went wrong before there was an answer.
pub(super) fn failed(method: &Method, url: &str, error: ureq::Error) -> Fault {
    let what = shown(method, url);
    match error {
        ureq::Error::Io(error) if is_certificate(&error) => untrusted(&what, &error.to_string()),
        ureq::Error::Rustls(error) => untrusted(&what, &error.to_string()),
        // Ours, from a reader of ours.
        ureq::Error::Io(error) if error.get_ref().is_some_and(|e| e.is::<Error>()) => {
            Fault::Final(crate::moving(&what, error))
        }
        ureq::Error::Io(error) => Fault::passing(crate::moving(&what, error)),
        ureq::Error::Timeout(_) => {
            Fault::passing(Error::new(format!("{what}: the registry is silent")))
        }
        ureq::Error::HostNotFound => Fault::Final(Error::new(format!("{what}: no such host"))),
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            Fault::Final(Error::new(format!("{what}: {error}")))
        }
        error => Fault::passing(Error::new(format!("{what}: {error}"))),
    }
}

/// Of a connection that there was, as against one that nobody accepts.
pub(super) fn is_passing(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    [BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof].contains(&kind)
}

pub(super) fn is_certificate(error: &std::io::Error) -> bool {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

fn untrusted(what: &str, why: &str) -> Fault {
    let error = Error::new(format!("{what}: {why}")).hint(
        "its certificate has to come from an authority of this machine's, \
         or its name has to stand under insecure-registries in daemon.json",
    );
    Fault::Final(error)
}

/// An answer that is none.
pub(super) fn refused(method: &Method, url: &str, mut answer: Response<Body>) -> Fault {
    let status = answer.status();
    let seconds =
        answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
    let text = answer.body_mut().with_config().limit(64 << 10).read_to_vec().unwrap_or_default();
    let error = Error::new(format!("{}: {}{status}", shown(method, url), said(&text)));
    match status.as_u16() {
        408 | 429 | 500 | 502..=504 => Fault::Passing(error, seconds.map(Duration::from_secs)),
        _ => Fault::Final(error),
    }
}

/// What a registry says of its refusal: `denied: requested access to the resource is denied`.
fn said(text: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        errors: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        code: String,
        #[serde(default)]
        message: String,
    }
    let answer = serde_json::from_slice::<Answer>(text).ok();
    let first = answer.and_then(|answer| answer.errors.into_iter().next());
    let line = first.map(|item| {
        let code = item.code.to_lowercase().replace('_', " ");
        let line: String = format!("{code}: {}: ", item.message);
        // It is somebody else's text, and ends on a terminal.
        line.chars().filter(|c| !c.is_control()).take(300).collect()
    });
    line.unwrap_or_default()
}

pub(super) fn shown(method: &Method, url: &str) -> String {
    format!("{method} {}", bare(url))
}
