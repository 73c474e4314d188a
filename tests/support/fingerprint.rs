//! Nothing left behind: what a host looks like before and after.
//!
//! Other programs come and go on the same machine. So the only things looked at are
//! those that could be ours, and a difference counts when it lasts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use sha2::{Digest, Sha256};

use crate::dirs::own_prefix;
use crate::host::{find_program, host};
use crate::wait::scaled;

/// Every program of ours, by the name of its file.
const PROGRAMS: &[&str] = &[
    "dockster",
    "docksterd",
    "dockster-oci",
    "dockster-shim",
    "01-clone",
    "02-chroot",
    "03-cgroups",
    "04-network",
    "05-lifecycle",
    "06-images",
    "07-confine",
];

/// Where mounts of other engines and desktops come and go.
const FOREIGN_MOUNTS: &[&str] = &[
    "/var/lib/docker/",
    "/run/docker/",
    "/var/lib/containerd/",
    "/run/containerd/",
    "/var/lib/containers/",
    "/run/user/",
    "/run/credentials/",
    "/snap/",
    "/media/",
];

/// The traces of Dockster on the host, each as one line of text, with how often it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    names: Option<Vec<String>>,
    traces: BTreeMap<String, usize>,
}

impl Fingerprint {
    /// The whole host: every mount, link and rule, and all that carries Dockster's
    /// name. For suites that run alone ([`crate::run_serial`]).
    pub fn of_host() -> Fingerprint {
        Fingerprint::take(None)
    }

    /// Only what belongs to `--root ROOT`: what carries its path, or the name that its
    /// cgroups, bridges and tables get. For tests beside others.
    pub fn of_root(root: &Path) -> Fingerprint {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
        let hex: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Fingerprint::of(&[&root.to_string_lossy(), &format!("dockster-{hex}"), &format!("dk{hex}")])
    }

    /// Only what carries one of `names`.
    pub fn of(names: &[&str]) -> Fingerprint {
        Fingerprint::take(Some(names.iter().map(|n| n.to_string()).collect()))
    }

    fn take(names: Option<Vec<String>>) -> Fingerprint {
        let mut print = Fingerprint { names, traces: BTreeMap::new() };
        print.mounts();
        print.cgroups();
        print.network();
        print.processes();
        print.files();
        print
    }

    /// What has come (`+`) and gone (`-`) since, a line each.
    pub fn diff(&self, later: &Fingerprint) -> Vec<String> {
        let count =
            |print: &Fingerprint, trace: &String| print.traces.get(trace).copied().unwrap_or(0);
        let mut lines = Vec::new();
        for (trace, after) in &later.traces {
            lines.extend((count(self, trace)..*after).map(|_| format!("+ {trace}")));
        }
        for (trace, before) in &self.traces {
            lines.extend((count(later, trace)..*before).map(|_| format!("- {trace}")));
        }
        lines
    }

