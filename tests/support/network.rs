//! A network of the tests' own.

use std::os::fd::AsFd;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::{host, sys};

/// For suites that run containers: whatever these are joined to, the host's own bridges,
/// rules and ports are not touched, and two suites do not meet. First thing in `main`: a
/// thread that runs already would stay where it is.
///
/// An ordinary user cannot do this, and need not: Dockster itself gives them a network apart.
pub fn on_a_network_of_its_own() {
    if !host().root {
        return;
    }
    unshare(CloneFlags::CLONE_NEWNET).expect("root may make network namespaces");
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    let socket = socket.expect("a socket");
    sys::loopback_up(socket.as_fd()).expect("its loopback comes up");
}
