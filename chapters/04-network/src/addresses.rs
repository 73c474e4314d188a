//! Catalogue: not needed to understand the chapter.
//!
//! Which addresses are free: ranges for networks, and of these one for each container.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ch01_clone::{Error, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::network::Range;

/// Docker's words for a range that somebody has already.
pub const OVERLAPS: &str = "Pool overlaps with other one on this address space";

/// The ranges that networks get unless asked otherwise, docker's: 172.17.0.0/16 to
/// 172.31.0.0/16, then 192.168.0.0/20 to 192.168.240.0/20 (RFC 1918).
pub fn pools() -> impl Iterator<Item = IpNet> {
    let large = (17..32).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
    let small = (0..16).map(|sixteenth| (Ipv4Addr::new(192, 168, sixteenth * 16, 0), 20));
    large.chain(small).map(|(first, length)| Ipv4Net::new_assert(first, length).into())
}

/// The IPv6 ranges that a network with this id (hexadecimal digits) may get: `fd`, ten digits of
/// its id, and a number (RFC 4193: so two machines that one day meet have different ones).
pub fn local_pools(id: &str) -> impl Iterator<Item = IpNet> {
    let chosen = u64::from_str_radix(id.get(..10).unwrap_or_default(), 16).unwrap_or_default();
    let high = 0xfd << 56 | (chosen & 0xff_ffff_ffff) << 16;
    (0..=0xffff).map(move |number| {
        let first = Ipv6Addr::from(u128::from(high | number) << 64);
        Ipv6Net::new_assert(first, 64).into()
    })
}

/// Whether some address is in both.
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    // Prefixes are nested or disjoint.
    one.contains(other) || other.contains(one)
}

/// The first of `pools` that overlaps none of `taken`.
pub fn free_range(pools: impl Iterator<Item = IpNet>, taken: &[IpNet]) -> Result<IpNet> {
    // ANCHOR: free-range
    let mut pools = pools;
    pools.find(|pool| !taken.iter().any(|other| overlap(pool, other))).ok_or_else(|| {
        Error::new("all predefined address pools have been fully subnetted")
            .hint("name a range of your own with --subnet")
    })
    // ANCHOR_END: free-range
}

/// A range as it was asked for. The gateway is its first address unless said otherwise.
pub fn range(subnet: IpNet, gateway: Option<IpAddr>) -> Result<Range> {
    let trunc = subnet.trunc();
    if subnet != trunc {
        return Err(Error::new(format!("invalid subnet {subnet}: it should be {trunc}")));
    }
    if subnet.addr().is_loopback() || subnet.addr().is_multicast() {
        return Err(Error::new(format!("invalid subnet {subnet}: no host can have one of these")));
    }
    if subnet.max_prefix_len() - subnet.prefix_len() < 2 {
        return Err(Error::new(format!("invalid subnet {subnet}: too small for two hosts")));
    }
    let gateway = match gateway {
        Some(gateway) => gateway,
        None => usable(&subnet).next().ok_or_else(|| Error::new("an empty range"))?,
    };
    match usable(&subnet).next().is_some() && is_usable(&subnet, gateway) {
        true => Ok(Range { subnet, gateway }),
        false => Err(Error::new(format!("no matching subnet for gateway {gateway}"))),
    }
}

/// An address of `range` that is not `taken`: the one `asked` for, else the lowest.
pub fn choose(range: &Range, asked: Option<IpAddr>, taken: &HashSet<IpAddr>) -> Result<IpNet> {
    let subnet = &range.subnet;
    let free = |address: &IpAddr| *address != range.gateway && !taken.contains(address);
    // ANCHOR: choose
    // HOLE: 04.1
    let address = match asked {
        Some(address) if !is_usable(subnet, address) => {
            return Err(Error::new(format!(
                "no configured subnet contains the IP address {address}: the network's is {subnet}"
            )));
        }
        Some(address) if !free(&address) => {
            return Err(Error::new(format!("Address already in use: {address}")));
        }
        Some(address) => address,
        None => usable(subnet).find(free).ok_or_else(|| {
            Error::new(format!("no available IPv{} addresses on {subnet}", family(subnet)))
        })?,
    };
    IpNet::new(address, subnet.prefix_len()).map_err(|error| Error::new(error.to_string()))
    // HOLE_END: 04.1
    // ANCHOR_END: choose
}

/// The hardware address that goes with an address. Whoever gets the address next gets this one
/// with it, so that what the neighbours remember stays true. (02: given by whoever runs it.)
pub fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// As it is written: `02:42:ac:11:00:02`.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The other way round. A group's address (its first bit on the wire set) is no host's.
pub fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2))
        .collect();
    match bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()) {
        Some(mac) if mac[0] & 1 == 0 && mac != [0; 6] => Ok(mac),
        _ => Err(Error::new(format!("invalid MAC address: {text:?}"))),
    }
}

/// The addresses that a host may have: not the network's own (of IPv6: that of any of its
/// routers), and not the one that means everybody.
fn usable(subnet: &IpNet) -> impl Iterator<Item = IpAddr> + use<> {
    let own = subnet.network();
    subnet.hosts().filter(move |address| *address != own)
}

fn is_usable(subnet: &IpNet, address: IpAddr) -> bool {
    let everybody = matches!(address, IpAddr::V4(_)) && address == subnet.broadcast();
    subnet.contains(&address) && address != subnet.network() && !everybody
}

fn family(subnet: &IpNet) -> u8 {
    if subnet.addr().is_ipv4() { 4 } else { 6 }
}
