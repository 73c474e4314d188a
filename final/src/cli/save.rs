//! `dockster save` and `dockster export`, and where archives go.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::engine::Engine;

/// Save images to an archive that docker, skopeo or podman can load
#[derive(Args, Debug)]
pub struct SaveArgs {
    /// The archive [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Names or ids; a repository without a tag means all of its images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Saves them.
pub fn save(engine: &Engine, args: &SaveArgs) -> anyhow::Result<u8> {
    let output = Output::new(args.output.as_deref(), "save")?;
    let selection = engine.store().select(&args.images)?;
    output.write(|to| Ok(selection.write(to)?))
}

/// Export all files of a container as a tar archive
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The archive [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Its name or id; it may run
    pub container: String,
}

/// Exports them.
pub fn export(engine: &Engine, args: &ExportArgs) -> anyhow::Result<u8> {
    let output = Output::new(args.output.as_deref(), "export")?;
    engine.sweep()?;
    output.write(|to| Ok(engine.export(&args.container, to)?))
}

/// Where an archive goes.
pub enum Output {
    /// A file, which appears when the archive is whole.
    File(PathBuf),
    /// Not a terminal.
    Stdout,
}

impl Output {
    /// Refuses what cannot take one, before anything is done. `verb` is what was asked for.
    pub fn new(file: Option<&Path>, verb: &str) -> anyhow::Result<Self> {
        let Some(path) = file else {
            return match stdout().is_terminal() {
                true => {
                    bail!("cowardly refusing to {verb} to a terminal. Use the -o flag or redirect")
                }
                false => Ok(Self::Stdout),
            };
        };
        // Through a link, so that it stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        if let Some(dir) = dir.filter(|dir| !dir.exists()) {
            bail!("invalid output path: directory {dir:?} does not exist");
        }
        match fs::metadata(&path) {
            Ok(about) if !about.is_file() => {
                bail!("invalid output path: {path:?} must be a regular file")
            }
            _ => Ok(Self::File(path)),
        }
    }

    /// Writes it. A file that was there before stays as it is until the new one is whole.
    pub fn write(
        self,
        write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
    ) -> anyhow::Result<u8> {
        match self {
            Self::Stdout => through(
                File::from(stdout().as_fd().try_clone_to_owned().context("standard output")?),
                write,
            )?,
            Self::File(path) => {
                let waiting = beside(&path);
                let mut options = File::options();
                let options = options.write(true).create_new(true).mode(0o600);
                let file = options.open(&waiting).with_context(|| format!("open {waiting:?}"))?;
                let written = through(file, write).and_then(|()| {
                    fs::rename(&waiting, &path).with_context(|| format!("rename to {path:?}"))
                });
                if let Err(error) = written {
                    fs::remove_file(&waiting).with_context(|| format!("{error:#}"))?;
                    return Err(error);
                }
            }
        }
        Ok(0)
    }
}

/// Where it waits until it is whole: in the same directory, under a name that nobody wants.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

fn through(
    file: File,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut to = BufWriter::with_capacity(256 << 10, file);
    write(&mut to)?;
    to.flush().context("writing the archive")
}
