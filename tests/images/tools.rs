//! What the tests share: the helper that calls the library, and archives made by hand.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use ch02_chroot::{Root, Rootfs, Tree};
use ch06_images::{Limits, Recipe, Source, Stack, Store, apply, digest, identity};
use dockster_tests::{Failed, Need, Run, TempDir, host};
use tar::{Builder, EntryType, Header};

/// Whose eyes and hands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Root, or the root of a user namespace with all ids that there are.
    Root,
    /// The root of a user namespace with one id.
    OneId,
}

/// What every test needs: an ordinary user acts in a user namespace.
pub fn needs(more: &[Need]) -> Vec<Need> {
    let own = if host().root { vec![] } else { vec![Need::UserNamespaces, Need::IdRanges] };
    [&own, more].concat()
}

/// A program run by `who`.
pub fn run_as(who: Who, program: &str) -> Run {
    if who == Who::Root && host().root {
        return Run::new(program);
    }
    let unshare = Run::new("unshare").args(["--user", "--map-root-user"]);
    match who {
        Who::Root => unshare.args(["--map-auto", program]),
        Who::OneId => unshare.arg(program),
    }
}

/// The helper, as root.
pub fn helper_run(verb: &str) -> Run {
    helper_as(Who::Root, verb)
}

/// The helper, as `who`.
pub fn helper_as(who: Who, verb: &str) -> Run {
    let exe = std::env::current_exe().expect("our own path");
    run_as(who, exe.to_str().expect("a path in UTF-8")).args(["helper", verb])
}

/// A shell script run as root in `dir`.
pub fn sh(dir: &Path, script: &str) -> Result<String, Failed> {
    Ok(run_as(Who::Root, "sh").args(["-ec", script]).dir(dir).success()?.stdout)
}

/// A directory with an empty tree in it, next to a file that must stay as it is.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = TempDir::new();
        fs::create_dir(dir.join("tree")).expect("mkdir");
        fs::create_dir(dir.join("outside")).expect("mkdir");
        fs::write(dir.join("outside/marker"), "untouched").expect("write");
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Applies an archive to the tree: what it said, or its error.
    pub fn apply(&self, archive: &[u8]) -> Result<Result<String, String>, Failed> {
        self.apply_as(Who::Root, archive, "", "")
    }

    pub fn apply_as(
        &self,
        who: Who,
        archive: &[u8],
        bytes: &str,
        entries: &str,
    ) -> Result<Result<String, String>, Failed> {
        let run = helper_as(who, "apply").arg(self.join("tree")).args([bytes, entries]);
        outcome(run.input(archive))
    }

    /// The tree, a line an entry.
    pub fn list(&self) -> Result<String, Failed> {
        list(&self.join("tree"))
    }
}

/// What a helper printed, or its error.
pub fn outcome(run: Run) -> Result<Result<String, String>, Failed> {
    let done = run.done()?;
    match done.status.code() {
        Some(0) => Ok(Ok(done.stdout)),
        Some(1) => Ok(Err(done.stderr)),
        _ => Err(done.failed("it should end with 0 or 1")),
    }
}

pub fn list(tree: &Path) -> Result<String, Failed> {
    Ok(helper_run("list").arg(tree).success()?.stdout)
}

/// An archive, entry by entry, with whatever somebody might write into it.
pub struct Archive(Builder<Vec<u8>>);

impl Archive {
    pub fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub fn file(self, name: &str, data: &str) -> Self {
        self.entry(name, EntryType::Regular, "", data.as_bytes(), |_| {})
    }

    pub fn dir(self, name: &str) -> Self {
        self.entry(name, EntryType::Directory, "", b"", |header| header.set_mode(0o755))
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(name, EntryType::Symlink, target, b"", |_| {})
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(name, EntryType::Link, target, b"", |_| {})
    }

    pub fn device(self, name: &str, kind: EntryType, major: u32, minor: u32) -> Self {
        self.entry(name, kind, "", b"", |header| {
            header.set_device_major(major).expect("a GNU header");
            header.set_device_minor(minor).expect("a GNU header");
        })
    }

