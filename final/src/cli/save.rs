//! `dockster save` and `dockster export`, and where archives go.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

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
                waiting.finish()?;
            }
        }
        Ok(0)
    }
}

/// An archive that is not whole yet. Where the file system can, it has no name until then
/// (open(2), O_TMPFILE): if we are killed nothing of it is left. All goes by the descriptor
/// of the directory: what is read meanwhile may take mounts of our own, and then the same
/// path is another mount's.
struct Waiting {
    dir: OwnedFd,
    file: File,
    /// What it shall be called.
    last: OsString,
    /// The name that it has nevertheless: one that nobody wants.
    name: Option<OsString>,
}

impl Waiting {
    fn begin(path: &Path) -> anyhow::Result<Self> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(dir.unwrap_or(Path::new(".")), flags, Mode::empty())
            .with_context(|| format!("open the directory of {path:?}"))?;
        let last = path.file_name().unwrap_or_default().to_owned();
        let (flags, mode) = (OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::S_IRUSR | Mode::S_IWUSR);
        let (file, name) = match openat(&dir, ".", flags | OFlag::O_TMPFILE, mode) {
            Err(Errno::EOPNOTSUPP) => {
                let (name, new) = (beside(&last), OFlag::O_CREAT | OFlag::O_EXCL);
                (openat(&dir, name.as_os_str(), flags | new, mode), Some(name))
            }
            nameless => (nameless, None),
        };
        let file = file.with_context(|| format!("open a file beside {path:?}"))?.into();
        Ok(Self { dir, file, last, name })
    }

    /// Gives it its name; who had that before goes.
    fn finish(mut self) -> anyhow::Result<()> {
        let (dir, last) = (&self.dir, self.last.as_os_str());
        if self.name.is_none() {
            let (name, own) = (beside(last), format!("/proc/self/fd/{}", self.file.as_raw_fd()));
            linkat(AT_FDCWD, own.as_str(), dir, name.as_os_str(), AtFlags::AT_SYMLINK_FOLLOW)
                .with_context(|| format!("linkat({name:?})"))?;
            self.name = Some(name);
        }
        let name = self.name.as_deref().unwrap_or(last);
        renameat(dir, name, dir, last).with_context(|| format!("rename to {last:?}"))?;
        self.name = None;
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // After an error, which is what the user hears of.
            let _ = unlinkat(&self.dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Where it waits until it is whole, if it has to have a name.
fn beside(last: &OsStr) -> OsString {
    let mut name = OsString::from(".");
    name.push(last);
    name.push(format!(".{}", std::process::id()));
    name
}

fn through(
    file: File,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut to = BufWriter::with_capacity(256 << 10, file);
    write(&mut to)?;
    to.flush().context("writing the archive")
}
