//! Catalogue: not needed to understand the chapter.
//!
//! What an image is called: as docker reads it, and as docker shows it.
//!
//! ```text
//! registry.example:5000/team/app:1.2@sha256:9f86d0…
//! └───────domain──────┘ └─path─┘ tag └───digest───┘
//! ```
//!
//! The grammar is docker's `distribution/reference`. The crate that has it
//! compiles a huge regular expression for it, at each start of a program: that
//! takes several times as long as to start a container.

use std::fmt;

use ch01_clone::{Error, Result};

/// A name in full: `debian` is `docker.io/library/debian`, and no tag yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The registry: a host, with a port if it has one.
    pub domain: String,
    /// The repository there.
    pub path: String,
    /// Which of its images, by name.
    pub tag: Option<String>,
    /// Which of its images, by content.
    pub digest: Option<String>,
}

/// The registry of names that have none.
pub(crate) const DOMAIN: &str = "docker.io";

/// Reads a name as docker does.
pub fn parse(name: &str) -> Result<Reference> {
    let wrong = |why: &str| {
        Error::new(format!("invalid reference format: {name:?}{why}"))
            .hint("a name is lower-case letters, digits and . _ - /, and a tag after a colon")
    };
    // The length of an id, and no name: docker refuses it too.
    if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong(", which is the form of an id"));
    }
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.to_owned())),
        None => (name, None),
    };
    // A colon before the last slash is that of a port.
    let (rest, tag) = match rest.rsplit_once(':') {
        Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag.to_owned())),
        _ => (rest, None),
    };
    let (domain, path) = match rest.split_once('/') {
        Some((first, path)) if is_host(first) => (first, path.to_owned()),
        _ => (DOMAIN, rest.to_owned()),
    };
    let domain = if domain == "index.docker.io" { DOMAIN } else { domain };
    let path =
        if domain == DOMAIN && !path.contains('/') { format!("library/{path}") } else { path };
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(wrong(": a repository's name must be lowercase"));
    }
    let right = is_domain(domain)
        && path.split('/').all(is_component)
        && domain.len() + path.len() < 255
        && tag.as_deref().is_none_or(is_tag)
        && digest.as_deref().is_none_or(is_digest);
    match right {
        true => Ok(Reference { domain: domain.to_owned(), path, tag, digest }),
        false => Err(wrong("")),
    }
}

impl Reference {
    /// The repository, as people know it: without what is understood.
    pub fn familiar(&self) -> String {
        match (self.domain.as_str(), self.path.strip_prefix("library/")) {
            (DOMAIN, Some(short)) if !short.contains('/') => short.to_owned(),
            (DOMAIN, _) => self.path.clone(),
            _ => format!("{}/{}", self.domain, self.path),
        }
    }

    /// With all that is understood: `docker.io/library/debian:latest`.
    pub fn in_full(&self) -> String {
        format!("{}/{}:{}", self.domain, self.path, self.tag_or_latest())
    }

    /// The tag, or the one that is meant if there is none.
    pub fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// The name to be kept under, `REPOSITORY:TAG`; none if it is said by digest.
    pub fn tagged(&self) -> Option<String> {
        let name = || format!("{}:{}", self.familiar(), self.tag_or_latest());
        self.digest.is_none().then(name)
    }

    /// The same repository at a digest.
    pub fn at(&self, digest: &str) -> String {
        format!("{}@{digest}", self.familiar())
    }
}

/// As people know it, with what was left out.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) => f.write_str(&self.at(digest)),
            None => write!(f, "{}:{}", self.familiar(), self.tag_or_latest()),
        }
    }
}

/// A name for something to be kept under it, as people know it, with a tag and
/// without a digest: `docker.io/library/debian` is `debian:latest`.
pub fn for_tagging(name: &str) -> Result<String> {
    parse(name)?
        .tagged()
        .ok_or_else(|| Error::new(format!("refusing to create a tag with a digest: {name:?}")))
}

/// What comes before the first slash is a registry if it looks like a host.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

/// A host name or an address, and a port.
fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (domain, "0"),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match v6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    host && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Lower-case letters and digits, with one of `.`, `_`, `__` or dashes between them.
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
    let mut separators = bytes.split(alphanumeric);
    ends && separators
        .all(|run| matches!(run, b"" | b"." | b"_" | b"__") || run.iter().all(|&b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(digest: &str) -> bool {
    let lengths = [("sha256", 64), ("sha384", 96), ("sha512", 128)];
    digest.split_once(':').is_some_and(|(kind, hex)| {
        lengths.contains(&(kind, hex.len()))
            && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::for_tagging;

    #[test]
    fn names_are_read_and_shown_as_docker_does() {
        for (given, shown) in [
            ("debian", "debian:latest"),
            ("debian:12", "debian:12"),
            ("docker.io/library/debian:12", "debian:12"),
            ("index.docker.io/debian", "debian:latest"),
            ("team/app", "team/app:latest"),
            ("docker.io/team/app:1", "team/app:1"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("registry.example/a/b/c:v1.2_x-3", "registry.example/a/b/c:v1.2_x-3"),
            ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app:latest"),
            ("a__b/c--d.e", "a__b/c--d.e:latest"),
        ] {
            assert_eq!(for_tagging(given).expect(given), shown);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let digest = format!("debian@sha256:{}", "a".repeat(64));
        for given in [
            "",
            ":",
            "a:",
            "Debian",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a//b",
            "/a",
            "a/",
            "a b",
            "../a",
            "a:.b",
            "a:b:c",
            "a@sha256:12",
            "host.example:port/a",
            "a\0b",
            "ä",
            &"a".repeat(64),
            &"b/".repeat(200),
            &digest,
        ] {
            assert!(for_tagging(given).is_err(), "{given:?}");
        }
    }
}
