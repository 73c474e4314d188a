//! Prose: bold terms and man pages become links, and every link leads somewhere.
//!
//! All changes are made inside of lines, so that line numbers stay what they were.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::glossary::anchor;
use crate::pieces::{Kind, pieces};
use crate::tree::{Page, Tree, plain};
use crate::{listing, manual};

/// A text with its links, and what was found on the way.
#[derive(Debug, Default)]
pub struct Linked {
    /// The text, line for line.
    pub text: String,
    /// What is wrong: the line and what.
    pub wrong: Vec<(usize, String)>,
    /// The files of the source tree that it links to.
    pub sources: BTreeSet<String>,
}

/// As mdBook reads Markdown, but for typographical quotes.
fn parser(text: &str) -> Parser<'_> {
    let tables = Options::ENABLE_TABLES | Options::ENABLE_DEFINITION_LIST;
    let rest = Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
    let rest = rest | Options::ENABLE_TASKLISTS | Options::ENABLE_HEADING_ATTRIBUTES;
    Parser::new_ext(text, tables | rest)
}

/// Links what a text of this page names. `seen` are the terms that have their link.
pub fn link(tree: &Tree, page: &Page, text: &str, seen: &mut BTreeSet<String>) -> Linked {
    let mut pen = Pen {
        tree,
        page,
        text,
        seen,
        edits: Vec::new(),
        linked: Linked::default(),
        unlinkable: 0,
        in_a_block: false,
        bold: None,
        run: None,
    };
    for (event, range) in parser(text).into_offset_iter() {
        pen.event(event, range);
    }
    pen.run_ends();
    pen.finish()
}

/// What is known while a text is read.
struct Pen<'a> {
    tree: &'a Tree,
    page: &'a Page,
    text: &'a str,
    seen: &'a mut BTreeSet<String>,
    /// What is put in place of what.
    edits: Vec<(Range<usize>, String)>,
    linked: Linked,
    /// How many headings and links we are inside of.
    unlinkable: usize,
    /// Blocks are not ours: their text is shown as it is.
    in_a_block: bool,
    /// The words of the bold text that we are in.
    bold: Option<String>,
    /// Text that stands together, cut by the parser at characters such as `_`.
    run: Option<Range<usize>>,
}

impl Pen<'_> {
    fn event(&mut self, event: Event, range: Range<usize>) {
        if let Event::Text(text) = &event {
            self.bold.iter_mut().for_each(|bold| *bold += text);
            match &mut self.run {
                Some(run) if run.end == range.start => run.end = range.end,
                _ => {
                    self.run_ends();
                    self.run = Some(range);
                }
            }
            return;
        }
        self.run_ends();
        match event {
            Event::Start(Tag::Strong) => self.bold = Some(String::new()),
            Event::End(TagEnd::Strong) => self.bold_ends(range),
            Event::Code(code) => {
                self.bold.iter_mut().for_each(|bold| *bold += &code);
                if let [(found, name, section)] = &manual::mentions(&code)[..]
                    && *found == (0..code.len())
                {
                    self.man_page(range, name, section);
                }
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                self.target(&dest_url, range);
                self.unlinkable += 1;
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                if matches!(kind, CodeBlockKind::Indented) {
                    self.wrong(range.start, "an indented block: put it between fences".into());
                }
                self.in_a_block = true;
            }
            Event::End(TagEnd::CodeBlock) => self.in_a_block = false,
            Event::Start(Tag::Heading { .. } | Tag::DefinitionListTitle) => self.unlinkable += 1,
            Event::End(TagEnd::Link | TagEnd::Heading(_) | TagEnd::DefinitionListTitle) => {
                self.unlinkable -= 1;
            }
            Event::Html(html) if html.contains("<pre") || html.contains("<code") => {
                self.wrong(range.start, "a block typed as HTML".into());
            }
            Event::SoftBreak | Event::HardBreak => {
                self.bold.iter_mut().for_each(|bold| bold.push(' '));
            }
            _ => {}
        }
    }

    /// Looks for man pages in text that stands together.
    fn run_ends(&mut self) {
        let Some(run) = self.run.take() else { return };
        let text = &self.text[run.clone()];
        if self.in_a_block {
            return;
        }
        for (at, _) in text.match_indices("{{#") {
            let line = self.text[..run.start + at].rfind('\n').map_or(0, |at| at + 1);
            if line < run.start + at {
                self.wrong(run.start, "a directive stands alone on its line".into());
            }
        }
        let found = manual::mentions(text).into_iter();
        let found: Vec<_> = found
            .map(|(at, name, section)| {
                (run.start + at.start..run.start + at.end, name.to_owned(), section.to_owned())
            })
            .collect();
        for (range, name, section) in found {
            self.man_page(range, &name, &section);
        }
    }

    fn man_page(&mut self, range: Range<usize>, name: &str, section: &str) {
        match manual::address(name, section) {
            Ok(_) if self.unlinkable > 0 => {}
            Ok(address) => {
                let text = format!("[{}]({address})", &self.text[range.clone()]);
                self.edits.push((range, text));
            }
            Err(what) => self.wrong(range.start, what),
        }
    }

    /// A bold term is linked where it first stands; a run-in heading ends in a full stop.
    fn bold_ends(&mut self, range: Range<usize>) {
        let Some(term) = self.bold.take() else { return };
        if term.ends_with('.') {
            return;
        }
        let Some(entry) = self.tree.glossary.anchor(&term) else {
            self.wrong(range.start, format!("the glossary lacks {term:?}"));
            return;
        };
        let here = self.page.path == "glossary.md";
        if self.unlinkable == 0 && !here && self.seen.insert(entry.to_owned()) {
            let address = format!("{}glossary.md#{entry}", self.page.up());
            // A link may not stand in a link: man pages inside of the term stay text.
            self.edits.retain(|(edit, _)| edit.start < range.start || edit.end > range.end);
            self.edits.push((range.clone(), format!("[{}]({address})", &self.text[range])));
        }
    }

    /// A relative link leads to a page and a heading, or to a file of the source tree.
    fn target(&mut self, target: &str, range: Range<usize>) {
        if target.contains("://") || target.starts_with("mailto:") {
            return;
        }
        let (path, heading) = target.split_once('#').unwrap_or((target, ""));
        let file = match path {
            "" => Some(Path::new("book/src").join(&self.page.path)),
            path => {
                let folder = Path::new("book/src").join(&self.page.path);
                plain(&folder.parent().unwrap_or(Path::new("")).join(path))
            }
        };
        let exists = |file: &&std::path::PathBuf| self.tree.top.join(file).is_file();
        let Some(file) = file.as_ref().filter(exists) else {
            self.wrong(range.start, format!("{target} leads nowhere"));
            return;
        };
        let file = file.display().to_string();
        match file.strip_prefix("book/src/") {
            None => self.link_source(&file, target, range),
            Some(_) if heading.is_empty() => {}
            Some(path) => {
                let there = self.tree.page(path).map(|page| anchors(&page.text));
                if !there.unwrap_or_default().contains(heading) {
                    self.wrong(range.start, format!("{target} is no heading there"));
                }
            }
        }
    }

    /// A link to a source becomes one to its listing in the book.
    fn link_source(&mut self, file: &str, target: &str, range: Range<usize>) {
        let text = &self.text[range.clone()];
        let Some(at) = text.rfind(&format!("]({target}")) else {
            self.wrong(range.start, format!("write the link to {target} as [text](path)"));
            return;
        };
        let start = range.start + at + 2;
        let address = format!("{}{}", self.page.up(), listing::address(file, None));
        self.edits.push((start..start + target.len(), address));
        self.linked.sources.insert(file.to_owned());
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    fn wrong(&mut self, at: usize, what: String) {
        let line = self.line(at);
        self.linked.wrong.push((line, what));
    }

    fn finish(mut self) -> Linked {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut text = self.text.to_owned();
        for (range, new) in self.edits.iter().rev() {
            text.replace_range(range.clone(), new);
        }
        self.linked.text = text;
        self.linked
    }
}

