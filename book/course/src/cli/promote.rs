//! `cargo x promote`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use course::transcript::{self, Bench, Block, Played};

/// Show how transcripts differ from what happens here, and accept it
#[derive(Args, Debug)]
pub struct PromoteArgs {
    /// Only this page: 01-clone/gate
    pub page: Option<String>,
    /// Accept all without being asked
    #[arg(long)]
    pub yes: bool,
    /// Accept nothing: exit status 1 if something differs
    #[arg(long, conflicts_with = "yes")]
    pub check: bool,
}

/// How long one command may take, and one that builds.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_TO_BUILD: Duration = Duration::from_secs(300);

/// Runs it; the exit status.
pub fn promote(args: PromoteArgs) -> Result<u8> {
    let tree = course::tree();
    let mut sum = Sum::default();
    let bench = bench(&tree)?;
    for (page, file) in pages(&tree, args.page.as_deref())? {
        for block in transcript::blocks(&page, &file)? {
            one(&block, &bench, &args, &mut sum)?;
        }
    }
    println!("{} of {} transcripts ran here.", sum.ran, sum.all);
    if sum.open > 0 {
        println!("{} of them are not as on the page.", sum.open);
    }
    Ok(u8::from(sum.open > 0))
}

#[derive(Default)]
struct Sum {
    all: usize,
    ran: usize,
    /// Not true, and not accepted.
    open: usize,
}

/// Runs a block and has it accepted.
fn one(block: &Block, bench: &Bench, args: &PromoteArgs, sum: &mut Sum) -> Result<()> {
    sum.all += 1;
    let name = block.name();
    if let Some(reason) = block.missing() {
        println!("{name}: not run here: {reason}");
        return Ok(());
    }
    let played = transcript::play(block, &patient(bench, block))?;
    sum.ran += 1;
    if played.is_true() {
        println!("{name}: as on the page");
        return Ok(());
    }
    println!("{name}:");
    print!("{}", transcript::report(block, &played));
    if accept(block, &played, args)? {
        transcript::write(block, &transcript::accepted(block, &played))?;
        println!("{name}: accepted");
    } else {
        sum.open += 1;
    }
    Ok(())
}

/// Whether the page shall have what came.
fn accept(block: &Block, played: &Played, args: &PromoteArgs) -> Result<bool> {
    if args.check {
        return Ok(false);
    }
    if played.stopped.is_some() || !played.leaks.is_empty() {
        println!("{}: this cannot be accepted, only mended", block.name());
        return Ok(false);
    }
    if args.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        println!("{}: not accepted; `--yes` accepts it", block.name());
        return Ok(false);
    }
    print!("Accept it? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// All pages of the book, or one: by its name, or by its file.
fn pages(tree: &Path, only: Option<&str>) -> Result<Vec<(String, PathBuf)>> {
    let source = tree.join("book/src");
    let Some(name) = only else { return transcript::pages(&source) };
    let name = name.trim_end_matches(".md");
    let name = name.trim_start_matches("book/src/");
    let named = format!("{name}.md");
    let file = [source.join(&named), PathBuf::from(&named)].into_iter().find(|f| f.is_file());
    let file = file.with_context(|| format!("there is no page {name} in {}", source.display()))?;
    Ok(vec![(name.to_owned(), file)])
}

/// Everything is built before, once.
fn bench(tree: &Path) -> Result<Bench> {
    Ok(Bench {
        x: std::env::current_exe().context("where this program lies")?,
        programs: Some(course::programs::build_all()?),
        tree: tree.to_path_buf(),
        patience: PATIENCE,
    })
}

fn patient(bench: &Bench, block: &Block) -> Bench {
    let scale = std::env::var("DOCKSTER_TEST_SCALE").ok().and_then(|s| s.parse().ok());
    let patience = if block.builds() { PATIENCE_TO_BUILD } else { PATIENCE };
    Bench { patience: patience * scale.unwrap_or(1), ..bench.clone() }
}
