//! `dockster push`.

use ch06_images::name;
use clap::Args;

use super::print;
use super::progress::{Board, PUSH, Where};
use crate::engine::Engine;

/// Upload an image to a registry
#[derive(Args, Debug)]
pub struct PushArgs {
    /// Only the name at the end
    #[arg(short, long)]
    quiet: bool,
    /// `[HOST[:PORT]/]NAME[:TAG]`
    image: String,
}

/// Pushes it, in docker's words.
pub fn push(engine: &Engine, args: &PushArgs) -> anyhow::Result<u8> {
    let reference = name::parse(&args.image)?;
    anyhow::ensure!(reference.digest.is_none(), "cannot push a digest reference");
    let place = if args.quiet { Where::Quiet } else { Where::Out };
    let board = Board::new(PUSH, place);
    let (domain, path) = (&reference.domain, &reference.path);
    if reference.tag.is_none() {
        board.say("Using default tag: latest");
    }
    board.say(&format!("The push refers to repository [{domain}/{path}]"));
    let pushed = engine.push(&reference, &|hex, size, state| board.tell(hex, size, state))?;
    let tag = reference.tag_or_latest();
    board.say(&format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size));
    match args.quiet {
        true => print(&format!("{domain}/{path}:{tag}\n")),
        false => Ok(0),
    }
}
