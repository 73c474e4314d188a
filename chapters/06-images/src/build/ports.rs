//! Catalogue: not needed to understand the chapter.
//!
//! What `EXPOSE` says: `80`, `53/udp`, `8000-8010`.

use ch01_clone::{Error, Result};

/// The ports that a word means, each as `PORT/PROTOCOL`.
pub(crate) fn ports(word: &str) -> Result<Vec<String>> {
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let protocol = protocol.to_ascii_lowercase();
    let known = ["tcp", "udp", "sctp"].contains(&&*protocol);
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if known && first <= last => {
            Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
        }
        _ => Err(Error::new(format!("invalid containerPort: {word}"))),
    }
}
