//! The network namespace of an ordinary user, and the way out of it.
//!
//! For root the host's side of every wire lies in the host's own network. A user may
//! not touch that, so one process, the keeper, does nothing but hold a network namespace
//! in which the user is root: bridges, rules and names work in there as they do for root.
//! pasta(1), or slirp4netns(1) where there is no pasta, leads from there to the outside.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ch01_clone::{Context, Error, Gate, Message, Namespace, Namespaces, Plan, Result};
use ch05_lifecycle::Incarnation;
use nix::errno::Errno;
use nix::unistd::{execve, pause};
use serde::{Deserialize, Serialize};

use crate::{shim, sys};

/// What the keeper is called: in `ps`, and where the program looks who it is.
pub const NAME: &str = "dockster-keeper";

/// Its file, beside the networks.
const FILE: &str = "keeper.json";

/// What a user was last told of why there is no way out.
const TOLD: &str = "no-way-out";

/// An address that no host has, at which pasta is told to answer (RFC 3927).
const PASTA_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));

/// Where slirp4netns answers.
const SLIRP_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 3));

/// How long the way out may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who holds the namespace, and who leads out of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keeper {
    /// The process that is in the namespace.
    pub process: Incarnation,
    /// The program that passes on what goes in and out.
    way_out: Option<Incarnation>,
    /// Where it answers for the host's resolvers, which may be out of reach from in there.
    pub resolver: Option<IpAddr>,
    /// Why there is none: then containers reach each other, and nobody else.
    pub no_way_out: Option<String>,
    /// Whether its user was told of that.
    #[serde(default)]
    told: bool,
}

impl Keeper {
    /// The one that lives, if one does; `networks` is where networks are written down.
    pub fn find(networks: &Path) -> Option<Self> {
        let text = fs::read(networks.join(FILE)).ok()?;
        let keeper: Self = serde_json::from_slice(&text).ok()?;
        keeper.process.alive().then_some(keeper)
    }

    /// The one that lives, or a new one. The caller holds the lock of the networks.
    pub fn ensure(networks: &Path) -> Result<Self> {
        if let Some(keeper) = Self::find(networks) {
            return Ok(keeper);
        }
        // One that was killed may have left its way out.
        Self::end(networks)?;
        let plan = Plan { namespaces: Namespaces::of([Namespace::Net]), ..Plan::default() };
        let (child, _) = plan.spawn(become_keeper)?.start()?;
        let gone = || Error::new("the keeper of the network namespace has ended");
        let process = Incarnation::of(child.pid().as_raw()).ok_or_else(gone)?;
        let mut keeper =
            Self { process, way_out: None, resolver: None, no_way_out: None, told: false };
        keeper.save(networks)?;
        // From here on it is written down, and ends by `end`.
        child.leave();
        match lead_out(networks, process.pid) {
            Ok((way, resolver)) => {
                (keeper.way_out, keeper.resolver) = (Some(way), Some(resolver));
            }
            Err(error) => keeper.no_way_out = Some(error.to_string()),
        }
        keeper.save(networks)?;
        Ok(keeper)
    }

    /// Tells why nobody outside is reached: see `Engine::tell_no_way_out`.
    pub fn tell_no_way_out(networks: &Path, asked: bool) -> Result<()> {
        let Some(mut keeper) = Self::find(networks) else { return Ok(()) };
        let path = networks.join(TOLD);
        let Some(reason) = &keeper.no_way_out else {
            let _ = fs::remove_file(path);
            return Ok(());
        };
        let known = || fs::read_to_string(&path).is_ok_and(|last| last == *reason);
        if if asked { keeper.told } else { known() } {
            return Ok(());
        }
        eprintln!("dockster: containers reach each other, but not the outside: {reason}");
        fs::write(&path, reason).call(|| format!("write({path:?})"))?;
        keeper.told = true;
        keeper.save(networks)
    }

    /// The namespace.
    pub fn network(&self) -> Result<File> {
        let path = format!("/proc/{}/ns/net", self.process.pid);
        File::open(&path).call(|| format!("open({path:?})"))
    }

    /// Nobody needs it any more.
    pub fn end(networks: &Path) -> Result<()> {
        let path = networks.join(FILE);
        let Ok(text) = fs::read(&path) else { return Ok(()) };
        if let Ok(keeper) = serde_json::from_slice::<Self>(&text) {
            // Who is not ours any more is nobody's.
            let both = [keeper.way_out, Some(keeper.process)];
            both.into_iter().flatten().filter(|one| one.alive()).try_for_each(|one| one.kill())?;
        }
        fs::remove_file(&path).call(|| format!("unlink({path:?})"))
    }

