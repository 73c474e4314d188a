//! A page as mdBook gets it: every directive, block and quote made into what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::anchors::{self, Excerpt};
use crate::attributes::attributes;
use crate::exercise::{self, Exercise};
use crate::figure::{self, Figure};
use crate::pieces::{Kind, Piece, pieces};
use crate::tree::{Page, Tree};
use crate::{glossary, html, listing, patch, prose, quote, rung, transcript};

/// All pages of a tree, expanded.
#[derive(Debug)]
pub struct Course {
    /// What was read.
    pub tree: Tree,
    /// The pages by their paths.
    pub pages: BTreeMap<String, Expanded>,
}

impl Course {
    /// Reads and expands all pages below `top`.
    pub fn load(top: &Path) -> Course {
        let tree = Tree::load(top);
        let pages = tree.pages.iter().map(|page| (page.path.clone(), expand(&tree, page)));
        let pages = pages.collect();
        Course { tree, pages }
    }

    /// What is wrong with the pages themselves, in their order.
    pub fn wrong(&self) -> Vec<String> {
        self.pages.values().flat_map(|page| page.wrong.clone()).collect()
    }
}

/// A page, expanded, and what it uses.
#[derive(Debug, Default)]
pub struct Expanded {
    /// Markdown for mdBook.
    pub text: String,
    /// Its lane and minutes.
    pub lane: Option<Lane>,
    /// What is wrong with it, a line each. It is shown on the page, too.
    pub wrong: Vec<String>,
    /// The excerpts: file, anchor, lines.
    pub excerpts: Vec<(String, String, Excerpt)>,
    /// Rungs, patches, exercises and figures that it shows: their files.
    pub shows: BTreeSet<String>,
    /// The sources that it links to.
    pub sources: BTreeSet<String>,
    /// How many transcripts it has, and how many of them are skipped.
    pub transcripts: (usize, usize),
}

/// A page's second line: which road it belongs to, and how long it takes.
#[derive(Clone, Debug)]
pub struct Lane {
    /// One of [`LANES`].
    pub name: &'static str,
    /// Nothing for front matter and appendices.
    pub minutes: Option<u32>,
}

/// The lanes and what stands at the head of a page; the first and the last have no limits.
pub const LANES: [(&str, &str); 6] = [
    ("front", ""),
    ("opening", "Opening"),
    ("core", "Core"),
    ("deeper", "Deeper: may be skipped"),
    ("closing", "Closing"),
    ("appendix", "Appendix: to look things up"),
];

impl Lane {
    /// Whether pages of this lane may be of any length.
    pub fn is_free(&self) -> bool {
        ["front", "appendix"].contains(&self.name)
    }
}

/// Expands a page.
pub fn expand(tree: &Tree, page: &Page) -> Expanded {
    let mut out = Out { tree, page, seen: BTreeSet::new(), made: Expanded::default() };
    let linked = prose::link(tree, page, &page.text, &mut out.seen);
    linked.wrong.into_iter().for_each(|(line, what)| out.wrong(line, what));
    out.made.sources = linked.sources;
    let text = match page.path == "glossary.md" {
        true => {
            tree.glossary.wrong.iter().for_each(|(line, what)| out.wrong(*line, what.clone()));
            glossary::first_forms(&linked.text)
        }
        false => linked.text,
    };
    let pieces = pieces(&text);
    out.head(&pieces);
    for piece in &pieces {
        out.piece(piece);
    }
    out.made
}

/// A page while it is expanded.
struct Out<'a> {
    tree: &'a Tree,
    page: &'a Page,
    seen: BTreeSet<String>,
    made: Expanded,
}

