//! Catalogue: not needed to understand the chapter.
//!
//! Addresses: what they are relative to, and which of them are of one origin.

use ureq::http::Uri;

/// Without the query: what is signed lets in whoever reads it.
pub(super) fn bare(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// Scheme, host and port are the same.
pub(super) fn same_origin(a: &str, b: &str) -> bool {
    let origin = |url: &str| {
        let uri: Uri = url.parse().ok()?;
        let port = uri.port_u16().or(match uri.scheme_str()? {
            "https" => Some(443),
            _ => Some(80),
        });
        Some((uri.scheme_str()?.to_owned(), uri.host()?.to_ascii_lowercase(), port))
    };
    origin(a).is_some() && origin(a) == origin(b)
}

/// `location`, as it is meant in an answer to `url` (RFC 3986, as much as registries use).
pub(super) fn join(url: &str, location: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let path_at = rest.find('/').unwrap_or(rest.len());
    if location.contains("://") && !location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{}{location}", &rest[..path_at])
    } else {
        let path = bare(rest);
        let dir = path.rfind('/').map_or(path.len(), |at| at + 1);
        format!("{scheme}://{}{location}", &path[..dir])
    }
}

#[cfg(test)]
mod tests {
    use super::{join, same_origin};

    #[test]
    fn locations_are_joined() {
        let url = "https://a.example:5000/v2/x/uploads/?q=/1";
        for (location, joined) in [
            ("https://b.example/y", "https://b.example/y"),
            ("//b.example/y", "https://b.example/y"),
            ("/y?z=http://c", "https://a.example:5000/y?z=http://c"),
            ("y", "https://a.example:5000/v2/x/uploads/y"),
        ] {
            assert_eq!(join(url, location), joined);
        }
    }

    #[test]
    fn only_the_same_origin_is_the_same() {
        let same = ["https://a.example/", "https://A.example:443/x?y"];
        assert!(same.iter().all(|url| same_origin("https://a.example", url)));
        for other in [
            "http://a.example/",
            "https://a.example:444/",
            "https://a.example.evil/",
            "https://b.example/",
            "https://a.example@b.example/",
            "nonsense",
        ] {
            assert!(!same_origin("https://a.example", other), "{other}");
        }
    }
}
