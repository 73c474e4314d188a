//! Where the files of a container are.
//!
//! The layers of its image lie over each other, and what is written lies in `upper`. An
//! overlay may be refused to an ordinary user: by an old kernel, by a policy, by the file
//! system of `--root` (another overlay, say). Then a container has a copy of the whole tree.
//! It lies in `upper` as well, as a directory through which nothing of the layers shows, and so
//! whoever reads changes there finds the right files. It costs time and space, and it is said.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use ch02_chroot::devices::in_user_namespace;
use ch02_chroot::{Root, Tree, mount};
use ch06_images::{Stack, copy_up, trees, whiteout};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::sys::utsname::uname;

use super::Engine;

/// In a container's directory: what `upper` holds is a copy.
const COPIED: &str = "copied";

impl Engine {
    /// The tree of a container that nobody else starts meanwhile, made from these layers, the
    /// topmost first, in its own directory.
    pub(super) fn tree(&self, layers: &[PathBuf], dir: &Path, volatile: bool) -> Result<Tree> {
        let upper = dir.join("upper");
        if !is_copy(dir) {
            let refused = match in_user_namespace() && !upper.exists() {
                true => self.refused(layers, dir)?,
                false => None,
            };
            let Some(error) = refused else {
                let (lowers, kept) = (layers.to_owned(), Some(dir.to_owned()));
                return Ok(Tree::Overlay { lowers, kept, volatile });
            };
            self.say_once(&error)?;
            copy(layers, dir)?;
        }
        Ok(Tree::Directory(upper))
    }

    /// Why there can be no overlay here. That there can be is asked once of each kernel.
    fn refused(&self, layers: &[PathBuf], dir: &Path) -> Result<Option<Error>> {
        let (known, kernel) = (self.root.join("with-overlay"), uname().call(|| "uname")?);
        if fs::read(&known).is_ok_and(|of| of == kernel.release().as_bytes()) {
            return Ok(None);
        }
        let refused = refused(layers, dir)?;
        if refused.is_none() {
            let release = kernel.release().as_bytes();
            fs::write(&known, release).call(|| format!("write({known:?})"))?;
        }
        Ok(refused)
    }

    fn say_once(&self, error: &Error) -> Result<()> {
        let said = self.root.join("without-overlay");
        match File::options().write(true).create_new(true).open(&said) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            made => made.map(drop).call(|| format!("open({said:?})"))?,
        }
        eprintln!("dockster: containers get copies of their images, for overlayfs says: {error}");
        Ok(())
    }
}

/// Whether the container whose directory this is has a copy of its image.
pub(super) fn is_copy(dir: &Path) -> bool {
    dir.join(COPIED).exists() && dir.join("upper").exists()
}

/// Why an overlay over these layers, writing to `dir`, cannot be.
fn refused(layers: &[PathBuf], dir: &Path) -> Result<Option<Error>> {
    let Some(top) = layers.first() else { return Ok(None) };
    let probe = dir.join("probe");
    let (upper, work) = (probe.join("upper"), probe.join("work"));
    for dir in [&upper, &work] {
        fs::create_dir_all(dir).call(|| format!("mkdir({dir:?})"))?;
    }
    let [lower, upper, work] = [top, &upper, &work].map(|path| directory(path));
    let (lower, upper, work) = (lower?, upper?, work?);
    let option = |name: &str, dir: &OwnedFd| format!("{name}={}", mount::path_of(dir).display());
    let options = [
        option("lowerdir", &lower),
        option("upperdir", &upper),
        option("workdir", &work),
        "userxattr".to_owned(),
    ];
    let made = mount::new_file_system("overlay", &options).map(drop);
    trees::remove(directory(dir)?, "probe".as_ref())?;
    use Errno::{EACCES, EINVAL, ENODEV, ENOSYS, EOPNOTSUPP, EPERM};
    match made {
        Ok(()) => Ok(None),
        Err(error)
            if error.errno.is_some_and(|errno| {
                [EACCES, EINVAL, ENODEV, ENOSYS, EOPNOTSUPP, EPERM].contains(&errno)
            }) =>
        {
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}

fn directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).call(|| format!("open({path:?})"))
}

/// The whole tree, which takes its place at once.
fn copy(layers: &[PathBuf], dir: &Path) -> Result<()> {
    trees::remove(directory(dir)?, "copying".as_ref())?;
    let copying = dir.join("copying");
    fs::create_dir(&copying).call(|| format!("mkdir({copying:?})"))?;
    copy_up::tree(&Stack::open(layers)?, Path::new(""), &copying)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let top = open(&copying, flags, Mode::empty()).call(|| format!("open({copying:?})"))?;
    whiteout::make_opaque(&top, true)?;
    let (copied, upper) = (dir.join(COPIED), dir.join("upper"));
    File::create(&copied).call(|| format!("open({copied:?})"))?;
    fs::rename(&copying, &upper).call(|| format!("rename({copying:?}, {upper:?})"))
}

/// What differs in a copy from the layers that it was made of, as `docker diff` says it.
pub(super) fn differences(layers: &[PathBuf], copy: &Path) -> Result<Vec<(char, String)>> {
    let (below, ours) = (Stack::open(layers)?, Stack::from(Root::open(copy)?));
    let mut changes = Vec::new();
    compare(&below, &ours, Path::new(""), &mut changes)?;
    Ok(changes)
}

/// The same for the directory `at` of the copy.
fn compare(
    below: &Stack,
    ours: &Stack,
    at: &Path,
    changes: &mut Vec<(char, String)>,
) -> Result<()> {
    for name in &below.names(at)? | &ours.names(at)? {
        let path = at.join(&name);
        let shown = format!("/{}", path.display());
        match (below.find(&path)?, ours.find(&path)?) {
            (Some(old), Some(new)) if same(&old.stat, &new.stat) => {}
            (Some(_), Some(_)) => changes.push(('C', shown)),
            (None, Some(_)) => changes.push(('A', shown)),
            (Some(_), None) => changes.push(('D', shown)),
            (None, None) => continue,
        }
        if ours.find(&path)?.is_some_and(|new| is_directory(&new.stat)) {
            compare(below, ours, &path, changes)?;
        }
    }
    Ok(())
}

/// Whether nobody has written to it. How long a directory is depends on where it lies.
fn same(old: &FileStat, new: &FileStat) -> bool {
    let of = |stat: &FileStat| {
        let length = if is_directory(stat) { 0 } else { stat.st_size };
        let times = (stat.st_mtime, stat.st_mtime_nsec);
        (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev, length, times)
    };
    of(old) == of(new)
}

fn is_directory(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}