impl Out<'_> {
    fn wrong(&mut self, line: usize, what: String) {
        self.made.wrong.push(self.page.wrong(line, &what));
        self.made.text += &format!("\n<p class=\"wrong\">{line}: {}</p>\n\n", html::escape(&what));
    }

    fn put(&mut self, text: &str) {
        self.made.text += text;
        self.made.text.push('\n');
    }

    /// A page begins with its title, an empty line, and its lane.
    fn head(&mut self, pieces: &[Piece]) {
        let lines: Vec<&str> = self.page.text.lines().take(3).collect();
        let title = lines.first().is_some_and(|line| line.starts_with("# "));
        if !title || lines.get(1) != Some(&"") {
            self.wrong(1, "a page begins `# Title` and an empty line".to_owned());
        }
        let lane =
            |piece: &&Piece| matches!(piece.kind, Kind::Directive(d) if d.starts_with("page "));
        let mut lanes = pieces.iter().filter(lane);
        match lanes.next() {
            Some(piece) if piece.line == 3 => {}
            _ => self.wrong(3, "the third line says the lane: {{#page core 20}}".to_owned()),
        }
        if let Some(second) = lanes.next() {
            self.wrong(second.line, "a second {{#page}}".to_owned());
        }
    }

    fn piece(&mut self, piece: &Piece) {
        match piece.kind {
            Kind::Prose => self.put(&piece.lines.join("\n")),
            Kind::Quote => match quote::render(&piece.lines) {
                Ok(text) => self.put(&(text + "\n")),
                Err(what) => self.wrong(piece.line, what),
            },
            Kind::Open => self.wrong(piece.line, "a block has no end".to_owned()),
            Kind::Block(info) => self.block(piece, info),
            Kind::Directive(text) => match self.directive(text.trim()) {
                Ok(text) => self.put(&format!("\n{text}\n")),
                Err(what) => self.wrong(piece.line, what),
            },
        }
    }

    fn block(&mut self, piece: &Piece, info: &str) {
        let (language, about) = info.split_once([' ', ',']).unwrap_or((info, ""));
        match language {
            "console" => self.transcript(piece, about),
            "rust" | "rs" => {
                self.wrong(piece.line, "Rust typed by hand: use {{#excerpt}}".to_owned());
            }
            "sh" | "bash" | "shell" if !self.is_free() => {
                let what = format!("a {language} block is not run: make it a console block");
                self.wrong(piece.line, what);
            }
            _ => self.put(&piece.lines.join("\n")),
        }
    }

    fn is_free(&self) -> bool {
        self.made.lane.as_ref().is_some_and(Lane::is_free)
    }

    fn transcript(&mut self, piece: &Piece, about: &str) {
        if !piece.lines[0].starts_with("```") {
            self.wrong(piece.line, "a transcript begins at the start of the line".to_owned());
            return;
        }
        match transcript::render(about, piece.body()) {
            Ok(text) => self.put(&(text + "\n")),
            Err(all) => {
                all.into_iter().for_each(|(line, what)| self.wrong(piece.line + line, what));
            }
        }
        self.made.transcripts.0 += 1;
        let skipped = transcript::Attributes::read(about).is_ok_and(|about| about.skip.is_some());
        self.made.transcripts.1 += usize::from(skipped);
    }

    fn directive(&mut self, text: &str) -> Result<String, String> {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        match name {
            "page" => self.lane(rest),
            "excerpt" => self.excerpt(rest),
            "rung" => self.rung(rest),
            "without" => self.without(rest),
            "exercise" => self.exercise(rest),
            "figure" => self.figure(rest),
            _ => Err(format!("no directive {name:?}: page excerpt rung without exercise figure")),
        }
    }

    fn lane(&mut self, text: &str) -> Result<String, String> {
        let all = attributes(text)?;
        let mut words = all.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key);
        let word = words.next().map_or("", String::as_str);
        let (name, title) = *LANES.iter().find(|(name, _)| *name == word).ok_or_else(|| {
            format!("no lane {word:?}: {}", LANES.map(|(name, _)| name).join(" "))
        })?;
        let minutes = match words.next() {
            None => None,
            Some(word) => Some(word.parse().map_err(|_| format!("no minutes: {word:?}"))?),
        };
        let needs = all.iter().find(|(key, _)| key == "needs").and_then(|(_, value)| value.clone());
        let strange = all.iter().find(|(key, value)| value.is_some() && key != "needs");
        if let Some((key, _)) = strange {
            return Err(format!("no attribute {key:?} of a page"));
        }
        let lane = Lane { name, minutes };
        if minutes.is_none() && !lane.is_free() {
            return Err(format!("a {name} page says its minutes"));
        }
        self.made.lane = Some(lane);
        let about = [
            Some(title.to_owned()).filter(|title| !title.is_empty()),
            minutes.map(|minutes| format!("{minutes} minutes")),
            needs.map(|needs| format!("needs {}", html::escape(&needs))),
        ];
        let about: Vec<String> = about.into_iter().flatten().collect();
        Ok(match about.is_empty() {
            true => String::new(),
            false => format!("<p class=\"lane lane-{name}\">{}</p>", about.join(" · ")),
        })
    }

    /// The folder of this page's crate.
    fn folder(&self) -> Result<String, String> {
        self.page.folder().ok_or("this page belongs to no chapter".to_owned())
    }

    /// The text of a file that is named on this page.
    fn text(&self, file: &str) -> Result<String, String> {
        self.tree.text(file).ok_or(format!("no file {file}"))
    }

    /// The address of a source's listing, as seen from this page.
    fn source(&mut self, file: &str, line: Option<usize>) -> String {
        self.made.sources.insert(file.to_owned());
        format!("{}{}", self.page.up(), listing::address(file, line))
    }

    fn excerpt(&mut self, text: &str) -> Result<String, String> {
        let (path, name) = text.split_once(':').ok_or(format!("{text} has no anchor"))?;
        let file = match path.strip_prefix('/') {
            Some(file) => file.to_owned(),
            None => format!("{}/{path}", self.folder()?),
        };
        let excerpt = anchors::cut(&self.text(&file)?, name).map_err(|e| format!("{file}: {e}"))?;
        let address = self.source(&file, Some(excerpt.first));
        let lines = match excerpt.first == excerpt.last {
            true => format!("line {}", excerpt.first),
            false => format!("lines {}–{}", excerpt.first, excerpt.last),
        };
        let language = if file.ends_with(".rs") { "rust,ignore" } else { "text" };
        let shown = format!(
            "<div class=\"excerpt\">\n\n```{language}\n{}\n```\n\n<p class=\"caption\">\
             <a href=\"{address}\">{file}, {lines}</a></p>\n\n</div>",
            excerpt.lines.join("\n"),
        );
        self.made.excerpts.push((file, name.to_owned(), excerpt));
        Ok(shown)
    }

    fn rung(&mut self, number: &str) -> Result<String, String> {
        let file = rung::file(&self.folder()?, number);
        let text = self.text(&file)?;
        let address = self.source(&file, None);
        let name = format!("{}.{number}", self.page.number().unwrap_or("?"));
        self.made.shows.insert(file);
        rung::render(&text, &name, &address)
    }

    fn without(&mut self, name: &str) -> Result<String, String> {
        let file = patch::file(&self.folder()?, name);
        let text = self.text(&file)?;
        self.made.shows.insert(file);
        patch::render(&text, &format!("{}.{name}", self.page.number().unwrap_or("?")))
    }

    fn exercise(&mut self, number: &str) -> Result<String, String> {
        let file = exercise::file(self.tree, self.page, number)?;
        let text = self.text(&file)?;
        self.made.shows.insert(file.clone());
        let place = |(line, what): (usize, String)| format!("{file}:{line}: {what}");
        let join = |all: Vec<_>| all.into_iter().map(place).collect::<Vec<_>>().join("; ");
        let exercise = Exercise::read(self.tree, &text).map_err(join)?;
        let linked = prose::link(self.tree, self.page, &exercise.task, &mut self.seen);
        if !linked.wrong.is_empty() {
            let from_file = |(line, what)| (line + exercise.task_line - 1, what);
            return Err(join(linked.wrong.into_iter().map(from_file).collect()));
        }
        Ok(exercise.render(number, &linked.text))
    }

    fn figure(&mut self, name: &str) -> Result<String, String> {
        let file = figure::file(name);
        let svg = self.tree.text(&file).ok_or(figure::missing(name))?;
        self.made.shows.insert(file.clone());
        let figure = Figure::read(&svg).map_err(|all| format!("{file}: {}", all.join("; ")))?;
        Ok(figure.render(&prose::anchor_of(name)))
    }
}
