//! The built-in image `hello`: this program, once more, in an otherwise empty root.
//!
//! So the first container needs no network and no download, and what runs in it
//! works where nothing else is: it has brought its loader and its libraries along.

mod elf;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ch01_clone::{Context, Error, Result};

use elf::Elf;

/// What runs inside: `hello` says hello, `hello facts` says what it sees, for tests.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print!("{}", greeting(std::process::id(), nix::unistd::geteuid().as_raw())),
        ["facts"] => facts().iter().for_each(|(key, value)| println!("{key} {value}")),
        _ => {
            eprintln!("usage: hello [facts]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn greeting(pid: u32, uid: u32) -> String {
    let who = if uid == 0 { "root".to_owned() } else { format!("user {uid}") };
    format!(
        "Hello from inside! In here I am process {pid} and {who}. Above are both\n\
         views of me: mine on the left, that of your machine on the right.\n\
         \n\
         Three things to try next:\n\
         \x20 dockster run --explain hello            every step that made me, and why\n\
         \x20 dockster run --pause=pivot_root hello   stop on the way, and look around\n\
         \x20 dockster run -it IMAGE sh               the same with your own: see `import`\n"
    )
}

/// What it sees from here; what cannot be seen is `-`.
fn facts() -> Vec<(&'static str, String)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capeff = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let lines = |path, heading: usize| {
        fs::read_to_string(path).ok().map(|text| text.lines().skip(heading).count().to_string())
    };
    // Reading the list opens a descriptor, which is in the list.
    let descriptors = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1));
    let hostname = nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned());
    let cwd = std::env::current_dir().ok().map(|path| path.display().to_string());
    let facts = [
        ("pid", Some(std::process::id().to_string())),
        ("uid", Some(nix::unistd::geteuid().to_string())),
        ("gid", Some(nix::unistd::getegid().to_string())),
        ("hostname", hostname),
        ("cwd", cwd),
        ("capeff", capeff.map(|bits| bits.trim().to_owned())),
        ("mounts", lines("/proc/self/mountinfo", 0)),
        ("links", lines("/proc/self/net/dev", 2)),
        ("descriptors", descriptors.map(|count| count.to_string())),
    ];
    facts.into_iter().map(|(key, value)| (key, value.unwrap_or("-".to_owned()))).collect()
}

/// Makes the image's root directory in `into`, from the program that is running.
pub fn tree(into: &Path) -> Result<()> {
    for (name, mode) in
        [("proc", 0o555), ("sys", 0o555), ("dev", 0o755), ("etc", 0o755), ("tmp", 0o1777)]
    {
        let dir = into.join(name);
        directory(&dir)?;
        permit(&dir, mode)?;
    }
    let program = into.join("hello");
    copy(Path::new("/proc/self/exe"), &program)?;
    for (name, text) in [("passwd", "root:x:0:0:root:/:/hello\n"), ("group", "root:x:0:\n")] {
        let path = into.join("etc").join(name);
        fs::write(&path, text).call(|| format!("write({path:?})"))?;
        permit(&path, 0o644)?;
    }
    let Some(loader) = Elf::read(&program)?.interpreter else { return Ok(()) };
    copy(&loader, &inside(into, &loader))?;
    libraries(&program, &loader, into)
}

/// Copies all libraries that a program needs to where they are here.
fn libraries(program: &Path, loader: &Path, into: &Path) -> Result<()> {
    let maps = fs::read_to_string("/proc/self/maps").call(|| "read(/proc/self/maps)")?;
    let places = directories(&maps);
    let mut needed = Elf::read(program)?.needed;
    let mut done: BTreeSet<String> =
        loader.file_name().map(|name| name.to_string_lossy().into()).into_iter().collect();
    while let Some(name) = needed.pop() {
        if !done.insert(name.clone()) {
            continue;
        }
        let library = places.iter().map(|dir| dir.join(&name)).find(|path| path.exists());
        let library = library.ok_or_else(|| {
            Error::new(format!("the library {name} is not where this program's others are"))
        })?;
        copy(&library, &inside(into, &library))?;
        needed.extend(Elf::read(&library)?.needed);
    }
    Ok(())
}

/// The directories of what this process has mapped: it runs, so all that it needs lies there.
fn directories(maps: &str) -> BTreeSet<PathBuf> {
    let files = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    files.filter_map(Path::parent).map(Path::to_owned).collect()
}

/// A path of ours, in the tree.
fn inside(into: &Path, path: &Path) -> PathBuf {
    into.join(path.strip_prefix("/").unwrap_or(path))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    to.parent().map_or(Ok(()), directory)?;
    fs::copy(from, to).call(|| format!("copy({from:?}, {to:?})"))?;
    permit(to, 0o755)
}

fn directory(path: &Path) -> Result<()> {
    let mut dirs = DirBuilder::new();
    dirs.recursive(true).mode(0o755).create(path).call(|| format!("mkdir({path:?})"))
}

/// Modes as they shall be, whatever the caller's umask.
fn permit(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .call(|| format!("chmod({path:?}, {mode:o})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets_in_eight_lines_of_a_small_terminal() {
        let text = greeting(1, 4_294_967_295);
        assert!(text.lines().count() <= 8);
        assert!(text.lines().all(|line| line.chars().count() <= 78), "{text}");
    }

    #[test]
    fn finds_where_libraries_lie() {
        let maps = "7f0-7f1 r-xp 000 fd:00 12   /usr/lib/libc.so.6\n7f2-7f3 rw-p 0 00:00 0\n7f4-7f5 r-xp 0 00:00 0  [vdso]\n";
        assert_eq!(directories(maps), BTreeSet::from([PathBuf::from("/usr/lib")]));
    }

    #[test]
    fn the_tree_is_complete_and_readable() {
        let into = std::env::temp_dir().join(format!("dockster-hello-{}", std::process::id()));
        tree(&into).unwrap();
        let program = Elf::read(&into.join("hello")).unwrap();
        if let Some(loader) = program.interpreter {
            assert!(inside(&into, &loader).is_file());
        }
        assert_eq!(fs::metadata(into.join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
        fs::remove_dir_all(into).unwrap();
    }
}
