//! Hosts made of network namespaces, wired by `ip`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use ch04_network::Protocol;
use dockster_tests::{Failed, Need, Run, Trial, find_program, scaled, trial};
use nix::sched::{CloneFlags, setns, unshare};

use crate::hosts::{PART, Part, as_host};

/// The test that runs a part.
pub fn trial_of((name, _): &Part) -> Trial {
    let name = *name;
    let needs = [Need::UserNamespaces, Need::Program("ip"), Need::Program("nft")];
    trial(name, &needs, move || {
        let run = as_host(std::env::current_exe()?).env(PART, name);
        run.limit(Duration::from_secs(120)).success().map(drop)
    })
}

/// A host, or a container: a network namespace that lives as long as this.
pub struct Host(pub File);

impl Host {
    /// A new one, in which `lo` is up.
    pub fn new() -> Result<Host, Failed> {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let host = Host(made.join().expect("no panic")?);
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// Does something there: in a thread of its own, which sees this host's network.
    pub fn within<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let there = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).expect("setns into a host");
            what()
        };
        thread::scope(|scope| scope.spawn(there).join().expect("no panic on the host"))
    }

    /// `ip WORDS` there.
    pub fn ip(&self, words: &str) -> Result<String, Failed> {
        self.run("ip", words)
    }

    /// `nft WORDS` there.
    pub fn nft(&self, words: &str) -> Result<String, Failed> {
        self.run("nft", words)
    }

    /// `nft -f -` there, with these rules.
    pub fn load(&self, rules: &str) -> Result<(), Failed> {
        self.within(|| program("nft").args(["-f", "-"]).input(rules).success()).map(|_| ())
    }

    fn run(&self, name: &str, words: &str) -> Result<String, Failed> {
        Ok(self.within(|| program(name).args(words.split_whitespace()).success())?.stdout)
    }

    /// Reads a sysctl: `ipv4/ip_forward`.
    pub fn sysctl(&self, key: &str) -> Result<String, Failed> {
        let path = format!("/proc/sys/net/{key}");
        Ok(self.within(|| fs::read_to_string(path))?.trim().to_owned())
    }

    /// Sets one.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<(), Failed> {
        let path = format!("/proc/sys/net/{key}");
        self.within(|| fs::write(&path, value)).map_err(|error| format!("{path}: {error}").into())
    }

    /// Lays a wire from here to another: `link` on this side, `far` on the other; both up.
    pub fn wire(&self, link: &str, other: &Host, far: &str) -> Result<(), Failed> {
        let there = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        self.ip(&format!("link add {link} type veth peer name {far} netns {there}"))?;
        self.ip(&format!("link set {link} up"))?;
        other.ip(&format!("link set {far} up"))?;
        Ok(())
    }

    /// Gives a link an address.
    pub fn address(&self, link: &str, address: &str) -> Result<(), Failed> {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("address add {address} dev {link} {nodad}")).map(|_| ())
    }

    /// Serves `protocol` on `port` of every address until the process ends: whoever asks
    /// is told `name` and its own address as seen from here.
    pub fn serve(&self, name: &str, protocol: Protocol, port: u16) -> Result<(), Failed> {
        let name = name.to_owned();
        let any: SocketAddr = format!("[::]:{port}").parse().expect("an address");
        self.within(move || -> std::io::Result<()> {
            match protocol {
                Protocol::Tcp => {
                    let listener = TcpListener::bind(any)?;
                    thread::spawn(move || serve_tcp(&name, &listener));
                }
                Protocol::Udp => {
                    let socket = UdpSocket::bind(any)?;
                    thread::spawn(move || serve_udp(&name, &socket));
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Serves TCP and UDP.
    pub fn serve_both(&self, name: &str, port: u16) -> Result<(), Failed> {
        self.serve(name, Protocol::Tcp, port)?;
        self.serve(name, Protocol::Udp, port)
    }

    /// Asks who serves there: its name, and from where it sees the question come.
    pub fn ask(&self, protocol: Protocol, to: &str) -> Result<(String, IpAddr), Failed> {
        let answer = self.asks(protocol, to, scaled(Duration::from_secs(10)));
        let answer = answer.map_err(|error| format!("{protocol:?} {to}: {error}"))?;
        let (name, from) = answer.split_once(' ').ok_or(format!("answered {answer:?}"))?;
        Ok((name.to_owned(), from.parse().map_err(|error| format!("{from}: {error}"))?))
    }

    /// A socket here from which UDP can be sent there again and again.
    pub fn sender(&self, to: &str) -> Result<Sender, Failed> {
        let to: SocketAddr = to.parse()?;
        Ok(Sender(self.within(|| connected_udp(to, scaled(Duration::from_secs(10))))?))
    }

    /// Nobody answers there: refused or silent.
    pub fn no_answer(&self, protocol: Protocol, to: &str) -> Result<(), Failed> {
        match self.asks(protocol, to, Duration::from_millis(400)) {
            Ok(answer) => Err(format!("{protocol:?} {to} should be closed: {answer}").into()),
            Err(_) => Ok(()),
        }
    }

    fn asks(&self, protocol: Protocol, to: &str, limit: Duration) -> std::io::Result<String> {
        let to: SocketAddr = to.parse().expect("an address with a port");
        self.within(|| match protocol {
            Protocol::Tcp => ask_tcp(to, limit),
            Protocol::Udp => ask_udp(to, limit),
        })
    }
}

fn program(name: &str) -> Run {
    Run::new(find_program(name).expect("a program that the test needs"))
}

fn serve_tcp(name: &str, listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let from = stream.peer_addr().map(|from| from.ip().to_canonical());
        let _ = from.and_then(|from| write!(stream, "{name} {from}"));
    }
}

fn serve_udp(name: &str, socket: &UdpSocket) {
    let mut question = [0; 16];
    while let Ok((_, from)) = socket.recv_from(&mut question) {
        let answer = format!("{name} {}", from.ip().to_canonical());
        let _ = socket.send_to(answer.as_bytes(), from);
    }
}

fn ask_tcp(to: SocketAddr, limit: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A socket that is connected to somewhere.
pub struct Sender(UdpSocket);

impl Sender {
    /// Asks for the name of who serves there.
    pub fn ask(&self) -> Result<String, Failed> {
        let answer = question(&self.0)?;
        Ok(answer.split(' ').next().unwrap_or_default().to_owned())
    }
}

fn ask_udp(to: SocketAddr, limit: Duration) -> std::io::Result<String> {
    question(&connected_udp(to, limit)?)
}

fn connected_udp(to: SocketAddr, limit: Duration) -> std::io::Result<UdpSocket> {
    let from: SocketAddr = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("any");
    let socket = UdpSocket::bind(from)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(limit))?;
    Ok(socket)
}

fn question(socket: &UdpSocket) -> std::io::Result<String> {
    socket.send(b"who?")?;
    let mut answer = [0; 256];
    let len = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
}
