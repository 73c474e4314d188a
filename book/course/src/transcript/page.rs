//! A page's `console` blocks: where they are, what they need, what may differ.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::classes::Differs;
use super::needs;
use super::step::{self, Step};

/// One transcript of a page.
#[derive(Debug, Clone)]
pub struct Block {
    /// The page's name: `01-clone/gate`.
    pub page: String,
    /// Its file.
    pub file: PathBuf,
    /// Which transcript of its page it is, from 1.
    pub ordinal: usize,
    /// The line of the fence, from 1.
    pub line: usize,
    /// What it takes to run it: words of [`needs::WORDS`], or `program:NAME`.
    pub needs: Vec<String>,
    /// What may differ from the page.
    pub differs: Vec<Differs>,
    /// Why it is not run at all.
    pub skip: Option<String>,
    /// What is typed, and what it answers.
    pub steps: Vec<Step>,
    /// Its lines in the file, without the fences, from 0.
    pub(super) body: Range<usize>,
}

impl Block {
    /// `01-clone/gate #2`.
    pub fn name(&self) -> String {
        format!("{} #{}", self.page, self.ordinal)
    }

    /// Whether it compiles something, so that there must be a cargo. `cargo x run` and its
    /// like do not, where the programs are built already.
    pub fn builds(&self) -> bool {
        self.steps.iter().filter_map(Step::command).any(|command| {
            let words: Vec<&str> = command.split_whitespace().collect();
            let cargo = words.iter().position(|word| *word == "cargo");
            cargo.is_some_and(|at| match words[at + 1..] {
                ["x", "run", ..] => words.contains(&"--mine"),
                ["x", verb, ..] => !READY.contains(&verb),
                _ => true,
            })
        })
    }

    /// Why it cannot be run here, by a short look.
    pub fn missing(&self) -> Option<String> {
        let skipped = self.skip.iter().map(|why| format!("skipped: {why}"));
        let words = self.needs.iter().filter(|need| *need != "cargo").map(String::as_str);
        let cargo = Some("cargo").filter(|_| self.builds());
        skipped.chain(words.chain(cargo).filter_map(needs::missing)).next()
    }
}

/// The commands of `cargo x` that compile nothing where all is built.
const READY: [&str; 5] = ["rootfs", "lab", "rung", "clean", "--help"];

/// All pages of a book's `src`, sorted: name and file.
pub fn pages(source: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut pages = Vec::new();
    let mut folders = vec![source.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                let name = path.strip_prefix(source)?.with_extension("");
                pages.push((name.to_string_lossy().into_owned(), path));
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// The transcripts of a page. An error names the file and the line.
pub fn blocks(page: &str, file: &Path) -> Result<Vec<Block>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    parse(page, file, &text)
}

/// As [`blocks`], from the page's text.
pub fn parse(page: &str, file: &Path, text: &str) -> Result<Vec<Block>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let here = || format!("{}:{}", file.display(), at + 1);
        let Some(fence) = Fence::open(lines[at]) else {
            at += 1;
            continue;
        };
        let end = fence.close(&lines[at + 1..]).map(|n| at + 1 + n);
        let end = end.with_context(|| format!("{}: the block has no end", here()))?;
        if fence.is_console() {
            ensure!(
                fence.margin.is_empty(),
                "{}: a transcript stands at the margin, outside of quotes and lists",
                here()
            );
            let mut block = Block {
                page: page.into(),
                file: file.into(),
                ordinal: blocks.len() + 1,
                line: at + 1,
                needs: Vec::new(),
                differs: Vec::new(),
                skip: None,
                steps: Vec::new(),
                body: at + 1..end,
            };
            attributes(&mut block, fence.info).with_context(here)?;
            block.steps = step::parse(&lines[block.body.clone()], at + 2)
                .with_context(|| file.display().to_string())?;
            blocks.push(block);
        }
        at = end + 1;
    }
    Ok(blocks)
}

/// The line that begins a fenced block: "```console needs=root".
struct Fence<'a> {
    margin: &'a str,
    ticks: usize,
    info: &'a str,
}

impl<'a> Fence<'a> {
    fn open(line: &'a str) -> Option<Fence<'a>> {
        let begin = line.find('`')?;
        let (margin, rest) = line.split_at(begin);
        let info = rest.trim_start_matches('`');
        let ticks = rest.len() - info.len();
        let quoted = margin.chars().all(|c| c == ' ' || c == '>');
        (ticks >= 3 && quoted && !info.contains('`')).then_some(Fence { margin, ticks, info })
    }

    /// How many lines there are before the one that closes the block.
    fn close(&self, lines: &[&str]) -> Option<usize> {
        lines.iter().position(|line| {
            let line = line.trim_start_matches([' ', '>']).trim_end();
            line.len() >= self.ticks && line.bytes().all(|b| b == b'`')
        })
    }

    fn is_console(&self) -> bool {
        self.info.trim().split([' ', ',']).next() == Some("console")
    }
}

fn attributes(block: &mut Block, info: &str) -> Result<()> {
    for word in words(info)?.iter().skip(1) {
        let Some((name, value)) = word.split_once('=') else {
            bail!("the attribute {word} has no value");
        };
        let mut list = value.split(',').map(str::trim);
        match name {
            "needs" => {
                block.needs = list.map(needs::known).collect::<Result<_>>()?;
            }
            "differs" => {
                block.differs =
                    list.try_fold(Vec::new(), |mut all, word| -> Result<Vec<Differs>> {
                        all.push(Differs::named(word)?);
                        Ok(all)
                    })?;
            }
            "skip" => {
                ensure!(!value.is_empty(), "skip= wants a reason");
                block.skip = Some(value.into());
            }
            _ => bail!("unknown attribute {name}: there are needs=, differs= and skip="),
        }
    }
    Ok(())
}

/// Words, divided by spaces outside of double quotes; the quotes are taken off.
fn words(info: &str) -> Result<Vec<String>> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in info.trim().chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is one").push(c),
        }
    }
    ensure!(!quoted, "a quote is not closed: {info}");
    Ok(words.into_iter().filter(|w| !w.is_empty()).collect())
}