    pub fn records(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).expect("into memory");
        self
    }

    /// What GNU's archives put before an entry whose name (`L`) or link (`K`) is long.
    pub fn long(self, kind: u8, text: &[u8]) -> Self {
        self.entry("././@LongLink", EntryType::new(kind), "", &[text, b"\0"].concat(), |_| {})
    }

    /// Blocks as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.get_mut().extend(bytes);
        self
    }

    pub fn entry(
        mut self,
        name: &str,
        kind: EntryType,
        link: &str,
        data: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_link_name_literal(link).expect("a short link");
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.append(&header, data).expect("into memory");
        self
    }

    pub fn done(self) -> Vec<u8> {
        self.0.into_inner().expect("into memory")
    }
}

/// A helper process: calls the library once, with one thread.
pub fn helper(args: Vec<OsString>) {
    let text = |n: usize| args.get(n).and_then(|arg| arg.to_str()).unwrap_or("");
    let path = |n: usize| Path::new(args.get(n).expect("a path"));
    let limits =
        |n: usize| Limits { bytes: text(n).parse().ok(), entries: text(n + 1).parse().ok() };
    let mut out = String::new();
    let done = match text(0) {
        "apply" => Root::open(path(1))
            .and_then(|root| apply(std::io::stdin().lock(), &root, limits(2)))
            .map(|summary| writeln!(out, "{summary:?}").expect("into memory")),
        "mutants" => crate::mutants::helper(path(1), &mut out),
        "list" => {
            list_into(path(1), Path::new(""), &mut out);
            Ok(())
        }
        "import" => Store::open(path(1)).and_then(|store| {
            let recipe = Recipe {
                created: Some(std::time::UNIX_EPOCH),
                limits: limits(4),
                ..Recipe::default()
            };
            let mut input: Box<dyn Read> = match text(2) {
                "-" => Box::new(std::io::stdin().lock()),
                _ if path(2).is_dir() => Box::new(std::io::empty()),
                _ => Box::new(File::open(path(2)).expect("the archive")),
            };
            let source = match path(2).is_dir() {
                true => Source::Directory(path(2)),
                false => Source::Archive(&mut input),
            };
            let imported = store.import(source, Some(text(3)), &recipe)?;
            writeln!(out, "{}\n{:?}", imported.image.id, imported.summary).expect("into memory");
            Ok(())
        }),
        "images" => Store::open(path(1)).and_then(|store| {
            for image in store.images()? {
                let name = image.name.unwrap_or("<none>".into());
                writeln!(out, "{name} {}", image.id).expect("into memory");
            }
            Ok(())
        }),
        "resolve" => Store::open(path(1)).and_then(|store| {
            let image = store.resolve(text(2))?;
            writeln!(out, "{}", image.id).expect("into memory");
            image.layers.iter().for_each(|l| writeln!(out, "{}", l.display()).expect("memory"));
            Ok(())
        }),
        "load" => Store::open(path(1)).and_then(|store| {
            for image in store.load_archive(File::open(path(2)).expect("the archive"))? {
                let name = image.name.unwrap_or("<none>".into());
                writeln!(out, "{name} {}", image.id).expect("into memory");
            }
            Ok(())
        }),
        "merged" => merged(path(1), text(2), path(3), text(4), &mut out),
        "add-layer" => Store::open(path(1)).and_then(|store| {
            let base = store.resolve(text(2))?;
            if text(4) == "late" {
                store.remove(text(2), false, |_| Ok(()))?;
            }
            let image = store.add_layer(&base, path(3), &base.config, Some(text(4)))?;
            writeln!(out, "{}", image.id).expect("into memory");
            Ok(())
        }),
        "remove" => Store::open(path(1)).and_then(|store| {
            let removed = store.remove(text(2), text(3) == "force", |_| match text(3) {
                "used" => Err(ch01_clone::Error::new("a container uses it")),
                _ => Ok(()),
            })?;
            removed.untagged.iter().for_each(|n| writeln!(out, "Untagged: {n}").expect("memory"));
            removed.deleted.iter().for_each(|n| writeln!(out, "Deleted: {n}").expect("memory"));
            Ok(())
        }),
        "sweep" => Store::open(path(1)).and_then(|store| store.sweep()),
        "identity" => Stack::open(&[path(1).to_owned()])
            .and_then(|image| identity(&image, text(2)))
            .map(|who| writeln!(out, "{who:?}").expect("into memory")),
        verb => panic!("no such verb: {verb}"),
    };
    if args.iter().any(|arg| arg == "memory") {
        let status = fs::read_to_string("/proc/self/status").expect("proc");
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
        writeln!(out, "{peak}").expect("into memory");
    }
    print!("{out}");
    if let Err(error) = done {
        eprintln!("{error}");
        error.hint.iter().for_each(|hint| eprintln!("hint: {hint}"));
        std::process::exit(1);
    }
}

