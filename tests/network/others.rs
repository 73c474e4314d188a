//! What other software's firewalls do to our packets is found out, and the command that is
//! named mends it.

use std::time::Duration;

use ch04_network::Network;
use ch04_network::Protocol::{Tcp, Udp};
use ch04_network::obstacles::{Obstacle, obstacles};
use dockster_tests::{Failed, Need, Run, Trial, find_program, scaled, trial, wait_until};

use crate::hosts::{PART, Part, as_host};
use crate::lan::Host;
use crate::world::World;

pub const PARTS: &[Part] = &[
    ("what_nftables_drops_is_found_and_mended", nftables),
    ("what_is_let_through_is_no_obstacle", let_through),
    ("what_iptables_drops_is_found_and_mended", iptables),
    ("what_the_old_iptables_drops_is_found_and_mended", old_iptables),
];

/// The programs that a part needs, beside `ip` and `nft`.
fn needs(part: &str) -> &'static [Need] {
    match part {
        "what_iptables_drops_is_found_and_mended" => &[Need::Program("iptables-nft")],
        // Its lock is a file that only root may write to.
        "what_the_old_iptables_drops_is_found_and_mended" => {
            &[Need::Root, Need::Program("iptables-legacy")]
        }
        _ => &[],
    }
}

pub fn trials() -> Vec<Trial> {
    let trial = |(name, _): &Part| {
        let name = *name;
        let always = [Need::UserNamespaces, Need::Program("ip"), Need::Program("nft")];
        trial(name, &[&always[..], needs(name)].concat(), move || {
            let run = as_host(std::env::current_exe()?).env(PART, name);
            run.limit(Duration::from_secs(240)).success().map(drop)
        })
    };
    PARTS.iter().map(trial).collect()
}

/// A host with a container that serves, and somebody outside who serves, too.
struct Street {
    world: World,
    net: Network,
    container: Host,
}

impl Street {
    fn new() -> Result<Street, Failed> {
        let ports = ["8080:80/tcp", "8080:80/udp"];
        let (world, net, _, container) = World::with_one(&ports)?;
        world.host.ip("route add default via 192.0.2.2")?;
        world.host.ip("-6 route add default via 2001:db8::2")?;
        world.outside.serve_both("outside", 80)?;
        let street = Street { world, net, container };
        // The wires have just been laid: some are not up yet.
        wait_until("all ways are open", scaled(Duration::from_secs(30)), || {
            street.passes().is_ok()
        })?;
        Ok(street)
    }

    fn obstacles(&self) -> Result<Vec<Obstacle>, Failed> {
        Ok(self.world.host.within(|| obstacles(&self.net))?)
    }

    /// `sh -c COMMAND` on the host.
    fn sh(&self, command: &str) -> Result<(), Failed> {
        // An ordinary user's PATH often lacks what is for administrators.
        let command = format!("PATH=$PATH:/usr/sbin:/sbin; {command}");
        let sh = Run::new(find_program("sh").ok_or("no sh")?).args(["-c", &command]);
        self.world.host.within(|| sh.success()).map(drop)
    }

    /// Fails unless packets pass on all of the ways that others may hinder.
    fn passes(&self) -> Result<(), Failed> {
        for protocol in [Tcp, Udp] {
            for to in ["192.0.2.1:8080", "[2001:db8::1]:8080"] {
                self.world.outside.ask(protocol, to)?;
            }
            for to in ["192.0.2.2:80", "[2001:db8::2]:80"] {
                self.container.ask(protocol, to)?;
            }
        }
        Ok(())
    }

    /// With these rules something is caught: as it is told, and by nobody else. The commands
    /// that are named mend it.
    fn mends(&self, rules: &str, whose: &str, command: &str) -> Result<(), Failed> {
        self.sh(rules)?;
        let ways = [
            self.world.outside.no_answer(Tcp, "192.0.2.1:8080"),
            self.world.outside.no_answer(Tcp, "[2001:db8::1]:8080"),
            self.container.no_answer(Tcp, "192.0.2.2:80"),
            self.container.no_answer(Tcp, "[2001:db8::2]:80"),
        ];
        assert!(ways.iter().any(Result::is_ok), "{rules}: catches nothing");
        let found = self.obstacles()?;
        let told = |it: &Obstacle| it.place.starts_with(whose) && it.cure.contains(command);
        if found.is_empty() || !found.iter().all(told) {
            return Err(format!("{rules}: {found:?}").into());
        }
        found.iter().try_for_each(|obstacle| self.sh(&obstacle.cure))?;
        self.passes().map_err(|error| format!("{rules}: {found:?}: {error:?}"))?;
        assert_eq!(self.obstacles()?, [], "{rules}");
        Ok(())
    }

    /// Others' rules are gone, ours are as they were.
    fn clear(&self, tables: &[&str]) -> Result<(), Failed> {
        tables
            .iter()
            .try_for_each(|table| self.world.host.nft(&format!("delete table {table}")).map(drop))
    }
}

