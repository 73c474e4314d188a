//! Rung 3: a published port, by a program that copies.
//! Shows: I am 127.0.0.2, and the service was called by 127.0.0.1
use std::io::{Read, Result, Write, copy};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::{os::fd::AsRawFd, thread::spawn};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

fn main() -> Result<()> {
    let address =
        |last, port| SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), port));
    let (service, public) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let (inside, outside) = (service.local_addr()?, public.local_addr()?.port());
    spawn(move || service.accept().and_then(|(mut to, from)| write!(to, "{}", from.ip())));
    spawn(move || -> Result<u64> {
        copy(&mut TcpStream::connect(inside)?, &mut public.accept()?.0) // enough for this one
    });
    let client = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    bind(client.as_raw_fd(), &address(2, 0))?;
    connect(client.as_raw_fd(), &address(1, outside))?;
    let mut said = String::new();
    TcpStream::from(client).read_to_string(&mut said)?;
    println!("I am 127.0.0.2, and the service was called by {said}");
    Ok(())
}
