//! Catalogue: not needed to understand the chapter.
//!
//! Patterns for paths, as `.dockerignore` and `COPY` have them: `*` and `?` within a name,
//! `[a-z]`, `\` before a character that means itself, and `**` for any number of names.

/// Whether there is anything in the text that makes it a pattern.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// Whether a path, its names parted by `/`, is what the pattern means.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let path: Vec<char> = path.chars().collect();
    from(&pattern, &path)
}

fn from(pattern: &[char], path: &[char]) -> bool {
    match pattern {
        [] => path.is_empty(),
        ['*', '*', '/', rest @ ..] => {
            // None of the names, or all up to one of the slashes.
            let mut slashes = path.iter().enumerate().filter(|(_, c)| **c == '/');
            from(rest, path) || slashes.any(|(at, _)| from(rest, &path[at + 1..]))
        }
        ['*', '*', rest @ ..] => (0..=path.len()).any(|at| from(rest, &path[at..])),
        ['*', rest @ ..] => {
            let name = path.iter().take_while(|c| **c != '/').count();
            (0..=name).any(|at| from(rest, &path[at..]))
        }
        ['[', rest @ ..] => match (set(rest), path) {
            (Some((set, rest)), [c, path @ ..]) => *c != '/' && set.has(*c) && from(rest, path),
            _ => false,
        },
        ['?', rest @ ..] => matches!(path, [c, path @ ..] if *c != '/' && from(rest, path)),
        ['\\', c, rest @ ..] | [c, rest @ ..] => {
            matches!(path, [first, path @ ..] if first == c && from(rest, path))
        }
    }
}

struct Set {
    not: bool,
    ranges: Vec<(char, char)>,
}

impl Set {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.not
    }
}

/// The set after `[`, and what follows its `]`.
fn set(text: &[char]) -> Option<(Set, &[char])> {
    let (not, mut rest) = match text {
        ['^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        let (low, after) = match rest {
            [']', rest @ ..] if !ranges.is_empty() => return Some((Set { not, ranges }, rest)),
            ['\\', c, rest @ ..] | [c, rest @ ..] => (*c, rest),
            [] => return None,
        };
        rest = match after {
            ['-', high, rest @ ..] if *high != ']' => {
                ranges.push((low, *high));
                rest
            }
            _ => {
                ranges.push((low, low));
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, path, fits) in [
            ("a", "a", true),
            ("a", "a/b", false),
            ("*.c", "x.c", true),
            ("*.c", "d/x.c", false),
            ("**/*.c", "x.c", true),
            ("**/*.c", "d/e/x.c", true),
            ("d/**", "d/e/x", true),
            ("d/**", "d", false),
            ("d/**/x", "d/x", true),
            ("d/**/x", "d/e/f/x", true),
            ("**", "a/b", true),
            ("?.[ch]", "x.h", true),
            ("[^a-c]", "b", false),
            ("[^a-c]", "d", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a?b", "a/b", false),
            ("[", "[", false),
        ] {
            assert_eq!(matches(pattern, path), fits, "{pattern} {path}");
        }
    }
}