fn nftables() -> Result<(), Failed> {
    let street = Street::new()?;
    let base = "type filter hook forward priority 0";
    for body in [
        "policy drop; ct state vmap { established : accept, related : accept, invalid : drop }",
        "policy accept; ct state established,related accept; iifname { dockster0, other } drop",
        "policy accept; ct state established accept; oifname \"dock*\" reject",
        "policy accept; ct state established accept; ip saddr { 10.0.0.0/8, 172.16.0.0/12 } drop",
        "policy accept; ct state established accept; ip6 saddr fd00::/8 counter drop",
        "policy accept; ct state new meta nfproto ipv6 jump other",
    ] {
        let rules = format!("chain other {{ drop; }}; chain forward {{ {base}; {body}; }};");
        let rules = format!("nft 'table inet filter {{ {rules} }}'");
        street.mends(
            &rules,
            "nftables (table inet filter, chain ",
            "nft insert rule inet filter forward",
        )?;
        street.clear(&["inet filter"])?;
    }
    // As firewalld has them.
    let rules = "chain filter_FORWARD { type filter hook forward priority 10; \
        ct state { established, related } accept; iifname lo accept; \
        jump filter_FORWARD_POLICIES; reject with icmpx admin-prohibited; }; \
        chain filter_FORWARD_POLICIES { iifname eth7 accept; };";
    street.sh(&format!("nft 'table inet firewalld {{ {rules} }}'"))?;
    let found = street.obstacles()?;
    let cure = "firewall-cmd --zone=trusted --add-interface=dockster0";
    assert!(found.iter().all(|it| it.cure == cure) && !found.is_empty(), "{found:?}");
    let place = "firewalld (table inet firewalld, chain filter_FORWARD: reject)";
    assert_eq!(found[0].place, place);
    Ok(())
}

fn let_through() -> Result<(), Failed> {
    let street = Street::new()?;
    assert_eq!(street.obstacles()?, []);
    let base = "type filter hook forward priority 0";
    for body in [
        "policy drop; ct state established,related accept; ct status dnat accept; \
         ip saddr { 10.0.0.0/8, 172.16.0.0/12 } accept; ip6 saddr fd00::/8 accept",
        "policy drop; iifname vmap { dockster0 : accept }; oifname . iifname vmap { \
         dockster0 . eth0 : goto other }",
        "policy accept; iifname eth7 drop; ip daddr 192.168.0.0/16 drop; ct state invalid drop",
        "policy accept; tcp dport 25 drop; limit rate over 9000/second drop",
    ] {
        let rules = format!("chain other {{ accept; }}; chain forward {{ {base}; {body}; }};");
        street.sh(&format!("nft 'table inet filter {{ {rules} }}'"))?;
        street.passes().map_err(|error| format!("{body}: {error:?}"))?;
        assert_eq!(street.obstacles()?, [], "{body}");
        street.clear(&["inet filter"])?;
    }
    // Another Dockster's rules are not foreign, and those of other hooks hinder nobody here.
    let rules = "chain passing { type filter hook forward priority 0; policy drop; };";
    street.sh(&format!("nft 'table inet dk0a1b2c3d {{ {rules} }}'"))?;
    street.sh(
        "nft 'table inet x { chain in { type filter hook input priority 0; policy drop; }; }'",
    )?;
    assert_eq!(street.obstacles()?, []);
    Ok(())
}

/// As docker, ufw and plain hands write them; by the programs that these use.
fn iptables() -> Result<(), Failed> {
    by_iptables("nft", |street| street.clear(&["ip filter", "ip6 filter"]))
}

fn old_iptables() -> Result<(), Failed> {
    by_iptables("legacy", |street| {
        ["iptables-legacy", "ip6tables-legacy"].iter().try_for_each(|program| {
            street.sh(&format!("{program} -w -P FORWARD ACCEPT; {program} -w -F; {program} -w -X"))
        })
    })
}

fn by_iptables(kind: &str, clear: fn(&Street) -> Result<(), Failed>) -> Result<(), Failed> {
    let street = Street::new()?;
    let known = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
    let docker = [
        "-P FORWARD DROP",
        "-N DOCKER-USER",
        "-A FORWARD -m comment --comment 'what the host wants' -j DOCKER-USER",
        known,
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
        "-A FORWARD -i docker0 -o docker0 -j ACCEPT",
        "-A DOCKER-USER -j RETURN",
    ];
    for (rules, whose, command) in [
        (&["-P FORWARD DROP", known][..], "iptables (", "-I FORWARD -i dockster0"),
        (&[known, "-A FORWARD -j REJECT"], "iptables (", "-I FORWARD -o dockster0"),
        (&[known, "-A FORWARD ! -o eth7 -j DROP"], "iptables (", "-I FORWARD -i dockster0"),
        (&docker, "docker (", "-I DOCKER-USER -i dockster0"),
    ] {
        let both = ["iptables", "ip6tables"].iter().flat_map(|program| {
            rules.iter().map(move |rule| format!("{program}-{kind} -w {rule}"))
        });
        let both: Vec<String> = both.collect();
        // Of either Internet Protocol: iptables, ip6tables.
        street.mends(&both.join(" && "), whose, &format!("tables-{kind} {command}"))?;
        clear(&street)?;
    }
    Ok(())
}
