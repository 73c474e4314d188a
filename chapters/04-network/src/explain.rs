//! Catalogue: not needed to understand the chapter.
//!
//! `dockster network explain`: the way of a packet, drawn of what the kernel has at this
//! moment, not of what should be there.

use std::fmt::Write;

use ch01_clone::Result;
use nix::errno::Errno;

use crate::elements::SETS;
use crate::links::Links;
use crate::nft::{Rule, Socket};
use crate::obstacles::{Obstacle, obstacles};
use crate::{Lease, Network};

/// The chains in the order of a packet's way, and when the kernel asks them.
const WAY: [(&str, &str); 7] = [
    ("arriving", "has come in by a link"),
    ("incoming", "has come in, and its way is not yet known"),
    ("outgoing", "was sent by the host itself, and its way is not yet known"),
    ("published", "is for the host: perhaps for a published port"),
    ("passing", "came by one link and goes on by another"),
    ("guard", "passes from a foreign link to a foreign link"),
    ("leaving", "is about to leave by a link"),
];

/// The way of a packet of a network: its links, the rules, the elements that are of it. What
/// should be there and is not is said to be missing. Of the network namespace that the
/// caller is in; nothing is changed.
pub fn explain(prefix: &str, network: &Network, leases: &[Lease]) -> Result<String> {
    let links = Links::open()?;
    let socket = Socket::open()?;
    let mut text = format!("network {}\n\n", network.name);
    for lease in leases {
        let addresses: Vec<String> = lease.addresses.iter().map(ToString::to_string).collect();
        line(&mut text, &format!("container {}", lease.name), &addresses.join(" "));
        line(&mut text, &format!("  │ {}", lease.interface), "its end of the wire");
        line(&mut text, &format!("  │ {}", lease.link), &state(&links, &lease.link)?);
    }
    let gateways: Vec<String> = network.ranges.iter().map(|r| r.gateway.to_string()).collect();
    let bridge = format!("{} {}", gateways.join(" "), state(&links, &network.bridge)?);
    line(&mut text, &format!("bridge {}", network.bridge), &bridge);
    let way_out = if network.internal { "none: internal" } else { "by the host's own routes" };
    line(&mut text, "  │ outside", way_out);

    let rules = socket.rules(prefix)?;
    let _ = write!(text, "\ntable inet {prefix}");
    text +=
        if rules.is_empty() { ": missing (dockster network reload makes it anew)\n" } else { "\n" };
    for (chain, when) in WAY {
        draw(&mut text, chain, when, &rules);
    }
    for set in &SETS {
        let ours = |element: &String| of_network(element, network, leases);
        let elements = match socket.elements(prefix, set) {
            Err(error) if error.errno == Some(Errno::ENOENT) => continue,
            elements => elements?,
        };
        let elements: Vec<String> = elements.into_iter().filter(ours).collect();
        if !elements.is_empty() {
            let _ = writeln!(text, "\n  @{}: {}", set.name, set.comment);
            elements.iter().for_each(|element| text += &format!("    {element}\n"));
        }
    }
    text += &others(network)?;
    Ok(text)
}

/// What other software's rules drop, and the command that lets it pass.
fn others(network: &Network) -> Result<String> {
    let obstacles = obstacles(network)?;
    let mut text = "\nother tables".to_owned();
    text += if obstacles.is_empty() { ": none that drops these packets\n" } else { "\n" };
    for Obstacle { packets, place, cure } in obstacles {
        let _ = write!(text, "  {packets}\n    is dropped by {place}\n    as root: {cure}\n");
    }
    Ok(text)
}

fn line(text: &mut String, left: &str, right: &str) {
    let _ = writeln!(text, "{left:<28}{right}");
}

fn state(links: &Links, name: &str) -> Result<String> {
    use ch01_clone::Context;
    let link = links.find(name).call(|| format!("RTM_GETLINK({name})"))?;
    Ok(match link {
        None => "missing (dockster network reload makes it anew)".into(),
        Some(link) if link.up => format!("up, mtu {}", link.mtu),
        Some(link) => format!("down, mtu {}", link.mtu),
    })
}

fn draw(text: &mut String, chain: &str, when: &str, rules: &[Rule]) {
    let mut of_chain = rules.iter().filter(|rule| rule.chain == chain).peekable();
    if of_chain.peek().is_some() {
        let _ = writeln!(text, "\n  chain {chain}: a packet {when}");
    }
    for Rule { text: rule, comment, .. } in of_chain {
        let _ = writeln!(text, "    {rule} comment \"{comment}\"");
    }
}

/// Whether an element names the network's bridge or an address on it.
fn of_network(element: &str, network: &Network, leases: &[Lease]) -> bool {
    let words: Vec<&str> = element.split_whitespace().collect();
    let bridge = format!("\"{}\"", network.bridge);
    let mut addresses = leases.iter().flat_map(|lease| &lease.addresses);
    words.contains(&bridge.as_str())
        || addresses.any(|address| words.contains(&address.addr().to_string().as_str()))
}
