//! The page's output and the real one, line by line.

use std::collections::HashMap;

use super::classes::{Differs, Shape, single_spaces};

/// A line of what really came.
#[derive(Debug, Clone)]
pub struct Line {
    /// With the page's names for user, host and directories.
    pub text: String,
    /// A name had another length than the page's: columns may be shifted.
    pub shifted: bool,
}

/// Which real process, id or inode the page's stands for, as far as they were seen.
#[derive(Debug, Clone, Default)]
pub struct Bindings {
    real: HashMap<(Differs, String), String>,
    page: HashMap<(Differs, String), String>,
}

impl Bindings {
    /// Whether the page's text may stand for the real one; if so it does from now on.
    /// The same stands for the same, and different inodes and ids stay different.
    fn bind(&mut self, class: Differs, page: &str, real: &str) -> bool {
        if !matches!(class, Differs::Pids | Differs::Ids | Differs::Inodes) {
            return true;
        }
        let known = self.real.entry((class, page.into())).or_insert_with(|| real.into());
        if known != real {
            return false;
        }
        let known = self.page.entry((class, real.into())).or_insert_with(|| page.into());
        known == page || class == Differs::Pids
    }

    /// A path or a size may hold a pid as well: so it is taken, unless one is known.
    fn bind_within(&mut self, class: Differs, page: &str, real: &str) {
        if !matches!(class, Differs::Paths | Differs::Sizes) {
            return;
        }
        let pids = |text| Shape::of(text, &[Differs::Pids]).places;
        let (here, there) = (pids(page), pids(real));
        if here.len() != there.len() {
            return;
        }
        for ((_, here), (_, there)) in here.into_iter().zip(there) {
            // Small numbers are counts.
            if here.len() > 2 {
                self.bind(Differs::Pids, &page[here], &real[there]);
            }
        }
    }

    /// A typed line with the real numbers in the place of the page's.
    pub fn to_real(&self, text: &str) -> String {
        replace(text, &self.real)
    }

    /// A line of output with the page's numbers, where the page has some.
    pub fn to_page(&self, text: &str) -> String {
        replace(text, &self.page)
    }
}

fn replace(text: &str, map: &HashMap<(Differs, String), String>) -> String {
    let classes = [Differs::Ids, Differs::Inodes, Differs::Pids];
    let mut replaced = String::new();
    let mut from = 0;
    for (class, range) in Shape::of(text, &classes).places {
        let word = &text[range.clone()];
        replaced += &text[from..range.start];
        replaced += map.get(&(class, word.to_owned())).map_or(word, String::as_str);
        from = range.end;
    }
    replaced + &text[from..]
}

/// How a line came through the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// The page's line stands.
    Same(String),
    /// The page's line did not come.
    Missing(String),
    /// This came, and is not on the page.
    Extra(String),
}

/// A line as both sides are compared: tabs as a terminal shows them, no spaces at the end.
pub fn flat(line: &str) -> String {
    let mut flat = String::new();
    let mut column = 0;
    for c in line.chars() {
        let width = if c == '\t' { 8 - column % 8 } else { 1 };
        column += width;
        if c == '\t' { flat.extend(std::iter::repeat_n(' ', width)) } else { flat.push(c) }
    }
    flat.trim_end().to_owned()
}

/// Compares, and binds what may differ. All [`Edit::Same`] means: as on the page.
pub fn compare(
    page: &[String],
    real: &[Line],
    classes: &[Differs],
    bindings: &mut Bindings,
) -> Vec<Edit> {
    if classes.contains(&Differs::Lines) && same_groups(page, real, classes, bindings) {
        return page.iter().cloned().map(Edit::Same).collect();
    }
    let mut edits = Vec::new();
    for pair in aligned(page, real, classes) {
        match pair {
            (Some(p), Some(r)) if bound(&page[p], &real[r].text, classes, bindings) => {
                edits.push(Edit::Same(page[p].clone()));
            }
            (p, r) => {
                edits.extend(p.map(|p| Edit::Missing(page[p].clone())));
                edits.extend(r.map(|r| Edit::Extra(real[r].text.clone())));
            }
        }
    }
    edits
}

