//! A network and mount namespace for each test of names, proxies and netd: this program
//! runs itself again in one. Hosts and containers are addresses of its `lo`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use ch04_network::netd::{self, Home};
use ch04_network::{Lease, Network, Range, Service, services};
use dockster_tests::{Failed, Need, Run, TempDir, Trial, find_program, host, scaled, trial};
use rustix::mount::{MountFlags, mount};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The variable that says which test this program plays, or that it is netd.
const PART: &str = "DOCKSTER_TEST_ROOM";

/// The variable that says where it has its directory of networks.
const DIR: &str = "DOCKSTER_TEST_NETWORKS";

/// A test, to be played in a room.
pub type Part = (&'static str, fn() -> Result<(), Failed>);

/// The tests, each in a room of its own.
pub fn trials(parts: &[Part]) -> impl Iterator<Item = Trial> {
    parts.iter().map(|&(name, _)| {
        trial(name, &[Need::UserNamespaces, Need::Program("ip")], move || {
            let user = ["--user", "--map-root-user"];
            let user = if host().root { &[][..] } else { &user[..] };
            // With its PID namespace, all that it started ends.
            let pids = ["--pid", "--fork", "--kill-child"];
            let room = Run::new("unshare").args(user).args(["--mount", "--net"]).args(pids);
            // Its process is number 1, as every other room's: the name is given here.
            let dir = TempDir::new();
            let room = room.arg(std::env::current_exe()?).env(PART, name);
            room.env(DIR, dir.path()).limit(Duration::from_secs(120)).success().map(drop)
        })
    })
}

/// Plays one of `parts`, if that is what this program was started for.
pub fn play(parts: &[Part]) {
    let Ok(name) = std::env::var(PART) else { return };
    let done = match parts.iter().find(|part| part.0 == name) {
        Some((_, part)) => furnish().and_then(|()| part()),
        None => be_netd(&name),
    };
    if let Err(error) = done {
        eprintln!("{}", error.message().unwrap_or("it failed"));
        std::process::exit(1);
    }
    std::process::exit(0);
}

/// An /etc of its own, for a resolv.conf; and a network.
fn furnish() -> Result<(), Failed> {
    mount("none", "/etc", "tmpfs", MountFlags::empty(), Some(c"mode=755"))?;
    ip("link set lo up")
}

pub fn ip(words: &str) -> Result<(), Failed> {
    let ip = find_program("ip").ok_or("there is no ip")?;
    Run::new(ip).args(words.split_whitespace()).success().map(drop)
}

/// An address of `lo`.
pub fn address(address: &str) -> Result<(), Failed> {
    let nodad = if address.contains(':') { "nodad" } else { "" };
    ip(&format!("address add {address} dev lo {nodad}"))
}

fn be_netd(words: &str) -> Result<(), Failed> {
    let (dir, home): (String, Home) = serde_json::from_str(words)?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    netd::serve(Path::new(&dir), socket, &home).map_err(|error| error.to_string().into())
}

/// The directory of networks, and the netd that was started for it.
pub struct Room {
    pub dir: PathBuf,
    pub home: Home,
    pub netd: RefCell<Option<Child>>,
    written: RefCell<BTreeMap<String, (Network, Vec<Lease>)>>,
}

impl Room {
    /// Without networks.
    pub fn new(home: Home) -> Room {
        let dir = std::env::var_os(DIR).expect("its directory").into();
        Room { dir, home, netd: RefCell::default(), written: RefCell::default() }
    }

    /// One network of both families, with `web` and `client`, and its names served.
    /// `front` is fd00:1::/64 and 172.18.0.0/16, or what else `number` says.
    pub fn with_network(
        home: Home,
        name: &str,
        number: u8,
        internal: bool,
    ) -> Result<Room, Failed> {
        let room = Room::new(home);
        room.add_network(name, number, internal)?;
        room.bring_up()?;
        Ok(room)
    }

    /// As [`Room::with_network`], one more, not yet served.
    pub fn add_network(&self, name: &str, number: u8, internal: bool) -> Result<(), Failed> {
        for host in 1..=4 {
            address(&format!("172.{}.0.{host}/16", 17 + number))?;
            address(&format!("fd00:{number}::{host}/64"))?;
        }
        let leases = [lease("web", number, 2), lease("client", number, 3)];
        self.write(&network(name, number, internal), &leases)
    }

    /// Writes a network and its leases, as the library does.
    pub fn write(&self, network: &Network, leases: &[Lease]) -> Result<(), Failed> {
        let dir = self.dir.join(&network.name);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("network.json"), serde_json::to_vec(network)?)?;
        fs::write(dir.join("leases.new"), serde_json::to_vec(leases)?)?;
        fs::rename(dir.join("leases.new"), dir.join("leases.json"))?;
        let written = (network.clone(), leases.to_vec());
        self.written.borrow_mut().insert(network.name.clone(), written);
        Ok(())
    }

    /// The same with other leases.
    pub fn leases(&self, network: &str, leases: &[Lease]) -> Result<(), Failed> {
        let network = self.written.borrow().get(network).expect("it is there").0.clone();
        self.write(&network, leases)
    }

    pub fn wanted(&self) -> Vec<Service> {
        let written = self.written.borrow();
        let all = written.values().map(|(network, leases)| (network, &leases[..]));
        services(all, self.home.reach())
    }

    /// What a command does after it has written leases.
    pub fn bring_up(&self) -> Result<(), Failed> {
        let start = |socket| {
            let words = serde_json::to_string(&(&self.dir, &self.home)).expect("JSON");
            let exe = std::env::current_exe().expect("an executable");
            let netd = Command::new(exe).env(PART, words).stdin(socket).spawn();
            *self.netd.borrow_mut() = Some(netd.expect("netd"));
            Ok(())
        };
        netd::bring_up(&self.dir, &self.wanted(), Service::open, start)
            .map_err(|error| error.to_string().into())
    }

    /// The pid of the netd that was started last.
    pub fn pid(&self) -> u32 {
        self.netd.borrow().as_ref().expect("it was started").id()
    }

    /// Its directory in /proc, which is not that of the test's PID namespace.
    pub fn proc(&self) -> Result<PathBuf, Failed> {
        let netd = self.netd.borrow();
        let pid = Pid::from_child(netd.as_ref().expect("it was started"));
        let fd = pidfd_open(pid, PidfdFlags::empty())?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).ok_or("no pid")?;
        Ok(Path::new("/proc").join(pid.trim()))
    }

    /// Whether it has ended by itself, and well.
    pub fn is_over(&self) -> bool {
        let mut netd = self.netd.borrow_mut();
        let status = netd.as_mut().expect("it was started").try_wait().expect("wait");
        status.is_some_and(|status| {
            assert!(status.success(), "{status}");
            true
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(netd) = self.netd.borrow_mut().as_mut() {
            let _ = netd.kill();
            let _ = netd.wait();
        }
    }
}

pub fn network(name: &str, number: u8, internal: bool) -> Network {
    let range = |subnet: String, gateway: String| Range {
        subnet: subnet.parse().expect("a net"),
        gateway: gateway.parse().expect("an address"),
    };
    let second = 17 + number;
    Network {
        id: "f".repeat(64),
        name: name.to_owned(),
        created: 0,
        bridge: format!("dk-{number}"),
        ranges: vec![
            range(format!("172.{second}.0.0/16"), format!("172.{second}.0.1")),
            range(format!("fd00:{number}::/64"), format!("fd00:{number}::1")),
        ],
        internal,
        labels: BTreeMap::new(),
    }
}

/// A container with the address 172.(17 + number).0.`host`, and one of IPv6.
pub fn lease(name: &str, number: u8, host: u8) -> Lease {
    let addresses =
        [format!("172.{}.0.{host}/16", 17 + number), format!("fd00:{number}::{host}/64")];
    Lease {
        container: name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().repeat(8),
        name: name.to_owned(),
        aliases: Vec::new(),
        addresses: addresses.map(|text| text.parse().expect("a net")).to_vec(),
        mac: "02:42:00:00:00:00".to_owned(),
        link: "dv0".to_owned(),
        interface: "eth0".to_owned(),
        ports: Vec::new(),
    }
}

/// As long as a test waits for what has to come.
pub fn patience() -> Duration {
    scaled(Duration::from_secs(20))
}

/// A connection from a certain address.
pub fn tcp(from: &str, to: &str) -> Result<TcpStream, Failed> {
    let (from, to) = (at(from, 0), to.parse::<SocketAddr>()?);
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    bind(&socket, &from)?;
    connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(patience()))?;
    Ok(stream)
}

/// A socket for datagrams, from a certain address to another.
pub fn udp(from: &str, to: &str) -> Result<UdpSocket, Failed> {
    let socket = UdpSocket::bind(at(from, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(patience()))?;
    Ok(socket)
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}
