//! Catalogue: not needed to understand the chapter.
//!
//! The process itself: one thread, and a task for each socket.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ch01_clone::{Context, Error, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::net::{getsockname, sockopt};
use rustix::process::{chdir, getuid, setsid};
use tokio::io::Interest;
use tokio::net::{TcpListener, UdpSocket, UnixListener, UnixStream};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;

use super::wire::{Answer, Ask, receive, send};
use super::{Home, unprivileged};
use crate::datagrams::Datagrams;
use crate::known::Known;
use crate::listen::{self, Names, PAUSE};
use crate::resolvers::Resolvers;
use crate::services::{Reach, Service, Work, services};
use crate::upstream::Upstream;
use crate::{Protocol, proxy};

/// How often it looks whether it is still needed, when nobody says so.
const LOOK: Duration = Duration::from_secs(3);

/// The whole life of netd: serves until nothing is left to serve. `socket` is the one
/// that [`super::Netd::ensure`] has made. The process has one thread; afterwards it has
/// no privileges either.
///
/// # Errors
///
/// `dir` cannot be opened, or privileges cannot be given up.
pub fn serve(dir: &Path, socket: OwnedFd, home: &Home) -> Result<()> {
    let known = Known::open(dir)?;
    let starter = getuid().as_raw();
    // A terminal's Ctrl-C is not for it, and no mount stays busy because of it.
    let _ = setsid();
    chdir("/").map_err(io::Error::from).call(|| "chdir(/)")?;
    unprivileged::many_descriptors()?;
    unprivileged::become_nobody()?;
    let upstream = match home {
        Home::Host => Upstream::host(),
        Home::Apart { resolver: Some(address) } => {
            Upstream::These(vec![SocketAddr::new(*address, 53)])
        }
        Home::Apart { resolver: None } => Upstream::These(Resolvers::of_others().servers),
    };
    let server = Rc::new(Server {
        names: Rc::new(Names::new(known, upstream)),
        reach: home.reach(),
        starter,
        serving: RefCell::default(),
        commands: Cell::new(0),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.call(|| "epoll_create")?;
    LocalSet::new().block_on(&runtime, server.run(socket)).call(|| "accept(netd.sock)")
}

struct Server {
    names: Rc<Names>,
    reach: Reach,
    /// Who started it, and may tell it what to do.
    starter: u32,
    serving: RefCell<Vec<(Service, JoinHandle<()>)>>,
    /// How many are connected.
    commands: Cell<usize>,
}

impl Server {
    async fn run(self: Rc<Self>, socket: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        // Its type says how a socket is woken for, not how messages are read from it.
        let socket = UnixListener::from_std(socket.into())?;
        loop {
            match timeout(LOOK, socket.accept()).await {
                Ok(Ok((command, _))) => {
                    let server = self.clone();
                    server.commands.set(server.commands.get() + 1);
                    spawn_local(async move {
                        // A command that went away does not wait for an answer.
                        let _ = server.attend(command).await;
                        server.commands.set(server.commands.get() - 1);
                    });
                }
                Ok(Err(_)) => tokio::time::sleep(PAUSE).await,
                Err(_) => {
                    self.let_go().await;
                    if self.is_over() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Answers one command until it closes.
    async fn attend(&self, command: UnixStream) -> io::Result<()> {
        if command.peer_cred()?.uid() != self.starter {
            return Ok(());
        }
        loop {
            let message = command.async_io(Interest::READABLE, || receive(&command)).await?;
            let Some((ask, sockets)) = message else { return Ok(()) };
            let mut answer = Answer { pid: std::process::id(), ..Answer::default() };
            match ask {
                Ask::Missing(services) => {
                    self.let_go().await;
                    answer.missing = self.missing(&services);
                }
                Ask::Serve(services) => {
                    answer.error = self.take(services, sockets).err().map(|e| e.to_string());
                }
            }
            // It waits for this, and has room for it.
            send(&command, &answer, &[])?;
        }
    }

    /// Lets go of what no lease needs any more. The sockets are closed when this returns.
    async fn let_go(&self) {
        let needed: HashSet<Service> = {
            let mut known = self.names.known.borrow_mut();
            let all = known.all();
            let all = all.filter_map(|place| Some((place.network.as_ref()?, &place.leases[..])));
            services(all, self.reach).into_iter().collect()
        };
        let gone: Vec<_> = self
            .serving
            .borrow_mut()
            .extract_if(.., |(service, _)| !needed.contains(service))
            .collect();
        for (_, task) in gone {
            task.abort();
            let _ = task.await;
        }
    }

    fn missing(&self, wanted: &[Service]) -> Vec<usize> {
        let serving = self.serving.borrow();
        let serving: HashSet<&Service> = serving.iter().map(|(service, _)| service).collect();
        (0..wanted.len()).filter(|at| !serving.contains(&wanted[*at])).collect()
    }

    fn take(&self, services: Vec<Service>, sockets: Vec<OwnedFd>) -> Result<()> {
        if services.len() != sockets.len() {
            return Err(Error::new(format!("{} for {}", sockets.len(), services.len())));
        }
        for (service, socket) in services.into_iter().zip(sockets) {
            let at = service.at;
            let task = self.start(&service, socket).call(|| format!("the socket for {at}"))?;
            self.serving.borrow_mut().push((service, task));
        }
        Ok(())
    }

    fn start(&self, service: &Service, socket: OwnedFd) -> io::Result<JoinHandle<()>> {
        let bound = SocketAddr::try_from(getsockname(&socket)?)?;
        if sockopt::socket_type(&socket)? != service.socket_type() || bound != service.at {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        rustix::io::ioctl_fionbio(&socket, true)?;
        let (network, names) = (service.network.clone(), self.names.clone());
        Ok(match service.protocol {
            Protocol::Tcp => {
                let socket = TcpListener::from_std(socket.into())?;
                match &service.work {
                    Work::Names => spawn_local(listen::over_tcp(socket, network, names)),
                    Work::Port { to, .. } => spawn_local(proxy::over_tcp(socket, *to)),
                }
            }
            Protocol::Udp => {
                let socket = UdpSocket::from_std(socket.into())?;
                match &service.work {
                    Work::Names => spawn_local(listen::over_udp(socket, network, names)),
                    Work::Port { to, .. } => {
                        spawn_local(proxy::over_udp(Datagrams::new(socket)?, *to))
                    }
                }
            }
        })
    }

    /// Nobody needs it, and nobody is about to: whoever is has the lock.
    fn is_over(&self) -> bool {
        let mut known = self.names.known.borrow_mut();
        let needed = match self.reach {
            Reach::Host => !self.serving.borrow().is_empty(),
            Reach::Apart => known.all().any(|place| !place.leases.is_empty()),
        };
        let lock = FlockOperation::NonBlockingLockExclusive;
        !needed && self.commands.get() == 0 && flock(known.dir(), lock).is_ok()
    }
}
