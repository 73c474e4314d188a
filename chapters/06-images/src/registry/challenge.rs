//! Catalogue: not needed to understand the chapter.
//!
//! What a registry asks for before it answers: `WWW-Authenticate` (RFC 9110, 11.6.1).
//!
//! ```text
//! Bearer realm="https://auth.example/token",service="registry.example"
//! Basic realm="my registry"
//! ```

/// One way in that a registry offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// In lower case: `bearer`, `basic`.
    pub(crate) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut all = self.parameters.iter();
        all.find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one header; there may be several challenges in it.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut all: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() && !after.starts_with('=') {
            return all;
        }
        match after.strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(after);
                if let Some(challenge) = all.last_mut() {
                    challenge.parameters.push((word.to_ascii_lowercase(), value));
                }
                rest = after;
            }
            None => {
                let scheme = word.to_ascii_lowercase();
                all.push(Challenge { scheme, ..Challenge::default() });
                rest = after;
            }
        }
    }
}

/// A value, in quotes or not, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([',', ' ', '\t']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn challenges_are_read() {
        let header = r#"Basic realm="a \"b\", c", Bearer realm="https://a.example/t?x=1",service=r ,scope="repository:a:pull,push""#;
        let all = parse(header);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].scheme.as_str(), all[1].scheme.as_str()), ("basic", "bearer"));
        assert_eq!(all[0].parameter("realm"), Some(r#"a "b", c"#));
        assert_eq!(all[1].parameter("realm"), Some("https://a.example/t?x=1"));
        assert_eq!(all[1].parameter("service"), Some("r"));
        assert_eq!(all[1].parameter("scope"), Some("repository:a:pull,push"));
    }

    #[test]
    fn nonsense_ends() {
        for header in ["", "=", "==", "a=\"", "Bearer", "Bearer realm=\"\\", ",,,", "= x ="] {
            let _ = parse(header);
        }
    }
}
