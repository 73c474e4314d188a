//! Rung 1: a network of its own, in which one does not even reach oneself.
//! Needs: user namespaces
//! Shows: before: connected
//! Shows: after: ENETUNREACH
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::{fs, io};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

fn main() -> io::Result<()> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    println!("before: {}", connect(server.local_addr()?));
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    println!("after: {}", connect(server.local_addr()?));
    print!("{}", fs::read_to_string("/proc/self/net/dev")?);
    Ok(())
}

fn connect(to: SocketAddr) -> String {
    match TcpStream::connect(to) {
        Ok(_) => "connected".into(),
        Err(error) => format!("{:?}", Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    }
}