    /// Fails if the host is not what it was, after at most `limit` (scaled) for what is
    /// still on its way out.
    pub fn unchanged(&self, limit: Duration) -> Result<(), Failed> {
        let start = Instant::now();
        loop {
            let diff = self.diff(&Fingerprint::take(self.names.clone()));
            if diff.is_empty() {
                return Ok(());
            }
            if start.elapsed() > scaled(limit) {
                return Err(format!("the host has changed:\n{}", diff.join("\n")).into());
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn add(&mut self, trace: String) {
        *self.traces.entry(trace).or_default() += 1;
    }

    /// Whether `text` carries one of the names (for the whole host: Dockster's).
    fn ours(&self, text: &str) -> bool {
        match &self.names {
            // Chapter 5's program keeps its containers in a directory that is called as it is.
            None => text.contains("dockster") || text.contains("05-lifecycle"),
            Some(names) => names.iter().any(|n| text.contains(n.as_str())),
        }
    }

    /// As [`Self::ours`], but on the whole host everything may be ours.
    fn maybe_ours(&self, text: &str) -> bool {
        self.names.is_none() || self.ours(text)
    }

    fn mounts(&mut self) {
        for line in read("/proc/self/mountinfo").lines() {
            // Without the first two fields: a mount's number says nothing.
            let mount = line.splitn(3, ' ').nth(2).unwrap_or(line);
            let point = line.split(' ').nth(4).unwrap_or("");
            let foreign = FOREIGN_MOUNTS.iter().any(|dir| point.starts_with(dir));
            if self.maybe_ours(mount) && !foreign {
                self.add(format!("mount {mount}"));
            }
        }
    }

    fn cgroups(&mut self) {
        let mut todo = vec!["/sys/fs/cgroup".to_string()];
        while let Some(dir) = todo.pop() {
            for name in names_in(&dir) {
                let path = format!("{dir}/{name}");
                // A symlink is a second name (cpu -> cpu,cpuacct).
                if fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
                    if self.ours(&path) {
                        self.add(format!("cgroup {path}"));
                    }
                    todo.push(path);
                }
            }
        }
    }

    fn network(&mut self) {
        // "  eth0: 0 0 ..." under two lines of headings.
        for line in read("/proc/self/net/dev").lines().skip(2) {
            let name = line.split(':').next().unwrap_or("").trim();
            if self.maybe_ours(name) {
                self.add(format!("link {name}"));
            }
        }
        for name in names_in("/run/netns") {
            if self.maybe_ours(&name) {
                self.add(format!("network namespace {name}"));
            }
        }
        let Some(nft) = find_program("nft").filter(|_| host().root) else { return };
        // Stateless: without counters, which move by themselves.
        let Ok(rules) = Command::new(nft).args(["--stateless", "list", "ruleset"]).output() else {
            return;
        };
        let mut table = String::new();
        for line in String::from_utf8_lossy(&rules.stdout).lines() {
            if line.starts_with("table ") {
                table = line.trim_end_matches(" {").to_string();
            }
            if !line.trim_matches([' ', '\t', '}']).is_empty() && self.maybe_ours(&table) {
                self.add(format!("nft, {table}: {}", line.trim()));
            }
        }
    }

    fn processes(&mut self) {
        let own_mounts = fs::read_link("/proc/self/ns/mnt").ok();
        for pid in names_in("/proc").iter().filter(|n| n.bytes().all(|b| b.is_ascii_digit())) {
            if *pid == std::process::id().to_string() {
                continue;
            }
            let arguments = read(&format!("/proc/{pid}/cmdline")).replace('\0', " ");
            let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            // In a container: its cgroup or its mounts carry the name.
            let contained = || {
                self.ours(&read(&format!("/proc/{pid}/cgroup")))
                    || (fs::read_link(format!("/proc/{pid}/ns/mnt")).ok() != own_mounts
                        && self.ours(&read(&format!("/proc/{pid}/mountinfo"))))
            };
            let named = match &self.names {
                // By the file's name only: the folder of a checkout may be called dockster.
                None => PROGRAMS.iter().any(|p| {
                    program.file_name().is_some_and(|f| f == *p)
                        || arguments
                            .split(' ')
                            .next()
                            .is_some_and(|a| a.rsplit('/').next() == Some(p))
                }),
                Some(_) => {
                    self.ours(&arguments) || self.ours(&read(&format!("/proc/{pid}/environ")))
                }
            };
            if (named || contained()) && !is_zombie(pid) {
                self.add(format!("process {pid} {} ({})", program.display(), arguments.trim()));
            }
        }
    }

    fn files(&mut self) {
        let mut dirs: Vec<String> =
            ["/dev/shm", "/dev/mqueue", "/tmp", "/var/tmp", "/run"].map(String::from).into();
        for name in ["TMPDIR", "XDG_RUNTIME_DIR"] {
            dirs.extend(std::env::var(name).ok().filter(|dir| !dirs.contains(dir)));
        }
        let own = own_prefix();
        for dir in dirs {
            for name in names_in(&dir) {
                if self.ours(&format!("{dir}/{name}")) && !name.starts_with(&own) {
                    self.add(format!("file {dir}/{name}"));
                }
            }
        }
        for name in names_in("/sys/block") {
            let backing = read(&format!("/sys/block/{name}/loop/backing_file"));
            if self.ours(&backing) {
                self.add(format!("loop device {name} of {}", backing.trim()));
            }
        }
    }
}

/// A zombie is its parent's to reap, and nothing of it is left but a number. One that has
/// given back its memory (proc_pid_statm(5): no pages) runs nothing more, and is about to be one.
fn is_zombie(pid: &str) -> bool {
    let stat = read(&format!("/proc/{pid}/stat"));
    let zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    zombie || read(&format!("/proc/{pid}/statm")).starts_with("0 ")
}

/// The file's text, or nothing: what is looked at may go away at any moment.
fn read(path: &str) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn names_in(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
