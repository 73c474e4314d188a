//! Rung 2: a socket speaks to the network in which it was opened.
//! Needs: user namespaces
//! Shows: by the socket of before: -1
//! Shows: by a socket of after: 0
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::{fs::File, io, io::Read, io::Write};

fn main() -> io::Result<()> {
    let netlink = || socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), None);
    let before = netlink()?;
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    let (before, after) = (lo_up(before.into())?, lo_up(netlink()?.into())?);
    println!("by the socket of before: {before}\nby a socket of after: {after}");
    Ok(())
}

fn lo_up(mut socket: File) -> io::Result<i32> {
    // 32 bytes, RTM_NEWLINK, please and acknowledge; link number 1, flags, which: IFF_UP
    let ask: [u32; 8] = [32, 16 | 5 << 16, 0, 0, 0, 1, 1, 1];
    socket.write_all(ask.map(u32::to_ne_bytes).as_flattened())?;
    let mut answer = [[0; 4]; 5];
    socket.read_exact(answer.as_flattened_mut())?;
    Ok(i32::from_ne_bytes(answer[4])) // after a head of 16 bytes: 0, or minus the errno
}