/// The ids of a page: its headings, terms, exercises and figures.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for piece in pieces(text) {
        if let Kind::Directive(directive) = piece.kind {
            match directive.split_once(' ') {
                Some(("exercise", name)) => all.insert(format!("exercise-{}", anchor_of(name))),
                Some(("figure", name)) => all.insert(format!("figure-{}", anchor_of(name))),
                _ => false,
            };
        }
    }
    let mut title = None;
    let text = crate::glossary::first_forms(text);
    for event in parser(&text) {
        match event {
            Event::Start(Tag::Heading { id: Some(id), .. }) => drop(all.insert(id.to_string())),
            Event::Start(Tag::Heading { .. } | Tag::DefinitionListTitle) => {
                title = Some(String::new());
            }
            Event::Text(text) | Event::Code(text) => title.iter_mut().for_each(|t| *t += &text),
            Event::End(TagEnd::Heading(_) | TagEnd::DefinitionListTitle) => {
                all.extend(title.take().map(|title| unique(&anchor(&title), &all)));
            }
            _ => {}
        }
    }
    all
}

/// The id of what a directive names: `01.2` is `01-2`.
pub fn anchor_of(name: &str) -> String {
    name.trim().replace('.', "-")
}

/// As mdBook does it: the second `steps` is `steps-1`.
fn unique(id: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (1..).map(|number| format!("{id}-{number}"));
    let mut all = std::iter::once(id.to_owned()).chain(numbered);
    all.find(|id| !taken.contains(id)).unwrap_or_default()
}

/// How many words of prose a text has: all but blocks and directives.
pub fn words(text: &str) -> usize {
    let mut prose = String::new();
    for piece in pieces(text) {
        if matches!(piece.kind, Kind::Prose | Kind::Quote) {
            prose += &piece.lines.join("\n");
        }
        prose += "\n\n";
    }
    let mut plain = String::new();
    for event in parser(&prose) {
        match event {
            Event::Text(text) | Event::Code(text) => plain += &text,
            Event::Start(Tag::Strong | Tag::Emphasis | Tag::Link { .. })
            | Event::End(TagEnd::Strong | TagEnd::Emphasis | TagEnd::Link) => {}
            _ => plain.push(' '),
        }
    }
    // The kind of a box, `[!predict]`, is no word.
    plain.split_whitespace().filter(|word| !word.starts_with("[!")).count()
}

/// The code spans of a text.
pub fn code_spans(text: &str) -> Vec<String> {
    let code = parser(text).filter_map(|event| match event {
        Event::Code(code) => Some(code.to_string()),
        _ => None,
    });
    code.collect()
}
