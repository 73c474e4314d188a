//! What an image is called: as docker reads it, and as docker shows it.

use std::str::FromStr;

use ch01_clone::{Error, Result};
use oci_spec::distribution::Reference;

/// A name in full: `debian` is `docker.io/library/debian:latest`.
pub fn parse(name: &str) -> Result<Reference> {
    // The length of an id, and no name: docker refuses it too.
    let is_id = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let parsed = Reference::from_str(name).ok().filter(|_| !is_id);
    parsed.ok_or_else(|| {
        Error::new(format!("invalid reference format: {name:?}"))
            .hint("a name is lower-case letters, digits and . _ - /, and a tag after a colon")
    })
}

/// A name as people know it: `docker.io/library/debian:latest` is `debian:latest`.
pub fn familiar(name: &Reference) -> String {
    let whole = name.whole();
    let short = whole.strip_prefix("docker.io/").unwrap_or(&whole);
    short.strip_prefix("library/").unwrap_or(short).to_owned()
}

/// A name for something to be kept under it: with a tag, and without a digest.
pub fn for_tagging(name: &str) -> Result<String> {
    let reference = parse(name)?;
    match reference.digest() {
        None => Ok(familiar(&reference)),
        Some(_) => Err(Error::new(format!("refusing to create a tag with a digest: {name:?}"))),
    }
}
