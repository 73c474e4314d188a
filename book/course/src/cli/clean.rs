//! `cargo x clean`.

use anyhow::Result;
use clap::Args;
use course::clean;

/// Take away what the course made outside of target and mine
#[derive(Args, Debug)]
pub struct CleanArgs {
    /// Also take back what `doctor --fix` changed
    #[arg(long)]
    pub host: bool,
}

/// Runs it; the exit status.
pub fn clean(args: CleanArgs) -> Result<u8> {
    let cleaned = clean::clean();
    for what in &cleaned.removed {
        println!("removed: {what}");
    }
    if cleaned.removed.is_empty() && cleaned.failed.is_empty() {
        println!("Nothing is left of labs and programs.");
    }
    for error in &cleaned.failed {
        eprintln!("cargo x: {error}");
        error.hint.iter().for_each(|hint| eprintln!("  {hint}"));
    }
    let host = if args.host { super::doctor::take_back()? } else { 0 };
    Ok(host.max(u8::from(!cleaned.failed.is_empty())))
}
