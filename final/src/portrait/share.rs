//! What a process has of the machine: memory, processors, processes, links.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use ch01_clone::Namespace;

use super::read::{Process, cell};
use super::{Group, Row};

/// Its limits, as its cgroup has them, beside what the machine has.
pub(super) fn limits(child: &Process) -> Vec<Row> {
    let row = |name, cells| Row::new(Group::Limits, name, cells);
    let Ok(lines) = child.read("cgroup") else {
        return vec![row("cgroup", [(); 2].map(|()| cell(child.read("cgroup"))))];
    };
    let dirs = directories(&lines, &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    let file = |name: &str| {
        let controller = name.split('.').next().unwrap_or(name);
        let dir = dirs.get(controller).or(dirs.get(""));
        dir.and_then(|dir| fs::read_to_string(dir.join(name)).ok())
    };
    let or_none = |limit: Option<String>| limit.unwrap_or_else(|| "no limit".to_owned());
    let memory = file("memory.max").or_else(|| file("memory.limit_in_bytes"));
    let cpu = file("cpu.max")
        .or_else(|| Some(file("cpu.cfs_quota_us")? + " " + &file("cpu.cfs_period_us")?));
    let machine =
        |path: &str, of: fn(&str) -> String| cell(fs::read_to_string(path).map(|text| of(&text)));
    let path = own_path(&lines);
    let root = match child.differs(Namespace::Cgroup) {
        Ok(true) => Ok("/".to_owned()),
        Ok(false) => Ok(path.clone()),
        Err(error) => Err(error),
    };
    vec![
        row(
            "memory",
            [or_none(memory.and_then(|text| bytes(&text))), machine("/proc/meminfo", memory_of)],
        ),
        row(
            "cpu",
            [or_none(cpu.and_then(|text| processors(&text))), machine("/proc/stat", processors_of)],
        ),
        row(
            "pids",
            [
                or_none(file("pids.max").and_then(|text| count(&text))),
                machine("/proc/sys/kernel/pid_max", |text| count(text).unwrap_or_default()),
            ],
        ),
        row("cgroup", [cell(root), path]),
    ]
}

/// The directories of a process's cgroups by controller, `""` for version 2's:
/// where `/proc/PID/cgroup` says, below where the hierarchies are mounted.
fn directories(cgroup: &str, mountinfo: &str) -> BTreeMap<String, PathBuf> {
    let mut dirs = BTreeMap::new();
    for line in mountinfo.lines() {
        let Some((place, what)) = line.split_once(" - cgroup") else { continue };
        let place: Vec<_> = place.split(' ').collect();
        let (Some(root), Some(point)) = (place.get(3), place.get(4)) else { continue };
        let options = what.rsplit(' ').next().unwrap_or_default();
        for line in cgroup.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let first = controllers.split(',').next().unwrap_or_default();
            let here = match controllers.is_empty() {
                true => what.starts_with('2'),
                false => !what.starts_with('2') && options.split(',').any(|option| option == first),
            };
            if here {
                let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
                let dir = PathBuf::from(format!("{point}/{}", below.trim_matches('/')));
                for name in controllers.split(',') {
                    dirs.entry(name.to_owned()).or_insert_with(|| dir.clone());
                }
            }
        }
    }
    dirs
}

/// The path of its cgroup in version 2, or where version 1 limits its memory.
fn own_path(cgroup: &str) -> String {
    let path =
        |start: &str| cgroup.lines().find_map(|line| line.split_once(start)).map(|(_, path)| path);
    let limiting = path(":memory:").filter(|path| *path != "/");
    limiting.or(path("::")).unwrap_or("/").to_owned()
}

/// A limit of memory: bytes, or `max`, or version 1's word for that, a number beyond all sense.
fn bytes(text: &str) -> Option<String> {
    let bytes = text.trim().parse().ok().filter(|bytes| *bytes < 1 << 62)?;
    Some(human(bytes))
}

/// A limit of processes: a number, or `max`.
fn count(text: &str) -> Option<String> {
    text.trim().parse::<u64>().ok().map(|number| number.to_string())
}

fn human(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(4);
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    match tenths % 10 {
        0 => format!("{} {}", tenths / 10, units[power as usize]),
        tenth => format!("{}.{tenth} {}", tenths / 10, units[power as usize]),
    }
}

/// `QUOTA PERIOD`: how many processors that is.
fn processors(text: &str) -> Option<String> {
    let mut numbers = text.split_whitespace().map(|word| word.parse::<f64>());
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (quota > 0.0).then(|| format!("{} processors", (quota / period * 100.0).round() / 100.0))
}

