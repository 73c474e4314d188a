//! Catalogue: not needed to understand the chapter.
//!
//! What the host's routing table says: how long packets may be, and which addresses are spoken for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ch01_clone::error::Cause;
use ch01_clone::{Context, Error, Result};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::link::LinkAttribute;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType,
};
use rtnetlink::RouteMessageBuilder;

use crate::links::{Answer, Links};

impl Links {
    /// How long packets to the outside may be: what the default route says, else its link.
    /// Without one there is no outside, and it is what an ethernet has.
    pub fn mtu(&self) -> Answer<u32> {
        for v4 in [true, false] {
            let Some(route) = self.route_to(outside(v4))? else { continue };
            if let Some(mtu) = self.mtu_of(&route)? {
                // What a bridge can at most; a loopback has one more.
                return Ok(mtu.min(65535));
            }
        }
        Ok(1500)
    }

    /// The link of the default route: its name and number.
    pub fn way_out(&self, v4: bool) -> Answer<Option<(String, u32)>> {
        let Some(route) = self.route_to(outside(v4))? else { return Ok(None) };
        let link = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        Ok(match link {
            Some(index) => self.name_of(index)?.map(|name| (name, index)),
            None => None,
        })
    }

    fn name_of(&self, index: u32) -> Answer<Option<String>> {
        let request = self.handle.link().get().match_index(index).execute();
        let link = self.ask(async { std::pin::pin!(request).try_next().await })?;
        let name = |attribute: &LinkAttribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        };
        Ok(link.and_then(|link| link.attributes.iter().find_map(name)))
    }

    fn mtu_of(&self, route: &RouteMessage) -> Answer<Option<u32>> {
        let mut link = None;
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Metrics(metrics) => {
                    let said = metrics.iter().find_map(|metric| match metric {
                        RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
                        _ => None,
                    });
                    if said.is_some() {
                        return Ok(said);
                    }
                }
                RouteAttribute::Oif(index) => link = self.at(*index)?,
                _ => {}
            }
        }
        Ok(link.map(|link| link.mtu))
    }

    fn route_to(&self, address: IpAddr) -> Answer<Option<RouteMessage>> {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let request = RouteMessageBuilder::<IpAddr>::new().destination_prefix(address, length);
        let request = request.map_err(|error| Error::new(error.to_string()))?.build();
        let request = self.handle.route().get(request).execute();
        match self.ask(async { std::pin::pin!(request).try_next().await }) {
            // No such route, or no such family.
            Err(Cause::Errno(_)) => Ok(None),
            answer => answer,
        }
    }

    /// Where the host's routes lead, and through what: nobody else may have these. (A dump, so
    /// only when a network is made.)
    pub fn routes(&self) -> Result<Vec<(IpNet, String)>> {
        let mut routes = Vec::new();
        for request in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let request = self.handle.route().get(request).execute();
            let answer = self.ask(async { std::pin::pin!(request).try_collect::<Vec<_>>().await });
            let dump = answer.call(|| "RTM_GETROUTE(all)")?;
            routes.extend(dump.iter().filter_map(destination));
        }
        Ok(routes.into_iter().map(|range| (range, "a route of the host".to_owned())).collect())
    }
}

/// A dummy address (RFC 7600), and one of documentation (RFC 9637): nobody's, so only the
/// default route is theirs.
fn outside(v4: bool) -> IpAddr {
    match v4 {
        true => Ipv4Addr::new(192, 0, 0, 8).into(),
        false => Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// The range that a route is for, if somebody in particular has it.
fn destination(route: &RouteMessage) -> Option<IpNet> {
    // The kernel's own entries for each address, and what goes to groups, say nothing of ranges.
    let own = [RouteType::Local, RouteType::Broadcast, RouteType::Anycast, RouteType::Multicast];
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    // Each link has its own fe80::/64.
    let local =
        matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.is_multicast());
    // Halves of everything are how tunnels write a default route.
    let length = route.header.destination_prefix_length;
    match own.contains(&route.header.kind) || local || length <= 1 {
        true => None,
        false => IpNet::new(address, length).ok(),
    }
}
