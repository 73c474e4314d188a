//! Catalogue: not needed to understand the chapter.
//!
//! What else is set about a link.

use ch01_clone::error::Cause;
use ch01_clone::{Error, Result};
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use nix::errno::Errno;
use rtnetlink::LinkUnspec;

use crate::links::{Answer, Links};

impl Links {
    /// Makes a link a port of the bridge.
    pub fn set_bridge(&self, link: &str, bridge: u32) -> Answer<()> {
        let port = LinkUnspec::new_with_name(link).controller(bridge).up();
        self.ask(self.handle.link().set(port.build()).execute())?;
        self.may_turn_back(link)
    }

    /// A link without addresses of IPv6: the kernel shall not give it one of its own (fe80::)
    /// when it is switched on.
    pub fn leave_without_ipv6(&self, link: u32) -> Answer<()> {
        let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        let none = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![none])]);
        let link = LinkUnspec::new_with_index(link).append_extra_attribute(none);
        match self.ask(self.handle.link().set(link.build()).execute()) {
            // A kernel without IPv6.
            Err(Cause::Errno(Errno::EAFNOSUPPORT)) => Ok(()),
            answer => answer,
        }
    }
}

/// A link's name: up to 15 bytes (netdevice(7), IFNAMSIZ), of which we use the harmless ones.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let fits = (1..nix::libc::IF_NAMESIZE).contains(&name.len());
    match fits && name.chars().all(plain) && !name.starts_with(['.', '-']) {
        true => Ok(()),
        false => Err(Error::new(format!("{name:?} cannot be the name of a link"))),
    }
}

/// A network's name, which is also that of a directory.
pub fn check_network(name: &str) -> Result<()> {
    let rest = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !first || name.len() > 128 || !name.chars().all(rest) {
        return Err(Error::new(format!(
            "invalid network name ({name}): only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed"
        )));
    }
    match name {
        "none" | "host" | "default" => {
            Err(Error::new(format!("operation is not permitted on predefined {name} network")))
        }
        _ => Ok(()),
    }
}
