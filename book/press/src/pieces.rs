//! A page, cut into what is treated differently.

/// A piece of a page, and the number of its first line.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind<'a>,
    /// All its lines, as they were written.
    pub lines: Vec<&'a str>,
}

/// What a piece is.
#[derive(Debug)]
pub enum Kind<'a> {
    /// Paragraphs, headings, lists, tables.
    Prose,
    /// A block between fences; what stands behind the first fence.
    Block(&'a str),
    /// Lines that begin with `>`.
    Quote,
    /// What stands between `{{#` and `}}`.
    Directive(&'a str),
    /// A block between fences that never ends.
    Open,
}

impl<'a> Piece<'a> {
    /// The lines of a block between its fences.
    pub fn body(&self) -> &[&'a str] {
        &self.lines[1..self.lines.len() - 1]
    }
}

/// The pieces of a page. Together their lines are the page.
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut all: Vec<Piece> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let line_number = number + 1;
        if let Some(info) = fence(line) {
            let mut piece = Piece { line: line_number, kind: Kind::Open, lines: vec![line] };
            for (_, inner) in lines.by_ref() {
                piece.lines.push(inner);
                if closes(line, inner) {
                    piece.kind = Kind::Block(info);
                    break;
                }
            }
            all.push(piece);
            continue;
        }
        let kind = match directive(line) {
            Some(directive) => Kind::Directive(directive),
            None if line.starts_with('>') => Kind::Quote,
            None => Kind::Prose,
        };
        match all.last_mut() {
            Some(last) if goes_on(last, &kind, line) => last.lines.push(line),
            _ => all.push(Piece { line: line_number, kind, lines: vec![line] }),
        }
    }
    all
}

/// Whether a line belongs to the piece before it. Each `> [!kind]` begins a box.
fn goes_on(last: &Piece, kind: &Kind, line: &str) -> bool {
    match (&last.kind, kind) {
        (Kind::Prose, Kind::Prose) => true,
        (Kind::Quote, Kind::Quote) => !line.starts_with("> [!"),
        _ => false,
    }
}

/// What stands behind an opening fence.
fn fence(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.starts_with("```").then(|| line.trim_start_matches('`').trim())
}

/// A closing fence is at least as long as the opening one, and nothing else.
fn closes(open: &str, line: &str) -> bool {
    let ticks = |line: &str| line.chars().take_while(|c| *c == '`').count();
    let (open, line) = (open.trim(), line.trim());
    ticks(line) >= ticks(open) && line.chars().all(|c| c == '`')
}

fn directive(line: &str) -> Option<&str> {
    line.strip_prefix("{{#")?.trim_end().strip_suffix("}}")
}
