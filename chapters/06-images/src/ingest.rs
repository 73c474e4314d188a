//! Catalogue: not needed to understand the chapter.
//!
//! Where content waits until it is whole: a directory of one's own under `ingest/`.
//!
//! It is locked while its owner lives. A process that was killed lets go of the
//! lock, and so whoever comes next knows what may be thrown away.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::Root;
use oci_spec::image::Digest;

use crate::apply::{Summary, apply_over};
use crate::compression::{self, Compression};
use crate::digest::Hashed;
use crate::layout::sync_dir;
use crate::space::{Limits, Space};
use crate::stack::Stack;
use crate::store::Store;
use crate::{ahead, moving, space, trees};

/// How much may follow the end of an archive: tar(1) fills up to a whole record.
const PADDING: u64 = 64 << 20;

/// A locked directory. Dropped, it is removed.
pub(crate) struct Ingest {
    path: PathBuf,
    lock: File,
}

/// A file that is written, synced and known by its digest, not in its place yet.
pub(crate) struct Blob {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// A layer that is unpacked, not in its place yet.
pub(crate) struct Unpacked {
    pub(crate) path: PathBuf,
    pub(crate) diff_id: Digest,
    pub(crate) summary: Summary,
}

impl Ingest {
    pub(crate) fn begin(store: &Store) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Between mkdir and the lock it would look dead: nobody sweeps meanwhile.
        let _shared = store.lock_shared()?;
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = store.ingest().join(format!("{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                // A namesake of old: pids come again.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.call(|| format!("mkdir({path:?})")).map_err(space::explain)?,
            }
            let lock = File::open(&path).call(|| format!("open({path:?})"))?;
            lock.lock().call(|| format!("flock({path:?})"))?;
            return Ok(Self { path, lock });
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a blob: `write` gives its bytes.
    pub(crate) fn blob(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<Blob> {
        let path = self.path.join(name);
        let file = File::create_new(&path).call(|| format!("open({path:?}, O_CREAT)"))?;
        let space = Space::at(&file, Limits::default())?;
        let mut hashed = Hashed::new(Careful { file, space });
        let mut buffered = io::BufWriter::with_capacity(256 << 10, &mut hashed);
        write(&mut buffered).map_err(space::explain)?;
        let flushed = buffered.flush().map_err(|error| moving("writing a blob", error));
        flushed.map_err(space::explain)?;
        drop(buffered);
        let (careful, digest, size) = hashed.finish();
        careful.file.sync_all().call(|| format!("fsync({path:?})"))?;
        Ok(Blob { path, digest, size })
    }

    /// Unpacks a layer from a blob, packed or not, over those `below` it, the topmost first.
    pub(crate) fn unpack(
        &self,
        blob: &Path,
        below: &[PathBuf],
        limits: Limits,
    ) -> Result<Unpacked> {
        let file = File::open(blob).call(|| format!("open({blob:?})"))?;
        self.unpack_from(file, below, limits)
    }

    /// The same from a reader.
    pub(crate) fn unpack_from(
        &self,
        blob: impl io::Read + Send,
        below: &[PathBuf],
        limits: Limits,
    ) -> Result<Unpacked> {
        let path = self.path.join(format!("layer-{}", below.len()));
        fs::create_dir(&path).call(|| format!("mkdir({path:?})"))?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, mode).call(|| format!("chmod({path:?})"))?;
        let (root, stack) = (Root::open(&path)?, Stack::open(below)?);
        let open = || {
            let (kind, peeked) = compression::detect(blob)?;
            kind.reader(peeked)
        };
        let (summary, diff_id) = ahead::read(open, |plain| {
            let mut plain = Hashed::new(plain);
            let summary = apply_over(&mut plain, &root, stack, limits)?;
            // The digest is that of the whole, with what follows the last entry.
            let mut rest = io::Read::take(&mut plain, PADDING);
            let rest = io::copy(&mut rest, &mut io::sink());
            if rest.map_err(|error| moving("reading the archive", error))? == PADDING {
                return Err(Error::new("too much follows the end of the archive"));
            }
            Ok((summary, plain.finish().1))
        })?;
        Ok(Unpacked { path, diff_id, summary })
    }

    /// A second name for a blob: whoever removes the first one takes nothing away from us.
    pub(crate) fn hold(&self, blob: &Path) -> Result<PathBuf> {
        let to = self.path.join(blob.file_name().unwrap_or_default());
        fs::hard_link(blob, &to).call(|| format!("link({blob:?}, {to:?})"))?;
        Ok(to)
    }

    /// After a power cut a layer is whole or not there: to be called before one is put in its place.
    pub(crate) fn sync(&self) -> Result<()> {
        nix::unistd::syncfs(&self.lock).call(|| "syncfs")
    }

    /// Removes it with what is left in it, and says what went wrong.
    pub(crate) fn finish(self) -> Result<()> {
        remove(&self.path)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // After an error, which is what the user hears of. If this fails as well,
        // it is swept with the next command.
        let _ = remove(&self.path);
    }
}

/// Copies an archive as it comes, packed or not: to pack a gigabyte takes longer than to unpack it.
pub(crate) fn copy_archive(archive: impl io::Read, to: &mut dyn Write) -> Result<Compression> {
    let (kind, mut archive) = compression::detect(archive)?;
    copy(&mut archive, to).map_err(|error| moving("copying the archive", error))?;
    Ok(kind)
}

/// std's copy has a buffer of 8 KiB.
pub(crate) fn copy(from: &mut impl io::Read, to: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(got) => to.write_all(&buffer[..got])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file that asks for room before it grows.
struct Careful {
    file: File,
    space: Space,
}

impl Write for Careful {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.space.take(bytes.len() as u64).map_err(io::Error::other)?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The directories under `ingest/` whose owners are dead, locked so that nobody
/// else removes them. The caller holds the store's lock.
pub(crate) fn dead(ingest: &Path) -> Result<Vec<(PathBuf, File)>> {
    let mut dead = Vec::new();
    for entry in fs::read_dir(ingest).call(|| format!("opendir({ingest:?})"))? {
        let path = entry.call(|| format!("readdir({ingest:?})"))?.path();
        let Ok(lock) = File::open(&path) else { continue };
        match lock.try_lock() {
            Ok(()) => dead.push((path, lock)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).call(|| format!("flock({path:?})"));
            }
        }
    }
    Ok(dead)
}

/// Removes a directory under `ingest/`.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    trees::remove(Root::open(parent)?.lookup("", nix::fcntl::OFlag::O_RDONLY)?, name)
}

/// Puts a file or a directory in its place. If there is one, it is the same, since
/// both are named by their content.
pub(crate) fn place(from: &Path, to: &Path) -> Result<()> {
    match fs::rename(from, to) {
        Ok(()) => sync_dir(to.parent().unwrap_or(Path::new("/"))),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) => Err(error).call(|| format!("rename({from:?}, {to:?})")),
    }
}

/// The name of a digest in a path.
pub(crate) fn hex(digest: &Digest) -> &OsStr {
    OsStr::new(digest.digest())
}