/// Whether a line may stand for another one. Where a number or a name may have another
/// width, columns shift, and so do their headings.
fn alike(page: &str, real: &Line, classes: &[Differs]) -> bool {
    let page = flat(page).replace("/home/student/", "~/");
    let (one, other) = (Shape::of(&page, classes), Shape::of(&flat(&real.text), classes));
    one.text == other.text
        || ((real.shifted || !classes.is_empty())
            && single_spaces(&one.text) == single_spaces(&other.text))
}

/// Binds all places of two lines that are alike; false if one stood for something else.
fn bound(page: &str, real: &str, classes: &[Differs], bindings: &mut Bindings) -> bool {
    let (page, real) = (flat(page), flat(real));
    let (one, other) = (Shape::of(&page, classes), Shape::of(&real, classes));
    let mut trial = bindings.clone();
    let fits = one.places.iter().zip(&other.places).all(|((class, here), (_, there))| {
        let (here, there) = (&page[here.clone()], &real[there.clone()]);
        if classes.contains(&Differs::Pids) {
            trial.bind_within(*class, here, there);
        }
        trial.bind(*class, here, there)
    });
    if fits {
        *bindings = trial;
    }
    fits
}

/// The longest common sequence: pairs of indices, with what has no partner between.
fn aligned(
    page: &[String],
    real: &[Line],
    classes: &[Differs],
) -> Vec<(Option<usize>, Option<usize>)> {
    let same = |p: usize, r: usize| alike(&page[p], &real[r], classes);
    let mut longest = vec![vec![0; real.len() + 1]; page.len() + 1];
    for p in (0..page.len()).rev() {
        for r in (0..real.len()).rev() {
            longest[p][r] = if same(p, r) {
                longest[p + 1][r + 1] + 1
            } else {
                longest[p + 1][r].max(longest[p][r + 1])
            };
        }
    }
    let (mut p, mut r) = (0, 0);
    let mut pairs = Vec::new();
    while p < page.len() && r < real.len() {
        if same(p, r) {
            pairs.push((Some(p), Some(r)));
            (p, r) = (p + 1, r + 1);
        } else if longest[p + 1][r] >= longest[p][r + 1] {
            pairs.push((Some(p), None));
            p += 1;
        } else {
            pairs.push((None, Some(r)));
            r += 1;
        }
    }
    pairs.extend((p..page.len()).map(|p| (Some(p), None)));
    pairs.extend((r..real.len()).map(|r| (None, Some(r))));
    pairs
}

/// For `lines`: each run of lines of one shape on the page is one or more of that shape.
fn same_groups(
    page: &[String],
    real: &[Line],
    classes: &[Differs],
    bindings: &mut Bindings,
) -> bool {
    let real: Vec<String> = real.iter().map(|line| line.text.clone()).collect();
    if outlines(page, classes) != outlines(&real, classes) {
        return false;
    }
    // What is the same line in both is bound as usual: the shell's own in `ps`, say.
    for line in page {
        let shape = Shape::of(&flat(line), classes).text;
        let partner = real.iter().find(|r| Shape::of(&flat(r), classes).text == shape);
        if let Some(partner) = partner {
            bound(line, partner, classes, bindings);
        }
    }
    true
}

fn outlines(lines: &[String], classes: &[Differs]) -> Vec<String> {
    let mut all: Vec<String> = lines.iter().map(|line| outline(line, classes)).collect();
    all.dedup();
    all
}

/// What counts as the shape of one line among many: its columns, number or word, if there
/// is a number; else the line itself. Words at the end are one: a command and its arguments.
fn outline(line: &str, classes: &[Differs]) -> String {
    let line = flat(line);
    let shape = Shape::of(&line, classes).text;
    let number = |word: &str| word.bytes().all(|b| b.is_ascii_digit() || b":.".contains(&b));
    let mut columns: Vec<&str> =
        line.split_whitespace().map(|word| if number(word) { "9" } else { "a" }).collect();
    if !columns.contains(&"9") {
        return single_spaces(&shape);
    }
    while columns.ends_with(&["a", "a"]) {
        columns.pop();
    }
    columns.join(" ")
}