/// The tree of an image, put together by chapter 2, after a shell script has changed it;
/// `kept` takes what is written.
fn merged(
    store: &Path,
    name: &str,
    kept: &Path,
    script: &str,
    out: &mut String,
) -> ch01_clone::Result<()> {
    let image = Store::open(store)?.resolve(name)?;
    let kept = Some(kept.to_owned());
    let rootfs = Rootfs {
        tree: Tree::Overlay { lowers: image.layers, kept, volatile: true },
        mounts: Vec::new(),
        masked: Vec::new(),
        read_only_paths: Vec::new(),
        read_only: false,
        more: Default::default(),
    };
    let root = rootfs.build()?;
    let top = ch02_chroot::mount::path_of(&root).join(".");
    if !script.is_empty() {
        let top = fs::canonicalize(&top).expect("realpath");
        let ended =
            std::process::Command::new("sh").args(["-ec", script]).current_dir(top).status();
        assert!(ended.expect("a shell").success());
    }
    list_into(&top, Path::new(""), out);
    Ok(())
}

/// Everything that matters of a tree, in order.
pub fn list_into(top: &Path, path: &Path, out: &mut String) {
    let full = top.join(path);
    let stat = fs::symlink_metadata(&full).expect("lstat");
    let kind = stat.file_type();
    let what = if kind.is_dir() {
        "dir".to_owned()
    } else if kind.is_symlink() {
        format!("link to {:?}", fs::read_link(&full).expect("readlink"))
    } else if kind.is_file() {
        let holes = if stat.blocks() * 512 < stat.len() { " with holes" } else { "" };
        let digest = digest::of(&fs::read(&full).expect("read"));
        format!("file of {}{holes} {}", stat.len(), &digest.digest()[..16])
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else {
        let kind = if kind.is_char_device() { "char" } else { "block" };
        let number = stat.rdev();
        format!("{kind} {}:{}", nix::sys::stat::major(number), nix::sys::stat::minor(number))
    };
    let names = if kind.is_dir() { 0 } else { stat.nlink() };
    let (seconds, nanos) = (stat.mtime(), stat.mtime_nsec());
    let (mode, uid, gid) = (stat.mode() & 0o7777, stat.uid(), stat.gid());
    let attributes = attributes(&full);
    writeln!(out, "{path:?} {mode:o} {uid}:{gid} {names} {seconds}.{nanos:09} {what}{attributes}")
        .expect("into memory");
    if kind.is_dir() {
        let entries = fs::read_dir(&full).expect("readdir");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("readdir").file_name()).collect();
        names.sort();
        names.iter().for_each(|name| list_into(top, &path.join(name), out));
    }
}

fn attributes(path: &Path) -> String {
    let mut list = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap_or(0);
    let mut names: Vec<&[u8]> =
        list[..length].split(|&b| b == 0).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    let mut all = String::new();
    for name in names {
        let mut value = vec![0; 1 << 16];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("lgetxattr");
        let name = String::from_utf8_lossy(name);
        write!(all, " {name}={:02x?}", &value[..length]).expect("into memory");
    }
    all
}
