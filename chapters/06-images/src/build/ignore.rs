//! Catalogue: not needed to understand the chapter.
//!
//! What `.dockerignore` keeps out of a build. The last pattern that fits decides; one
//! that fits a directory fits all that it holds.

use super::glob;

/// The patterns of a `.dockerignore`, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ignore {
    patterns: Vec<(bool, String)>,
}

impl Ignore {
    /// A pattern a line; `#` begins a comment, `!` takes back.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        let pattern = |line: &str| {
            let (back, line) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let mut names: Vec<&str> = Vec::new();
            for name in line.split('/') {
                match name {
                    "" | "." => {}
                    ".." => drop(names.pop()),
                    name => names.push(name),
                }
            }
            (back, names.join("/"))
        };
        let patterns = lines.filter(|line| !line.is_empty()).map(pattern);
        Self { patterns: patterns.filter(|(_, pattern)| !pattern.is_empty()).collect() }
    }

    /// Whether a path, relative to the context, is kept out.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        let mut out = false;
        for (back, pattern) in &self.patterns {
            // Only what would change something is asked.
            if *back == out && (glob::matches(pattern, path) || fits_a_parent(pattern, path)) {
                out = !back;
            }
        }
        out
    }

    /// Whether something may be let in of a directory that is kept out itself.
    pub(crate) fn takes_back(&self) -> bool {
        self.patterns.iter().any(|(back, _)| *back)
    }
}

fn fits_a_parent(pattern: &str, path: &str) -> bool {
    path.match_indices('/').any(|(end, _)| glob::matches(pattern, &path[..end]))
}

#[cfg(test)]
mod tests {
    use super::Ignore;

    #[test]
    fn the_last_that_fits_decides() {
        let ignore = Ignore::parse("# comment\n*.md\n!README.md\n/out/\n**/*.o\n!out/keep\n");
        for (path, out) in [
            ("a.md", true),
            ("README.md", false),
            ("d/a.md", false),
            ("out", true),
            ("out/x/y", true),
            ("out/keep", false),
            ("out/keep/x", false),
            ("a.o", true),
            ("d/e/a.o", true),
            ("# comment", false),
        ] {
            assert_eq!(ignore.excludes(path), out, "{path}");
        }
    }
}
