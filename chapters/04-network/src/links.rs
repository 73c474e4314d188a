//! The kernel's links, asked for and changed over rtnetlink(7).
//!
//! A netlink socket belongs to the network namespace that it was opened in, wherever its
//! owner goes. So whoever wires a container has two of these: one outside, one inside.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ch01_clone::error::Cause;
use ch01_clone::{Error, Result};
use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags};
use netlink_packet_route::link::{InfoData, InfoVeth};
use nix::errno::Errno;
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::runtime::{Builder, Runtime};

/// What the kernel answers: a [`Cause`] wants to be told which request that was.
pub type Answer<T> = Result<T, Cause>;

/// A socket to the kernel's links of one network namespace.
pub struct Links {
    pub(crate) handle: Handle,
    runtime: Runtime,
}

/// A wire: its end here is a port of a bridge, the other is in a container.
#[derive(Debug)]
pub struct Veth<'a> {
    /// The end here.
    pub name: &'a str,
    /// The bridge's index.
    pub bridge: u32,
    /// How long packets may be.
    pub mtu: u32,
    /// The container's network namespace.
    pub netns: BorrowedFd<'a>,
    /// The name of the end in there.
    pub inside: &'a str,
    /// Its hardware address.
    pub mac: [u8; 6],
}

impl Links {
    /// Those of the network namespace that the calling thread is in now.
    pub fn open() -> Result<Self> {
        let socket = |error: std::io::Error| {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
            Error::os("socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)", errno)
        };
        // ANCHOR: open
        let runtime = Builder::new_current_thread().enable_io().build().map_err(socket)?;
        let inside = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection().map_err(socket)?;
        drop(inside);
        runtime.spawn(connection);
        // ANCHOR_END: open
        Ok(Links { handle, runtime })
    }

    /// Sends a request and waits for the answer; an errno is an errno again.
    pub(crate) fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Answer<T> {
        // ANCHOR: ask
        self.runtime.block_on(request).map_err(|error| match error {
            rtnetlink::Error::NetlinkError(answer) => Errno::from_raw(-answer.raw_code()).into(),
            other => Error::new(other.to_string()).into(),
        })
        // ANCHOR_END: ask
    }

    /// A new bridge, not yet switched on. Without an address of its own it would take the
    /// lowest of its ports', and change it as they come and go.
    pub fn add_bridge(&self, name: &str, mac: [u8; 6], mtu: u32) -> Answer<()> {
        // ANCHOR: add-bridge
        let bridge = LinkBridge::new(name).down().address(mac.to_vec()).mtu(mtu);
        self.ask(self.handle.link().add(bridge.build()).execute())
        // ANCHOR_END: add-bridge
    }

    /// Both ends of a wire at once: the peer is born in the container's namespace with its
    /// name there, so it is never seen here.
    pub fn add_veth(&self, veth: &Veth<'_>) -> Answer<()> {
        // ANCHOR: veth
        let peer = LinkUnspec::new_with_name(veth.inside)
            .address(veth.mac.to_vec())
            .mtu(veth.mtu)
            .setns_by_fd(veth.netns.as_raw_fd());
        let here = LinkVeth::new(veth.name, veth.inside)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())))
            .mtu(veth.mtu)
            .controller(veth.bridge)
            .up();
        // ANCHOR_END: veth
        self.ask(self.handle.link().add(here.build()).execute())?;
        self.may_turn_back(veth.name)
    }

    /// Gives a link an address; it may have it already.
    ///
    /// One of IPv6 would be tentative for a second, while the kernel asks whether somebody
    /// else has it (RFC 4862, 5.4). Nobody has: it is leased.
    pub fn add_address(&self, link: u32, address: IpNet) -> Answer<()> {
        let addresses = self.handle.address();
        let mut request = addresses.add(link, address.addr(), address.prefix_len()).replace();
        if address.addr().is_ipv6() {
            let nodad = AddressAttribute::Flags(AddressFlags::Nodad);
            request.message_mut().attributes.push(nodad);
        }
        self.ask(request.execute())
    }

    /// Whatever has no other way leaves through this gateway. If there is such a route already,
    /// that one stays.
    pub fn add_default_route(&self, link: u32, gateway: IpAddr) -> Answer<()> {
        let route = match gateway {
            IpAddr::V4(gateway) => RouteMessageBuilder::<Ipv4Addr>::new()
                .output_interface(link)
                .gateway(gateway)
                .build(),
            IpAddr::V6(gateway) => RouteMessageBuilder::<Ipv6Addr>::new()
                .output_interface(link)
                .gateway(gateway)
                .build(),
        };
        // ANCHOR: route
        match self.ask(self.handle.route().add(route).execute()) {
            Err(Cause::Errno(Errno::EEXIST)) => Ok(()),
            answer => answer,
        }
        // ANCHOR_END: route
    }
}
