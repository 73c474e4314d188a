//! Catalogue: not needed to understand the chapter.
//!
//! The lines of a Dockerfile: comments left out, continued lines joined, here-documents
//! taken off, each with the number of the line that it begins in.

use ch01_clone::{Error, Result};

use super::expand;

/// A Dockerfile, cut into its instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    pub(crate) lines: Vec<Line>,
    /// What continues a line and quotes a character: `\`, or a backtick.
    pub(crate) escape: char,
}

/// An instruction, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it begins; the first line is 1.
    pub(crate) number: usize,
    /// What it is, in capitals.
    pub(crate) word: String,
    /// What stands before all else, as `--name=value`.
    pub(crate) flags: Vec<String>,
    /// What is left, in one line.
    pub(crate) text: String,
    pub(crate) documents: Vec<Document>,
}

/// A here-document: `<<NAME`, lines, `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Whether variables mean anything in it: not if its name was quoted.
    pub(crate) expand: bool,
    /// Whether tabs that lines begin with are left out (`<<-`).
    chomp: bool,
}

impl Dockerfile {
    /// Cuts a text into instructions.
    ///
    /// # Errors
    /// What is wrong, and the number of the line.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let escape = directives(text)?;
        let mut lines = text.lines().enumerate();
        let mut all = Vec::new();
        while let Some((index, line)) = lines.next() {
            let number = index + 1;
            if is_comment(line) || line.trim().is_empty() {
                continue;
            }
            let mut whole = String::new();
            let mut part = Some(line.trim_start());
            while let Some(line) = part {
                let (text, goes_on) = continued(line, escape);
                whole += text;
                part = None;
                while goes_on && part.is_none() {
                    let Some((_, next)) = lines.next() else { break };
                    // Between the lines of one instruction they are nothing, too.
                    part = (!is_comment(next) && !next.trim().is_empty()).then_some(next);
                }
            }
            let mut line = split(&whole, number);
            if ["RUN", "COPY", "ADD"].contains(&&*line.word) {
                line.documents = documents(&line.text, escape);
            }
            for document in &mut line.documents {
                document.fill(&mut lines).map_err(|error| at(number, error))?;
            }
            all.push(line);
        }
        match all.is_empty() {
            true => Err(Error::new("the Dockerfile is empty: it has no instructions")),
            false => Ok(Self { lines: all, escape }),
        }
    }
}

/// An error in a line that is known by its number.
pub(crate) fn at(number: usize, error: Error) -> Error {
    Error { call: format!("line {number}: {}", error.call), ..error }
}

/// What the first lines say to whoever reads it: `# escape=X`, `# syntax=IMAGE`, `# check=…`.
fn directives(text: &str) -> Result<char> {
    let mut escape = '\\';
    for (index, line) in text.lines().enumerate() {
        let Some((name, value)) = line.trim().strip_prefix('#').and_then(|l| l.split_once('='))
        else {
            break;
        };
        match (name.trim().to_ascii_lowercase().as_str(), value.trim()) {
            ("escape", "\\") => escape = '\\',
            ("escape", "`") => escape = '`',
            ("escape", other) => {
                let error = Error::new(format!("invalid ESCAPE {other:?}: it is \\ or `"));
                return Err(at(index + 1, error));
            }
            // There is one way of reading here, which knows what `docker/dockerfile:1` does.
            ("syntax" | "check", _) => {}
            _ => break,
        }
    }
    Ok(escape)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without what says that it goes on, and whether it does.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let cut = line.trim_end_matches([' ', '\t']);
    match cut.strip_suffix(escape) {
        // Two of them mean one, which is the last character.
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}

fn split(whole: &str, number: usize) -> Line {
    let (word, mut text) = cut(whole.trim());
    let mut flags = Vec::new();
    while text.starts_with("--") {
        let (flag, rest) = cut(text);
        // Alone it ends them.
        if flag != "--" {
            flags.push(flag.to_owned());
        }
        text = rest;
        if flag == "--" {
            break;
        }
    }
    let (word, text) = (word.to_ascii_uppercase(), text.to_owned());
    Line { number, word, flags, text, documents: Vec::new() }
}

/// A word, and what follows it.
pub(crate) fn cut(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// The here-documents that a line announces.
fn documents(text: &str, escape: char) -> Vec<Document> {
    let words = expand::split(text, escape).unwrap_or_default();
    words.iter().filter_map(|word| announced(word)).collect()
}

/// What `<<NAME`, `<<-NAME` or `<<"NAME"` announces.
pub(crate) fn announced(word: &str) -> Option<Document> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let name: String = rest.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
    if name.is_empty() || name.contains(['<', '>', '$', '(']) {
        return None;
    }
    Some(Document { expand: name == rest, name, text: String::new(), chomp })
}

impl Document {
    fn fill<'a>(&mut self, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Result<()> {
        for (_, line) in lines {
            let line = if self.chomp { line.trim_start_matches('\t') } else { line };
            if line == self.name {
                return Ok(());
            }
            self.text += line;
            self.text.push('\n');
        }
        Err(Error::new(format!("unterminated heredoc: no line is {:?}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String, String)> {
        let file = Dockerfile::parse(text).expect("a Dockerfile");
        file.lines.into_iter().map(|l| (l.number, l.word, l.text)).collect()
    }

    #[test]
    fn lines_are_joined_and_comments_left_out() {
        let text =
            "# a comment\n\nfrom x\nRUN a \\\n  # between\n\n  b \\  \n  c\n RUN d\\\\\nCMD e\n";
        let of = |number, word: &str, text: &str| (number, word.to_owned(), text.to_owned());
        let all = [
            of(3, "FROM", "x"),
            of(4, "RUN", "a   b   c"),
            of(9, "RUN", "d\\\\"),
            of(10, "CMD", "e"),
        ];
        assert_eq!(texts(text), all);
        assert_eq!(texts("# escape=`\nRUN a `\n b\\\n")[0].2, "a  b\\");
    }

    #[test]
    fn flags_and_here_documents() {
        let text =
            "COPY --from=a --chown=1:2 <<E <<-\"F\" /to/\none $x\nE\n\ttwo $x\n\tF\nRUN x <<3\n3\n";
        let file = Dockerfile::parse(text).expect("a Dockerfile");
        assert_eq!(file.lines[0].flags, ["--from=a", "--chown=1:2"]);
        let documents = &file.lines[0].documents;
        assert_eq!((&*documents[0].text, documents[0].expand), ("one $x\n", true));
        assert_eq!((&*documents[1].text, documents[1].expand), ("two $x\n", false));
        assert_eq!(file.lines[1].number, 6);
        assert!(Dockerfile::parse("RUN <<E\nx\n").is_err());
        assert!(Dockerfile::parse("# nothing\n").is_err());
        assert!(Dockerfile::parse("# escape=x\nFROM a\n").is_err());
    }
}
