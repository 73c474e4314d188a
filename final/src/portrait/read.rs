//! What /proc tells about a process: who it is inside, and who out here.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

use ch01_clone::Namespace;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::unistd::gethostname;

use super::rights::{capabilities, reach};
use super::{About, Group, Row};

/// Where the engine finds the host's namespaces when it has left them.
pub(super) const TESTIMONY: &str = "DOCKSTER_HOST_NAMESPACES";

/// What is said of a namespace that is not the host's.
pub(super) const NEW: &str = " (new)";

/// A process, as /proc shows it to us.
pub(super) struct Process {
    pid: i32,
}

impl Process {
    pub(super) fn new(pid: i32) -> Self {
        Self { pid }
    }

    /// The text of one of its files.
    pub(super) fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid))
    }

    /// The values of a line of its `status`: `Uid: 1000 1000 1000 1000`.
    pub(super) fn status(&self, key: &str) -> io::Result<Vec<String>> {
        let text = self.read("status")?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        Ok(line.ok_or(ErrorKind::InvalidData)?.split_whitespace().map(str::to_owned).collect())
    }

    /// Whether it is there, and has not ended.
    pub(super) fn lives(&self) -> bool {
        self.status("State").is_ok_and(|state| state[0] != "Z")
    }

    /// Whether its `/` is another directory than ours.
    pub(super) fn has_own_root(&self) -> bool {
        let root = |path: &str| fs::metadata(path).map(|root| (root.dev(), root.ino())).ok();
        root(&format!("/proc/{}/root/", self.pid)).is_some_and(|its| Some(its) != root("/"))
    }

    fn is_us(&self) -> bool {
        self.pid == std::process::id() as i32
    }

    /// Whether it has another namespace of this kind than we have.
    pub(super) fn differs(&self, kind: Namespace) -> io::Result<bool> {
        Ok(kind.of(self.pid)? != kind.of("self")?)
    }
}

/// `user:4026531837,mnt:4026531841`
fn testified(testimony: &str, kind: Namespace) -> Option<u64> {
    let inode = |entry: &str| entry.strip_prefix(kind.file())?.strip_prefix(':')?.parse().ok();
    testimony.split(',').find_map(inode)
}

/// What a cell says: the fact, or why there is none.
pub(super) fn cell(fact: io::Result<impl ToString>) -> String {
    match fact {
        Ok(fact) => fact.to_string(),
        Err(error) => match error.raw_os_error() {
            Some(errno) => format!("cannot be read ({:?})", Errno::from_raw(errno)),
            None => "cannot be read".to_owned(),
        },
    }
}

/// Who it is and where.
pub(super) fn process(child: &Process, host: &Process, about: &About, own_root: bool) -> Vec<Row> {
    let row = |name, cells| Row::new(Group::Process, name, cells);
    let pids = child.status("NSpid");
    let pid = |of: fn(&[String]) -> Option<&String>| {
        cell(pids.as_ref().map_err(again).map(|pids| of(pids).cloned().unwrap_or_default()))
    };
    let root = if own_root { about.root.clone() } else { "/ (still the host's)".to_owned() };
    vec![
        row("pid", [pid(|pids| pids.last()), pid(|pids| pids.first())]),
        row("uid", ids(child, host, "Uid", "uid_map", "/etc/passwd")),
        row("gid", ids(child, host, "Gid", "gid_map", "/etc/group")),
        row("capabilities", [capabilities(child) + &reach(child, host), capabilities(host)]),
        row("hostname", [cell(hostname(child)), cell(our_hostname())]),
        row("/", ["/".to_owned(), root]),
        row("mounts", [mounts(child, own_root), mounts(host, false)]),
    ]
}

/// Its user or group id on both sides. /proc shows ids as they are in *our* user
/// namespace; the maps lead from there down to the child's, and up to the host's.
fn ids(child: &Process, host: &Process, key: &str, map: &str, names: &str) -> [String; 2] {
    let seen = child.status(key).and_then(|ids| number(ids.get(1)));
    let inside = seen.as_ref().map_err(again).and_then(|&seen| {
        let id = match child.differs(Namespace::User)? {
            true => translate(&child.read(map)?, seen, true),
            false => Some(seen),
        };
        Ok(match id {
            Some(0) => "0 root".to_owned(),
            Some(id) => id.to_string(),
            None => "65534, nobody: no map yet".to_owned(),
        })
    });
    let outside = seen.and_then(|seen| {
        let id = match host.is_us() {
            true => Some(seen),
            false => translate(&fs::read_to_string(format!("/proc/self/{map}"))?, seen, false),
        };
        let name = |id| name_of(&fs::read_to_string(names).unwrap_or_default(), id);
        Ok(id.map_or("nobody".to_owned(), |id| format!("{id} {}", name(id)).trim_end().to_owned()))
    });
    [cell(inside), cell(outside)]
}

