//! Directories that tests may fill with files of any owner.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{Gid, Uid};

use crate::host::{first_range, host};

/// A directory that is removed when the test ends, with everything in it.
///
/// Mode 0755, so that the ids of a user namespace can reach what is inside.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

/// Temporary directories of this process begin so: `dockster-test-PID-`.
pub(crate) fn own_prefix() -> String {
    format!("dockster-test-{}-", std::process::id())
}

impl TempDir {
    /// Makes a directory in `TMPDIR`, or else in `/var/tmp`: a /tmp is often a tmpfs,
    /// in memory, where images are too much.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> TempDir {
        let parent = std::env::var_os("TMPDIR").unwrap_or("/var/tmp".into());
        TempDir::in_dir(Path::new(&parent))
    }

    /// Makes a directory in `parent`.
    pub fn in_dir(parent: &Path) -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{}{number}", own_prefix()));
        fs::create_dir(&path).unwrap_or_else(|e| panic!("mkdir {}: {e}", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .expect("chmod of a new directory");
        TempDir { path }
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let Err(error) = fs::remove_dir_all(&self.path) else { return };
        if !host().root && remove_as_namespace_root(&self.path).is_some() && !self.path.exists() {
            return;
        }
        // A panic while another one unwinds would hide the first.
        let left = format!("{} could not be removed: {error}", self.path.display());
        if std::thread::panicking() { eprintln!("{left}") } else { panic!("{left}") }
    }
}

/// Removes what belongs to our sub-ids, as the root of a namespace that maps them.
fn remove_as_namespace_root(path: &Path) -> Option<()> {
    let mut child = Command::new("unshare")
        .args(["--user", "sh", "-c", r#"echo; read -r go; exec rm -rf -- "$1""#, "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    // Its line says that the namespace is there; ours that the maps are.
    BufReader::new(child.stdout.take()?).read_line(&mut String::new()).ok()?;
    map(child.id(), "newuidmap", "uid_map", "/etc/subuid", Uid::effective().as_raw());
    map(child.id(), "newgidmap", "gid_map", "/etc/subgid", Gid::effective().as_raw());
    child.stdin.take()?.write_all(b"\n").ok()?;
    child.wait().ok().map(|_| ())
}

fn map(pid: u32, program: &str, file: &str, ranges: &str, own: u32) {
    let own = own.to_string();
    let mut entries = vec!["0".to_string(), own.clone(), "1".into()];
    if let Some((start, count)) = first_range(ranges) {
        entries.extend(["1".into(), start.to_string(), count.to_string()]);
        let mapped = Command::new(program).arg(pid.to_string()).args(&entries).status();
        if mapped.is_ok_and(|s| s.success()) {
            return;
        }
    }
    // Without a range, one id: enough for directories that lack permissions.
    let _ = fs::write(format!("/proc/{pid}/setgroups"), "deny");
    let _ = fs::write(format!("/proc/{pid}/{file}"), format!("0 {own} 1"));
}

/// The source tree: where tests find their files.
pub fn source_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the source tree")
}
