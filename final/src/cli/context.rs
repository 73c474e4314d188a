//! What `dockster build` is given: a Dockerfile, and the files that it may take.

use std::fs::{self, File};
use std::io::{Cursor, ErrorKind, Read, stdin};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ch06_images::build::Sent;

use crate::engine::Engine;

/// As much of standard input as says what it is.
const START: u64 = 512;

/// All of it, read.
#[derive(Default)]
pub struct Material {
    /// The Dockerfile, its text.
    pub text: String,
    /// What it is called in messages.
    pub file: String,
    /// When it was changed, in seconds since 1970.
    pub written: i64,
    /// The text of `.dockerignore`.
    pub ignore: String,
    /// Where the files are, if there are any.
    pub dir: Option<PathBuf>,
    /// They came as an archive, and go with this.
    _sent: Option<Sent>,
}

impl Material {
    /// Of a directory, or of standard input, which is a Dockerfile alone or an archive of a
    /// directory.
    pub fn of(engine: &Engine, context: &Path, file: Option<&Path>) -> anyhow::Result<Self> {
        if context != Path::new("-") {
            return Self::of_directory(context, file);
        }
        let mut start = Vec::new();
        stdin().lock().take(START).read_to_end(&mut start).context("standard input")?;
        // No text has such bytes, and each archive has.
        if start.iter().any(|byte| matches!(byte, 0..9 | 14..32 | 0xf8..)) {
            let archive = Cursor::new(start).chain(stdin());
            return Self::of_archive(engine.store().context(archive)?, file);
        }
        if file.is_some() {
            bail!(
                "with a Dockerfile from standard input there is no other one: -f is one too many"
            );
        }
        let mut text = String::new();
        let whole = Cursor::new(start).chain(stdin().lock());
        { whole }.read_to_string(&mut text).context("standard input")?;
        Ok(Self { text, file: "Dockerfile".to_owned(), ..Self::default() })
    }

    fn of_directory(context: &Path, file: Option<&Path>) -> anyhow::Result<Self> {
        if !context.is_dir() {
            bail!("unable to prepare context: {context:?} is not a directory");
        }
        let dir = Some(context.to_owned());
        if file == Some(Path::new("-")) {
            let mut text = String::new();
            stdin().lock().read_to_string(&mut text).context("standard input")?;
            let ignore = read(&context.join(".dockerignore"))?.unwrap_or_default();
            return Ok(Self {
                text,
                file: "Dockerfile".to_owned(),
                ignore,
                dir,
                ..Self::default()
            });
        }
        let path = file.map_or_else(|| context.join("Dockerfile"), Path::to_owned);
        let failed = || format!("failed to read dockerfile: open {path:?}");
        let mut text = String::new();
        let mut open = File::open(&path).with_context(failed)?;
        open.read_to_string(&mut text).with_context(failed)?;
        let own = read(&beside(&path))?;
        let ignore = own.map_or_else(|| read(&context.join(".dockerignore")), |own| Ok(Some(own)));
        Ok(Self {
            text,
            file: called(&path),
            written: open.metadata().map_or(0, |metadata| metadata.mtime()),
            ignore: ignore?.unwrap_or_default(),
            dir,
            _sent: None,
        })
    }

    /// Of what was unpacked nothing leads outside.
    fn of_archive(sent: Sent, file: Option<&Path>) -> anyhow::Result<Self> {
        let path = file.unwrap_or(Path::new("Dockerfile"));
        let Some((text, written)) = sent.text(path)? else {
            bail!("failed to read dockerfile: the archive has no {path:?}");
        };
        let mut ignore = sent.text(&beside(path))?;
        if ignore.is_none() {
            ignore = sent.text(Path::new(".dockerignore"))?;
        }
        Ok(Self {
            text,
            file: called(path),
            written,
            ignore: ignore.map_or_else(String::new, |(text, _)| text),
            dir: Some(sent.dir().to_owned()),
            _sent: Some(sent),
        })
    }
}

fn called(file: &Path) -> String {
    file.file_name().map_or("Dockerfile".into(), |name| name.to_string_lossy()).into_owned()
}

/// The patterns of a Dockerfile of another name; they come before those of the context.
fn beside(file: &Path) -> PathBuf {
    let mut own = file.as_os_str().to_owned();
    own.push(".dockerignore");
    own.into()
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).with_context(|| format!("open {path:?}")),
    }
}