fn memory_of(meminfo: &str) -> String {
    let total = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    total.map_or("cannot be read".to_owned(), |kib| human(kib * 1024))
}

fn processors_of(stat: &str) -> String {
    let each = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    format!("{} processors", each.count())
}

/// Links and addresses of its network namespace and of the host's.
pub(super) fn network(child: &Process, host: &Process) -> Vec<Row> {
    let links =
        |process: &Process| cell(process.read("net/dev").map(|text| some(&links_in(&text), 4)));
    let addresses = |process: &Process| {
        cell(process.read("net/fib_trie").map(|text| {
            let mut all = addresses_in(&text);
            // Without IPv6 there is no such file.
            all.extend(addresses6_in(&process.read("net/if_inet6").unwrap_or_default()));
            some(&all, 4)
        }))
    };
    vec![
        Row::new(Group::Network, "links", [links(child), links(host)]),
        Row::new(Group::Network, "addresses", [addresses(child), addresses(host)]),
    ]
}

/// The first few of a list, and how many more there are.
pub(super) fn some<T: AsRef<str>>(list: &[T], most: usize) -> String {
    let named: Vec<_> = list.iter().take(most).map(AsRef::as_ref).collect();
    match list.len().saturating_sub(most) {
        _ if list.is_empty() => "none".to_owned(),
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Two lines of heading, then `  eth0: counters`.
fn links_in(dev: &str) -> Vec<String> {
    let name = |line: &str| line.split_once(':').map(|(name, _)| name.trim().to_owned());
    dev.lines().skip(2).filter_map(name).collect()
}

/// The routing table's leaves: those that are `host LOCAL` are our own addresses.
fn addresses_in(fib_trie: &str) -> Vec<String> {
    let (mut all, mut leaf) = (Vec::new(), "");
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address;
        } else if line.starts_with("/32 host LOCAL") && !all.iter().any(|known| known == leaf) {
            all.push(leaf.to_owned());
        }
    }
    all
}

/// 32 digits, then numbers, then the link's name.
fn addresses6_in(if_inet6: &str) -> Vec<String> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    if_inet6.lines().filter_map(address).map(|bits| Ipv6Addr::from(bits).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_cgroups_of_both_versions() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:32 /a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let cgroup = "5:cpu,cpuacct:/d/1\n4:memory:/a/d/1\n0::/d/1\n";
        let dirs = directories(cgroup, mounts);
        assert_eq!(dirs["cpu"], PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/d/1"));
        assert_eq!(dirs["memory"], PathBuf::from("/sys/fs/cgroup/memory/d/1"));
        assert_eq!(dirs[""], PathBuf::from("/sys/fs/cgroup/unified/d/1"));
        assert_eq!(own_path(cgroup), "/a/d/1");
        assert_eq!(own_path("0::/d/1\n"), "/d/1");
    }

    #[test]
    fn says_limits_as_people_do() {
        assert_eq!(bytes("67108864\n").as_deref(), Some("64 MiB"));
        assert_eq!(bytes("1610612736\n").as_deref(), Some("1.5 GiB"));
        assert_eq!(bytes("max\n"), None);
        assert_eq!(bytes("9223372036854771712\n"), None);
        assert_eq!(processors("50000 100000\n").as_deref(), Some("0.5 processors"));
        assert_eq!(processors("1000000 100000").as_deref(), Some("10 processors"));
        assert_eq!(processors("max 100000\n"), None);
        assert_eq!(processors("-1\n 100000\n"), None);
    }

    #[test]
    fn finds_links_and_addresses() {
        let dev = "Inter-| Receive\n face |bytes\n    lo: 1 2\n  eth0:3 4\n";
        assert_eq!(links_in(dev), ["lo", "eth0"]);
        let trie = "Local:\n  +-- 0.0.0.0/0 2 0 2\n     +-- 127.0.0.0/8 2 0 2\n        |-- 127.0.0.0\n           \
            /8 host LOCAL\n        |-- 127.0.0.1\n           /32 host LOCAL\n        |-- 127.255.255.255\n           \
            /32 link BROADCAST\n";
        assert_eq!(addresses_in(trie), ["127.0.0.1"]);
        let inet6 = "fd000000000000000000000000000002 02 40 00 80     eth0\n";
        assert_eq!(addresses6_in(inet6), ["fd00::2"]);
        assert_eq!(some(&["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(some::<&str>(&[], 2), "none");
    }
}
