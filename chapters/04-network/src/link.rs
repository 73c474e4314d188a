//! Catalogue: not needed to understand the chapter.
//!
//! One link: found, switched on, taken away.

use ch01_clone::error::Cause;
use ch01_clone::{Context, Error, Result};
use futures_util::TryStreamExt;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use nix::errno::Errno;
use rtnetlink::LinkUnspec;

use crate::links::{Answer, Links};

/// What the kernel says of a link.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// What kind of link it is, if it was made by software.
    pub kind: Option<InfoKind>,
    /// Its hardware address.
    pub mac: Vec<u8>,
    /// How long its packets may be.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
}

impl Links {
    /// The link of this name. One is asked for by name, not all of them by a dump.
    pub fn find(&self, name: &str) -> Answer<Option<Link>> {
        let request = self.handle.link().get().match_name(name).execute();
        match self.ask(async { std::pin::pin!(request).try_next().await }) {
            Err(Cause::Errno(Errno::ENODEV)) => Ok(None),
            answer => Ok(answer?.map(Link::from)),
        }
    }

    /// The same, where there has to be one.
    pub fn existing(&self, name: &str) -> Result<Link> {
        let request = || format!("RTM_GETLINK({name})");
        self.find(name).call(request)?.ok_or_else(|| Error::os(request(), Errno::ENODEV))
    }

    /// The link with this number.
    pub(crate) fn at(&self, index: u32) -> Answer<Option<Link>> {
        let request = self.handle.link().get().match_index(index).execute();
        let answer = self.ask(async { std::pin::pin!(request).try_next().await })?;
        Ok(answer.map(Link::from))
    }

    /// Switches a link on.
    pub fn set_up(&self, link: u32) -> Answer<()> {
        let up = LinkUnspec::new_with_index(link).up();
        self.ask(self.handle.link().set(up.build()).execute())
    }

    /// Removes a link, and with a veth its other end; `false` if there is none of this name.
    pub fn delete(&self, name: &str) -> Answer<bool> {
        let link = LinkUnspec::new_with_name(name).build();
        match self.ask(self.handle.link().del_with_message(link).execute()) {
            Ok(()) => Ok(true),
            Err(Cause::Errno(Errno::ENODEV)) => Ok(false),
            Err(cause) => Err(cause),
        }
    }
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let up = message.header.flags.contains(LinkFlags::Up);
        let mut link = Link { index: message.header.index, up, ..Link::default() };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::Address(mac) => link.mac = mac,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::LinkInfo(infos) => {
                    link.kind = infos.into_iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        link
    }
}