/// Through a map of lines `inside outside count`: outside from inside, or the other way.
fn translate(map: &str, id: u32, inwards: bool) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
        let (inner, outer): (u32, u32) = (numbers.next()?, numbers.next()?);
        let (from, to) = if inwards { (outer, inner) } else { (inner, outer) };
        let offset = id.checked_sub(from)?;
        (offset < numbers.next()?).then(|| to + offset)
    })
}

/// From a file of `name:password:id:...`.
fn name_of(file: &str, id: u32) -> String {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    };
    file.lines().find_map(entry).unwrap_or_default()
}

/// The same and new namespaces, by their inode numbers.
pub(super) fn namespace(kind: Namespace, child: &Process, host: &Process) -> Row {
    let testimony = || std::env::var(TESTIMONY).unwrap_or_default();
    let outside = kind.of(host.pid).or_else(|error| testified(&testimony(), kind).ok_or(error));
    let inside = kind.of(child.pid);
    let shared = matches!((&inside, &outside), (Ok(inside), Ok(outside)) if inside == outside);
    let known = inside.is_ok() && outside.is_ok();
    let word = match (known, shared) {
        (true, true) => " (shared)",
        (true, false) => NEW,
        _ => "",
    };
    let name = if kind == Namespace::Mount { "mount" } else { kind.file() };
    let row = Row::new(Group::Namespaces, name, [cell(inside) + word, cell(outside)]);
    Row { shared, ..row }
}

/// Only who is in a UTS namespace can ask for its hostname. A thread of ours
/// goes in and ends there: threads may do that, and there is no way back for us.
fn hostname(child: &Process) -> io::Result<String> {
    if !child.differs(Namespace::Uts)? {
        return our_hostname();
    }
    let namespace = File::open(format!("/proc/{}/ns/uts", child.pid))?;
    let visitor = std::thread::Builder::new().spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWUTS)?;
        our_hostname()
    })?;
    let name = visitor.join().unwrap_or(Err(ErrorKind::Other.into()));
    // The kernel may still be putting the thread away, and who clones wants to be the only one.
    for _ in 0..1000 {
        if fs::read_dir("/proc/self/task")?.count() == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
    name
}

fn our_hostname() -> io::Result<String> {
    Ok(gethostname()?.to_string_lossy().into_owned())
}

/// How many mounts it sees, what `/` is, and what it has of the host's disks.
fn mounts(process: &Process, own_root: bool) -> String {
    cell(process.read("mountinfo").map(|text| mounts_in(&text, own_root)))
}

fn mounts_in(mountinfo: &str, own_root: bool) -> String {
    let (mut root, mut volumes) = (String::new(), Vec::new());
    for line in mountinfo.lines() {
        let Some((place, what)) = line.split_once(" - ") else { continue };
        let place: Vec<_> = place.split(' ').collect();
        let (Some(&point), Some(options)) = (place.get(4), place.get(5)) else { continue };
        let kind = what.split(' ').next().unwrap_or_default();
        if point == "/" {
            let frozen = if options.starts_with("ro") { ", read-only" } else { "" };
            root = format!("/ is {kind}{frozen}");
        } else if own_root && !VIRTUAL.contains(&kind) {
            volumes.push(point);
        }
    }
    if !volumes.is_empty() {
        root += &format!("; from the host {}", super::share::some(&volumes, 3));
    }
    format!("{} ({root})", mountinfo.lines().count())
}

pub(super) fn number(text: Option<&String>) -> io::Result<u32> {
    text.and_then(|text| text.trim().parse().ok()).ok_or(ErrorKind::InvalidData.into())
}

/// The same error once more: [`io::Error`] cannot be copied.
pub(super) fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error)
}

/// File systems that hold nothing of the host's disks.
const VIRTUAL: [&str; 8] =
    ["proc", "sysfs", "devtmpfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translates_ids_both_ways() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(translate(map, 1000, true), Some(0));
        assert_eq!(translate(map, 100_004, true), Some(5));
        assert_eq!(translate(map, 5, false), Some(100_004));
        assert_eq!(translate(map, 0, false), Some(1000));
        assert_eq!(translate(map, 65_537, false), None);
        assert_eq!(translate("", 0, true), None);
        assert_eq!(translate("0 0 4294967295\n", 4_294_967_294, true), Some(4_294_967_294));
    }

    #[test]
    fn names_ids_and_namespaces() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000), "ada");
        assert_eq!(name_of(passwd, 7), "");
        assert_eq!(testified("user:17,pid:18", Namespace::Pid), Some(18));
        assert_eq!(testified("user:17", Namespace::Net), None);
    }

    #[test]
    fn counts_mounts_and_names_volumes() {
        let text = "1 0 0:9 / / ro,relatime - overlay overlay rw\n2 1 0:5 / /proc rw - proc proc rw\n\
            3 1 8:1 /srv /data rw shared:7 - ext4 /dev/sda1 rw\n";
        assert_eq!(mounts_in(text, true), "3 (/ is overlay, read-only; from the host /data)");
        assert_eq!(mounts_in(text, false), "3 (/ is overlay, read-only)");
    }
}
