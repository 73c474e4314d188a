//! The real names of this machine, and what stands for them in the book.

use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, gethostname};

use super::compare::Line;

/// Pairs: what is here, and what the book says.
#[derive(Debug, Clone)]
pub(super) struct Names(Vec<(String, &'static str, Kind)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A directory: what follows may begin with `/`.
    Path,
    /// A name: no part of a path or of a longer name.
    Name,
    /// A number.
    Number,
}

impl Names {
    /// The names of who runs this (unless that is root), of the host, and of these places.
    pub(super) fn of(home: &Path, tree: &Path, terminals: [&str; 2]) -> Names {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut names = vec![
            (path(home), "~", Kind::Path),
            (path(tree), "~/dockster", Kind::Path),
            (terminals[0].into(), "pts/0", Kind::Path),
            (terminals[1].into(), "pts/1", Kind::Path),
        ];
        if let Ok(host) = gethostname() {
            names.push((host.to_string_lossy().into_owned(), "laptop", Kind::Name));
        }
        let uid = Uid::effective();
        if !uid.is_root() {
            let user = User::from_uid(uid).ok().flatten().map(|user| user.name);
            names.extend(user.map(|name| (name, "student", Kind::Name)));
            names.push((uid.to_string(), "1000", Kind::Number));
            let gid = Gid::effective();
            let group = Group::from_gid(gid).ok().flatten().map(|group| group.name);
            names.extend(group.map(|name| (name, "student", Kind::Name)));
            names.push((gid.to_string(), "1000", Kind::Number));
        }
        names.retain(|(real, shown, _)| !real.is_empty() && real != shown);
        Names(names)
    }

    /// The line as the book would have it.
    pub(super) fn in_the_book(&self, line: &str) -> Line {
        let mut text = line.to_owned();
        let mut shifted = false;
        // Marks first, so that what one name became is not taken for another one.
        for (n, (real, shown, kind)) in self.0.iter().enumerate() {
            let marked = replace(&text, real, &mark(n), *kind);
            shifted |= marked != text && real.chars().count() != shown.chars().count();
            text = marked;
        }
        for (n, (_, shown, _)) in self.0.iter().enumerate() {
            text = text.replace(&mark(n), shown);
        }
        Line { text, shifted }
    }
}

fn mark(n: usize) -> String {
    // A character that nobody prints: of the private use area.
    char::from_u32(0xE000 + n as u32).unwrap_or(' ').to_string()
}

/// Replaces whole words.
fn replace(text: &str, real: &str, by: &str, kind: Kind) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    let mut before = None;
    while let Some(at) = rest.find(real) {
        let (head, tail) = (&rest[..at], &rest[at + real.len()..]);
        before = head.chars().next_back().or(before);
        replaced += head;
        let whole = !joins_before(before, kind) && !joins_after(tail, kind);
        replaced += if whole { by } else { real };
        before = real.chars().next_back();
        rest = tail;
    }
    replaced + rest
}

fn joins_before(c: Option<char>, kind: Kind) -> bool {
    let joining = match kind {
        Kind::Path => "_-.",
        Kind::Name => "_-./",
        Kind::Number => "_.",
    };
    c.is_some_and(|c| c.is_alphanumeric() || joining.contains(c))
}

fn joins_after(tail: &str, kind: Kind) -> bool {
    let mut next = tail.chars();
    let (first, second) = (next.next(), next.next());
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    match (first, kind) {
        (Some('_'), _) => true,
        (Some('-'), Kind::Path | Kind::Name) => true,
        (Some('/'), Kind::Name) => true,
        // The end of a sentence, or the point of a longer name.
        (Some('.'), _) => letter(second),
        _ => letter(first),
    }
}
