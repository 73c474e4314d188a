//! The book, made by mdBook as a library: nobody needs it installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mdbook_driver::MDBook;
use mdbook_preprocessor::book::{Book, BookItem};
use mdbook_preprocessor::config::Config;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext, parse_input};

use crate::expand::Course;
use crate::listing;

/// Gives mdBook the expanded pages.
#[derive(Debug)]
struct Expand {
    pages: BTreeMap<PathBuf, String>,
}

impl Expand {
    fn new(course: &Course) -> Expand {
        let pages = course.pages.iter();
        Expand { pages: pages.map(|(path, page)| (path.into(), page.text.clone())).collect() }
    }
}

impl Preprocessor for Expand {
    fn name(&self) -> &str {
        "course"
    }

    fn run(
        &self,
        _: &PreprocessorContext,
        mut book: Book,
    ) -> mdbook_preprocessor::errors::Result<Book> {
        book.for_each_mut(|item| {
            if let BookItem::Chapter(chapter) = item
                && let Some(text) = chapter.source_path.as_ref().and_then(|p| self.pages.get(p))
            {
                chapter.content = text.clone();
            }
        });
        Ok(book)
    }
}

/// Makes the book of the tree at `top` in `dir`. What is wrong with its pages is shown
/// on them, and returned, with the links that lead nowhere.
pub fn build(top: &Path, dir: &Path) -> Result<Vec<String>> {
    let course = Course::load(top);
    let text = std::fs::read_to_string(top.join("book/book.toml")).context("reading book.toml")?;
    let mut config: Config = text.parse()?;
    // It names this preprocessor as a command, for mdBook's own program.
    config.set("preprocessor", BTreeMap::<String, String>::new())?;
    config.build.build_dir = std::path::absolute(dir)?;
    let summary = mdbook_summary::parse_summary(&course.tree.present())?;
    let mut book = MDBook::load_with_config_and_summary(top.join("book"), config, summary)?;
    book.with_preprocessor(Expand::new(&course));
    book.build()?;
    listing::write(&course, dir)?;
    let mut wrong = course.wrong();
    wrong.extend(crate::check::built::links(dir));
    Ok(wrong)
}

/// The preprocessor for mdBook's own program: a book comes in as JSON, and goes out.
pub fn preprocess(input: impl std::io::Read, output: impl std::io::Write) -> Result<()> {
    let (context, book) = parse_input(input)?;
    let top = context.root.parent().context("the book lies in a source tree")?;
    let course = Course::load(top);
    let wrong = course.wrong();
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let book = Expand::new(&course).run(&context, book)?;
    Ok(serde_json::to_writer(output, &book)?)
}
