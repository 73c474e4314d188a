//! `dockster cp`.

use anyhow::bail;
use clap::Args;

use crate::engine::Engine;
use crate::engine::copy::Side;

/// Copy files between a container and the host
#[derive(Args, Debug)]
pub struct CpArgs {
    /// Their owners stay
    #[arg(short, long)]
    archive: bool,
    /// A link is what it leads to
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
    /// From where: CONTAINER:PATH, or a path of the host
    source: String,
    /// To where
    target: String,
}

/// Copies.
pub fn cp(engine: &Engine, args: &CpArgs) -> anyhow::Result<u8> {
    engine.sweep()?;
    if args.source == "-" || args.target == "-" {
        bail!("archives as source or target of a copy are not supported");
    }
    let (from, to) = match (container(&args.source), container(&args.target)) {
        (Some((name, path)), None) => {
            // The host's side first: it is looked up in the mounts that we have now.
            let to = Side::host(args.target.as_ref())?;
            (engine.side(name, path.as_ref())?, to)
        }
        (None, Some((name, path))) => {
            let from = Side::host(args.source.as_ref())?;
            (from, engine.side(name, path.as_ref())?)
        }
        (Some(_), Some(_)) => bail!("copying between containers is not supported"),
        (None, None) => bail!("must specify at least one container source"),
    };
    engine.copy(&from, &to, args.archive, args.follow_link)?;
    Ok(0)
}

/// `NAME:PATH`; a path with a slash before the colon is one of the host.
fn container(text: &str) -> Option<(&str, &str)> {
    let (name, path) = text.split_once(':')?;
    (!name.is_empty() && !name.contains('/') && !name.starts_with('.')).then_some((name, path))
}
