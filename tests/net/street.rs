//! A host of a test's own, on which others have links, routes and rules, too.

use std::fs;
use std::io::Write;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::thread;

use dockster_tests::{Failed, Run, find_program, host, wait_until};
use nix::sched::{CloneFlags, unshare};
use sha2::{Digest, Sha256};

use crate::tools::{House, PATIENCE};

/// What others have: an engine with a chain of its own in `FORWARD`, and a firewall.
const OTHERS: &str = "
table ip filter {
    chain DOCKER-USER { return; }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        jump DOCKER-USER
        oifname \"office\" accept
    }
}
table ip nat {
    chain POSTROUTING {
        type nat hook postrouting priority srcnat;
        ip saddr 10.20.0.0/16 oifname != \"office\" masquerade
    }
}
table inet firewalld {
    set trusted { type ipv4_addr; flags interval; elements = { 10.20.0.0/16, 198.51.100.7 } }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10;
        ip saddr @trusted accept
    }
}
";

const LINKS: &str = "ip link set lo up
ip link add office type bridge
echo 1 >/proc/sys/net/ipv6/conf/office/disable_ipv6
ip addr add 10.20.0.1/16 dev office
ip link set office up
ip route add 10.99.0.0/24 via 10.20.0.9";

/// Without what moves by itself.
const LOOK: &str =
    "ip -o addr | sed 's/ tentative//'; ip route; ip -6 route; nft --stateless list ruleset
cd /proc/sys/net
grep . ipv?/conf/*/forwarding ipv?/conf/*/accept_redirects ipv6/conf/*/accept_ra";

/// A root of Dockster's with the network `web`, on such a host. An ordinary user's host
/// is one that Dockster itself makes: there only what is written down can be looked at.
pub struct Street {
    pub house: House,
}

impl Street {
    /// Does something on a new one.
    pub fn of_its_own(
        test: impl FnOnce(&Street) -> Result<(), Failed> + Send,
    ) -> Result<(), Failed> {
        let there = || {
            if host().root {
                unshare(CloneFlags::CLONE_NEWNET)?;
                Run::new("sh").args(["-ec", LINKS]).success()?;
                Run::new(nft()?).args(["-f", "-"]).input(OTHERS).success()?;
            }
            let street = Street { house: House::new()? };
            street.house.dockster(["network", "create", "--ipv6", "web"]).success()?;
            test(&street)
        };
        // It is the thread that goes to another network, and what it starts.
        let ended = thread::scope(|scope| scope.spawn(there).join());
        ended.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// All that could have been touched.
    pub fn look(&self) -> Result<String, Failed> {
        match host().root {
            true => Ok(Run::new("sh").args(["-c", LOOK]).success()?.stdout),
            false => Ok(String::new()),
        }
    }

    /// The next command puts all back. Whoever was killed may need a moment to be gone.
    pub fn put_back(&self, before: &str, after: &str) -> Result<(), Failed> {
        let neighbours = !self.house.containers()?.is_empty();
        let back = wait_until("all is as before", PATIENCE, || {
            let swept = self.house.dockster(["network", "ls"]).success().is_ok();
            swept
                && self.look().is_ok_and(|now| now == before)
                && (neighbours || self.written_down().is_empty())
        });
        let told = |failed: Failed| -> Failed {
            let (failed, now) = (failed.message().unwrap_or("").to_owned(), self.look());
            let (now, written) = (now.unwrap_or_default(), self.written_down());
            format!("{after}: {failed}: {written:?}\n{before}\nbecame\n{now}").into()
        };
        back.map_err(told)?;
        match neighbours {
            true => Ok(()),
            false => self.house.nothing_left().map_err(told),
        }
    }

    /// What is written down of who is on a network, and of what was changed for all.
    fn written_down(&self) -> Vec<String> {
        let networks = self.house.root().join("networks");
        let entries = fs::read_dir(&networks).into_iter().flatten().flatten();
        let leases = entries.map(|entry| entry.path().join("leases.json"));
        let leases = leases.filter_map(|file| fs::read_to_string(file).ok());
        let mut written: Vec<_> = leases.filter(|text| text.trim() != "[]").collect();
        let namespace = fs::read_link("/proc/thread-self/ns/net").unwrap_or_default();
        let namespace = namespace.to_string_lossy().replace("net:[", "").replace(']', "");
        let record = format!("/run/dockster/forwarding-{namespace}.json");
        written.extend(fs::read_to_string(record));
        written
    }

    /// `ip WORDS`
    pub fn ip(&self, words: &str) -> Result<(), Failed> {
        Run::new("ip").args(words.split(' ')).success().map(drop)
    }

    /// Whether the host is a router.
    pub fn forwards(&self) -> Result<bool, Failed> {
        // Whose thread reads it, of whose network it tells.
        Ok(fs::read_to_string("/proc/sys/net/ipv4/ip_forward")? == "1\n")
    }

    /// Whether our rules let nothing pass between others' links.
    pub fn guarded(&self) -> Result<bool, Failed> {
        let rules = Run::new(nft()?).args(["list", "chain", "inet", &self.prefix(), "passing"]);
        Ok(rules.success()?.stdout.contains("ipv4 jump guard"))
    }

    pub fn guarded_if_it_forwards(&self, when: &str) -> Result<(), Failed> {
        match self.forwards()? && !self.guarded()? {
            true => Err(format!("{when}: it forwards, and nobody guards it").into()),
            false => Ok(()),
        }
    }

    /// How links and the table of this root begin.
    fn prefix(&self) -> String {
        let digest = Sha256::digest(self.house.root().as_os_str().as_encoded_bytes());
        let hex: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("dk{hex}")
    }

    /// A program that has the table for itself, as long as it lives.
    pub fn own_our_table(&self) -> Result<Owner, Failed> {
        let mut command = Command::new(nft()?);
        command.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut owner = Owner(command.spawn()?);
        let line = format!("add table inet {} {{ flags owner; }}\n", self.prefix());
        owner.0.stdin.as_mut().ok_or("no pipe")?.write_all(line.as_bytes())?;
        wait_until("the table is there", PATIENCE, || {
            let listed = Run::new("nft").args(["list", "tables"]).success();
            listed.is_ok_and(|done| done.stdout.contains(&self.prefix()))
        })?;
        Ok(owner)
    }
}

/// Killed, its table goes with it.
pub struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nft() -> Result<std::path::PathBuf, Failed> {
    find_program("nft").ok_or_else(|| "no program nft".into())
}

/// A container of this name that stays.
pub fn start(house: &House, options: &[&str], name: &str) -> Result<(), Failed> {
    let run = house.dockster(["run", "-d", "--name", name]).args(options);
    run.args(["busybox", "sleep", "1000"]).success().map(drop)
}
