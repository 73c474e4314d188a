//! `dockster commit`.

use clap::Args;

use super::print;
use crate::engine::Engine;
use crate::engine::commit::Commit;

/// Make an image of what a container has written
#[derive(Args, Debug)]
pub struct CommitArgs {
    /// Who has made it
    #[arg(short, long)]
    author: Option<String>,
    /// Change its configuration by an instruction, as in a Dockerfile: 'CMD ["sh"]'
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A sentence for its history
    #[arg(short, long)]
    message: Option<String>,
    /// Have the container stand still meanwhile [default: where that can be]
    #[arg(short, long, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    pause: Option<bool>,
    /// Its name or id; it may run
    pub container: String,
    /// The new image's name, with a tag or without
    name: Option<String>,
}

/// Commits, and prints the new image's id.
pub fn commit(engine: &Engine, args: &CommitArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    let commit = Commit {
        author: args.author.clone(),
        message: args.message.clone(),
        changes: args.change.clone(),
        pause: args.pause,
        name: args.name.clone(),
    };
    let image = engine.commit(&args.container, &commit)?;
    print(&format!("{}\n", image.id))
}
