//! `dockster save` and `dockster export`, and where archives go.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;

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
                let waiting = Waiting::begin(&path)?;
                let copy = waiting.file.try_clone().context("fcntl(F_DUPFD_CLOEXEC)")?;
                through(copy, write)?;
                waiting.finish(&path)?;
            }
        }
        Ok(0)
    }
}

/// An archive that is not whole yet. Where the file system can, it has no name until then
/// (open(2), O_TMPFILE): if we are killed nothing of it is left.
struct Waiting {
    file: File,
    /// The name that it has nevertheless.
    name: Option<PathBuf>,
}

impl Waiting {
    fn begin(path: &Path) -> anyhow::Result<Self> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let mut options = File::options();
        let nameless = options.write(true).mode(0o600).custom_flags(OFlag::O_TMPFILE.bits());
        match nameless.open(dir.unwrap_or(Path::new("."))) {
            Ok(file) => return Ok(Self { file, name: None }),
            Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("open a file beside {path:?}"));
            }
        }
        let name = beside(path);
        let mut options = File::options();
        let named = options.write(true).create_new(true).mode(0o600).open(&name);
        let file = named.with_context(|| format!("open {name:?}"))?;
        Ok(Self { file, name: Some(name) })
    }

    /// Gives it its name; who had that before goes.
    fn finish(mut self, path: &Path) -> anyhow::Result<()> {
        if self.name.is_none() {
            let (name, own) = (beside(path), format!("/proc/self/fd/{}", self.file.as_raw_fd()));
            linkat(AT_FDCWD, own.as_str(), AT_FDCWD, &name, AtFlags::AT_SYMLINK_FOLLOW)
                .with_context(|| format!("linkat({name:?})"))?;
            self.name = Some(name);
        }
        let name = self.name.as_deref().unwrap_or(path);
        fs::rename(name, path).with_context(|| format!("rename to {path:?}"))?;
        self.name = None;
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // After an error, which is what the user hears of.
        let _ = self.name.as_ref().map(fs::remove_file);
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