    fn save(&self, networks: &Path) -> Result<()> {
        let (path, new) = (networks.join(FILE), networks.join("keeper.json.new"));
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        fs::write(&new, text).call(|| format!("write({new:?})"))?;
        fs::rename(&new, &path).call(|| format!("rename({new:?}, {path:?})"))
    }
}

/// In the clone: leaves behind all that was the command's.
fn become_keeper(gate: &Gate) -> Result<Infallible> {
    shim::settle()?;
    sys::close_on_exec_from_3().call(|| "close_range")?;
    gate.send(&Message::Exec)?;
    let args = [CString::new(NAME).unwrap_or_default()];
    let env: [CString; 0] = [];
    let Err(errno) = execve(c"/proc/self/exe", &args, &env);
    Err(Error::os("execve(/proc/self/exe)", errno))
}

/// The keeper: it may do nothing, and does nothing. (pasta has given up most of its
/// capabilities when it looks for our namespace: it finds only who has no more than it.)
pub fn main() -> ExitCode {
    let _ = nix::sys::prctl::set_name(&CString::from(c"dockster-keeper"));
    for set in [caps::CapSet::Effective, caps::CapSet::Permitted] {
        if caps::clear(None, set).is_err() {
            return ExitCode::FAILURE;
        }
    }
    loop {
        pause();
    }
}

/// Starts the program that leads out of `pid`'s network namespace.
fn lead_out(networks: &Path, pid: i32) -> Result<(Incarnation, IpAddr)> {
    let until = Instant::now() + PATIENCE;
    // Until then the keeper has capabilities, and pasta would be refused.
    while !powerless(pid) {
        if Instant::now() > until {
            return Err(Error::new(format!("process {pid} does not become {NAME}")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    match pasta(networks, pid) {
        Err(error) if error.errno == Some(Errno::ENOENT) => {
            slirp4netns(networks, pid).map(|way| (way, SLIRP_RESOLVER))
        }
        done => done.map(|way| (way, PASTA_RESOLVER)),
    }
}

fn powerless(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let permitted = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    permitted.is_some_and(|set| set.trim().bytes().all(|digit| digit == b'0'))
}

/// It returns once the way is open; what stays of it has written down its pid.
fn pasta(networks: &Path, pid: i32) -> Result<Incarnation> {
    let file = networks.join("pasta.pid");
    let done = Command::new("pasta")
        // Its ports are none of ours: published ones are passed on by a process of our own.
        .args(["--config-net", "--quiet", "-t", "none", "-u", "none", "-T", "none", "-U", "none"])
        // Nor is the host's loopback theirs, behind the address of its gateway.
        .args(["--no-map-gw", "--dns-forward", &PASTA_RESOLVER.to_string()])
        .args(["--runas", "0", "--netns", &format!("/proc/{pid}/ns/net"), "--pid"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .call(|| "execve(pasta)")?;
    let written = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(&file);
    let way = written.trim().parse().ok().and_then(Incarnation::of);
    way.filter(|_| done.status.success()).ok_or_else(|| refused("pasta", &done.stderr))
}

/// It stays, and says so once the way is open.
fn slirp4netns(networks: &Path, pid: i32) -> Result<Incarnation> {
    // Not a pipe: nobody reads it any more when we have ended.
    let log = networks.join("slirp4netns.log");
    let errors = File::create(&log).call(|| format!("open({log:?})"))?;
    let mut child = Command::new("slirp4netns")
        .args(["--configure", "--mtu=65520", "--disable-host-loopback", "--enable-ipv6"])
        .args(["--ready-fd=1", &pid.to_string(), "tap0"])
        // Ctrl-C is for the command that starts it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .call(|| "execve(slirp4netns)")
        .map_err(|error| error.hint("install passt (or slirp4netns) for a way to the outside"))?;
    let mut ready = [0];
    let opened = child.stdout.take().is_some_and(|mut pipe| pipe.read_exact(&mut ready).is_ok());
    match Incarnation::of(child.id() as i32).filter(|_| opened) {
        Some(way) => Ok(way),
        None => {
            let _ = child.kill().and_then(|()| child.wait());
            Err(refused("slirp4netns", &fs::read(&log).unwrap_or_default()))
        }
    }
}

/// What it said last, of many lines.
fn refused(program: &str, said: &[u8]) -> Error {
    let said = String::from_utf8_lossy(said);
    let mut lines = said.lines().filter(|line| !line.contains("syslog"));
    Error::new(format!("{program}: {}", lines.next_back().unwrap_or("it has failed").trim()))
}
