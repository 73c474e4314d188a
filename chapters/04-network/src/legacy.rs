//! Catalogue: not needed to understand the chapter.
//!
//! The rules of the old iptables, which are not among those of nftables: the kernel has both.
//! Only the program that made them reads them; so it is asked, and a packet is played through
//! what it prints (iptables(8), `-S`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

use ch01_clone::{Context, Result};
use ipnet::IpNet;

use crate::nft::Packet;
use crate::obstacles::{Owner, of_iptables, program};

/// What a chain, or a rule of it, makes of a packet.
enum Fate {
    GoesOn,
    Accepted,
    Dropped(String),
}

/// The rules by their chains, and whether FORWARD's policy is to drop.
#[derive(Default)]
struct Chains<'a> {
    rules: BTreeMap<&'a str, Vec<Vec<&'a str>>>,
    drops: bool,
}

/// So deep chains are followed.
const DEPTH: usize = 16;

/// Whose rules drop this packet, and where, if any do.
pub(crate) fn stops(packet: &Packet) -> Result<Option<(Owner, String)>> {
    let names = if packet.v4 { "ip_tables_names" } else { "ip6_tables_names" };
    // Of the thread: /proc/net is that of the process.
    let names = std::fs::read_to_string(format!("/proc/thread-self/net/{names}"));
    // Not there: the kernel has none, and asking the program would load them.
    if !names.unwrap_or_default().lines().any(|name| name == "filter") {
        return Ok(None);
    }
    let program = program(!packet.v4, "legacy");
    let done = Command::new(program).args(["-w", "-t", "filter", "-S"]).output();
    let done = done.call(|| format!("execve({program})"))?;
    let text = String::from_utf8_lossy(&done.stdout);
    let chains = parse(&text);
    let owner = of_iptables(&|chain| chains.rules.contains_key(chain), !packet.v4);
    Ok(match play(&chains, "FORWARD", packet, 0) {
        Fate::Dropped(place) => Some((owner, place)),
        Fate::GoesOn if chains.drops => Some((owner, "chain FORWARD: policy DROP".into())),
        _ => None,
    })
}

/// The command that lets a bridge's packets pass.
pub(crate) fn cure(owner: Owner, v4: bool, bridge: &str) -> String {
    owner.command(program(!v4, "legacy"), bridge)
}

fn parse(text: &str) -> Chains<'_> {
    let mut chains = Chains::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["-P", "FORWARD", policy] => chains.drops = policy == "DROP",
            ["-N", chain] => drop(chains.rules.entry(chain).or_default()),
            ["-A", chain, ref rule @ ..] => {
                chains.rules.entry(chain).or_default().push(rule.to_vec());
            }
            _ => {}
        }
    }
    chains
}

fn play(chains: &Chains<'_>, chain: &str, packet: &Packet, depth: usize) -> Fate {
    if depth > DEPTH {
        return Fate::GoesOn;
    }
    for rule in chains.rules.get(chain).into_iter().flatten() {
        let Some((goes, target)) = matches(rule, packet) else { continue };
        match target {
            "ACCEPT" => return Fate::Accepted,
            "DROP" | "REJECT" => {
                return Fate::Dropped(format!("chain {chain}: {}", rule.join(" ")));
            }
            "RETURN" => return Fate::GoesOn,
            other => match play(chains, other, packet, depth + 1) {
                Fate::GoesOn if goes => return Fate::GoesOn,
                Fate::GoesOn => {}
                fate => return fate,
            },
        }
    }
    Fate::GoesOn
}

/// The target of a rule that matches, and whether it goes there for good. A rule with a
/// condition that is not known here does not match.
fn matches<'a>(rule: &[&'a str], packet: &Packet) -> Option<(bool, &'a str)> {
    let mut words = rule.iter().copied();
    let mut not = false;
    while let Some(word) = words.next() {
        let holds = match word {
            "!" => {
                not = true;
                continue;
            }
            "-i" => is_link(&packet.iif.0, words.next()?),
            "-o" => is_link(&packet.oif.0, words.next()?),
            "-s" => is_in(packet.from?, words.next()?)?,
            "-d" => is_in(packet.to?, words.next()?)?,
            "-p" => matches!(words.next()?, "tcp" | "all"),
            "-j" => return Some((false, words.next()?)),
            "-g" => return Some((true, words.next()?)),
            "-m" if words.next() == Some("comment") => continue,
            "--comment" => {
                // One of several words stands in quotes.
                let first = words.next()?;
                let open = first.starts_with('"') && (first.len() == 1 || !first.ends_with('"'));
                if open {
                    words.find(|word| word.ends_with('"'))?;
                }
                continue;
            }
            _ => return None,
        };
        if holds == std::mem::take(&mut not) {
            return None;
        }
    }
    None
}

fn is_link(name: &str, asked: &str) -> bool {
    match asked.strip_suffix('+') {
        Some(start) => name.starts_with(start),
        None => name == asked,
    }
}

/// `None`: it cannot be told.
fn is_in(address: IpAddr, range: &str) -> Option<bool> {
    let range = match range.parse() {
        Ok(range) => range,
        Err(_) => IpNet::from(range.parse::<IpAddr>().ok()?),
    };
    Some(range.contains(&address))
}
