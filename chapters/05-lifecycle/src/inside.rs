//! Catalogue: not needed to understand the chapter.
//!
//! The child's side: from its gate to its program.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use ch01_clone::exec::Found;
use ch01_clone::spawn::own_cgroup_namespace;
use ch01_clone::{Context, Error, Gate, Message, Program, Result, set_hostname, step, steps};
use ch02_chroot::no_pivot::move_over;
use ch02_chroot::{Root, Rootfs, pivot};
use ch03_cgroups::Entrance;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, accept4, shutdown, socket};
use nix::sys::stat::{fstat, major, minor};
use nix::unistd::{
    Uid, chdir, close, dup2_stderr, dup2_stdin, dup2_stdout, fchown, getcwd, setsid,
};
use oci_spec::runtime::{Process, Spec};

use crate::credentials::Change;
use crate::given::CreateOptions;
use crate::hooks::{self, Moment};
use crate::init::Init;
use crate::launch::Door;
use crate::listen::Listen;
use crate::memory_policy::MemoryPolicy;
use crate::state::{State, Status};
use crate::{pty, settings, sys};

/// All that the child needs, made before the clone.
pub(crate) struct Inside<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) process: &'a Process,
    pub(crate) rootfs: Rootfs,
    /// The way into its cgroup, if nobody else puts it there.
    pub(crate) entrance: Option<Entrance>,
    /// Whether it then makes a cgroup namespace, which its plan does not have.
    pub(crate) own_view: bool,
    pub(crate) own_network: bool,
    pub(crate) memory_policy: Option<&'a MemoryPolicy>,
    pub(crate) options: &'a CreateOptions,
    pub(crate) stdio: Ends,
    pub(crate) state: State,
    pub(crate) door: Option<Door>,
    pub(crate) init: Option<Init>,
}

/// Where the child's standard streams come from.
pub(crate) enum Ends {
    /// They are there already.
    Inherited,
    /// A terminal that it makes itself, of this size.
    Terminal { rows: u16, columns: u16 },
    /// Its ends of pipes: input, output, errors.
    Pipes([OwnedFd; 3]),
}

impl Inside<'_> {
    pub(crate) fn live(mut self, gate: &Gate, credentials: Change) -> Result<Infallible> {
        // First of all: from here on what it does counts as its own.
        self.entrance.take().map_or(Ok(()), |entrance| entrance.enter())?;
        if self.own_view {
            own_cgroup_namespace()?;
        }
        self.door.as_ref().map_or(Ok(()), |door| close(door.lock)).call(|| "close(lock)")?;
        setsid().call(|| "setsid")?;
        if !self.options.same_keyring {
            keyring(&self.state.id)?;
        }
        if self.own_network {
            loopback()?;
        }
        // While /proc is still the host's, and not a thing of the image's.
        sysctl(self.spec)?;
        self.state.pid = own_pid(self.spec)?;
        self.spec.hostname().as_deref().filter(|n| !n.is_empty()).map_or(Ok(()), set_hostname)?;
        let domain = self.spec.domainname().as_deref().filter(|name| !name.is_empty());
        domain.map_or(Ok(()), set_domain_name)?;
        let root = self.rootfs.build()?;
        self.hooks_before_pivot(gate)?;
        let cwd = self.process.cwd();
        root.make_dir(cwd, 0o755).map_err(|error| {
            let errno = error.errno.unwrap_or(Errno::ENOTDIR);
            Error::os(format!("mkdir {cwd:?}: the working directory"), errno)
        })?;
        let slave = connect(&self.stdio, &root, gate, self.process)?;
        slave.as_ref().map_or(Ok(()), |slave| pty::console(&root, slave))?;
        let home = home(&root, self.process);
        match self.options.no_pivot {
            false => pivot(&root)?,
            true => move_over(&root)?,
        }
        self.rootfs.freeze()?;
        enter(cwd)?;
        let CreateOptions { listen, preserve_fds, .. } = self.options;
        let program = program(self.process, home, listen.as_ref(), *preserve_fds)?.find()?;
        match self.door.take() {
            None => self.go(gate, program, credentials),
            Some(door) => {
                // Whoever made us has seen all that it can see.
                gate.send(&Message::Exec)?;
                steps::unobserve();
                self.wait_for_start(gate, door, program, credentials)
            }
        }
    }

    /// Its parent's hooks and its own, where the new root is complete, and the old one still there.
    fn hooks_before_pivot(&self, gate: &Gate) -> Result<()> {
        let of = |moment: Moment| moment.of(self.spec.hooks());
        if !of(Moment::Prestart).is_empty() || !of(Moment::CreateRuntime).is_empty() {
            gate.send(&Message::Ready(None))?;
            gate.wait()?;
        }
        hooks::run(self.spec.hooks(), Moment::CreateContainer, &self.state)
    }

    /// The second gate: a socket in the container's directory, to which `start` connects.
    fn wait_for_start(
        &mut self,
        first: &Gate,
        door: Door,
        program: Found,
        credentials: Change,
    ) -> Result<Infallible> {
        shutdown(first.0.as_raw_fd(), Shutdown::Both).call(|| "shutdown(gate)")?;
        let second = loop {
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket = accept4(door.socket.as_raw_fd(), flags);
            let second = Gate(sys::own(socket.call(|| "accept4(start)")?));
            // One that is gone before it said `Go` has not started anything.
            if second.wait().is_ok() {
                break second;
            }
        };
        drop(door);
        self.go(&second, program, credentials).or_else(|error| {
            let told = second.send(&Message::Failed(error));
            told.and(Err(Error::new("told already")))
        })
    }

    /// The last steps, in this order: after the credentials it may do nothing else any more.
    fn go(&mut self, gate: &Gate, mut program: Found, credentials: Change) -> Result<Infallible> {
        let state = State { status: Status::Created, ..self.state.clone() };
        hooks::run(self.spec.hooks(), Moment::StartContainer, &state)?;
        let linux = self.spec.linux().as_ref();
        settings::apply(self.process, linux.and_then(|linux| linux.personality().as_ref()))?;
        self.memory_policy.map_or(Ok(()), MemoryPolicy::apply)?;
        self.init.take().map_or(Ok(()), Init::split)?;
        if self.options.listen.is_some() {
            Listen::tell_pid(&mut program)?;
        }
        program.exec_after(gate, || credentials(gate))
    }
}

/// Connects the standard streams; gives the slave of a terminal that it made for them.
pub(crate) fn connect(
    stdio: &Ends,
    root: &Root,
    gate: &Gate,
    process: &Process,
) -> Result<Option<OwnedFd>> {
    let owner = process.user().uid();
    match stdio {
        Ends::Terminal { rows, columns } => {
            let (master, slave) = pty::open(root, (*rows, *columns), owner)?;
            gate.send(&Message::Terminal(master))?;
            become_stdio([&slave, &slave, &slave])?;
            return Ok(Some(slave));
        }
        Ends::Pipes([input, output, errors]) => become_stdio([input, output, errors])?,
        Ends::Inherited => {}
    }
    give_away(owner)?;
    Ok(None)
}

/// The program of a process, with the environment that it asks for.
pub(crate) fn program(
    process: &Process,
    home: Option<String>,
    listen: Option<&Listen>,
    preserve_fds: u32,
) -> Result<Program> {
    let args = process.args().clone().unwrap_or_default();
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(home);
    listen.inspect(|listen| listen.tell(&mut env));
    let mut program = Program::new(args, env)?;
    program.keeps = listen.map_or(0, |listen| listen.count) + preserve_fds;
    Ok(program)
}

/// HOME, if the environment has none: what the root's own /etc/passwd says of the user.
pub(crate) fn home(root: &Root, process: &Process) -> Option<String> {
    let set = |variable: &String| variable.starts_with("HOME=");
    if process.env().iter().flatten().any(set) {
        return None;
    }
    let mut text = String::new();
    let passwd = root.lookup("etc/passwd", OFlag::O_RDONLY | OFlag::O_NONBLOCK);
    // An image without users, or with something else of that name, is none the worse for it.
    let _ = passwd.map(|file| File::from(file).take(1 << 20).read_to_string(&mut text));
    let uid = process.user().uid().to_string();
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut home =
        fields.filter(|fields| fields.get(2) == Some(&&*uid)).filter_map(|f| f.get(5).copied());
    Some(format!("HOME={}", home.next().filter(|home| !home.is_empty()).unwrap_or("/")))
}

/// Who is not root shall be able to open /dev/stdout, too.
fn give_away(owner: u32) -> Result<()> {
    if owner == 0 {
        return Ok(());
    }
    for fd in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let stat = fstat(fd).call(|| "fstat")?;
        // /dev/null is everybody's, and stays the host's.
        let null = (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3);
        if null || stat.st_uid == owner {
            continue;
        }
        match fchown(fd, Some(Uid::from_raw(owner)), None) {
            // Not ours to give, or of a kind that has no owner.
            Ok(()) | Err(Errno::EPERM | Errno::EINVAL | Errno::EROFS) => {}
            Err(errno) => return Err(Error::os(format!("fchown(stdio, {owner})"), errno)),
        }
    }
    Ok(())
}

fn loopback() -> Result<()> {
    step!(
        "loopback",
        "A new network namespace has one link, the loopback, and it is down.",
        "nsenter -t PID -n ip addr",
        "ioctl(SIOCSIFFLAGS, \"lo\", IFF_UP)",
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .and_then(|socket| sys::loopback_up(socket.as_fd())),
    )
}

/// The caller's keys are not the container's (keyrings(7)).
fn keyring(id: &str) -> Result<()> {
    let name = std::ffi::CString::new(format!("_ses.{id}")).unwrap_or_default();
    match sys::join_session_keyring(&name) {
        // A kernel without keys, or a filter around us that does not let us ask.
        Ok(()) | Err(Errno::ENOSYS | Errno::EPERM | Errno::EACCES | Errno::EDQUOT) => Ok(()),
        Err(errno) => Err(Error::os("keyctl(KEYCTL_JOIN_SESSION_KEYRING)", errno)),
    }
}

fn sysctl(spec: &Spec) -> Result<()> {
    let all = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    for (name, value) in all.into_iter().flatten() {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        step!(
            "sysctl",
            "Some settings of the kernel belong to a namespace, and are set there.",
            "nsenter -t PID -a sysctl -a",
            "write({path:?}, {value:?})",
            fs::write(&path, value),
        )?;
    }
    Ok(())
}

/// Our pid as the host's /proc numbers it; for hooks, so only if there are any.
fn own_pid(spec: &Spec) -> Result<i32> {
    if spec.hooks().is_none() {
        return Ok(0);
    }
    let link = fs::read_link("/proc/self").call(|| "readlink(/proc/self)")?;
    Ok(link.to_string_lossy().parse().unwrap_or(0))
}

fn set_domain_name(name: &str) -> Result<()> {
    rustix::system::setdomainname(name.as_bytes())
        .map_err(std::io::Error::from)
        .call(|| format!("setdomainname({name:?})"))
}

fn become_stdio([input, output, errors]: [&OwnedFd; 3]) -> Result<()> {
    dup2_stdin(input).call(|| "dup2(0)")?;
    dup2_stdout(output).call(|| "dup2(1)")?;
    dup2_stderr(errors).call(|| "dup2(2)")
}

pub(crate) fn enter(cwd: &Path) -> Result<()> {
    chdir(cwd).call(|| format!("chdir to cwd ({cwd:?}) set in config.json failed"))?;
    // A working directory that is reached through a leaked descriptor lies
    // outside of the root, and shows in this way only (CVE-2024-21626).
    // ANCHOR: cwd
    match getcwd() {
        Ok(path) if path.is_absolute() && !path.starts_with("(unreachable)") => Ok(()),
        _ => Err(Error::new(format!("the working directory {cwd:?} is outside of the root"))),
    }
    // ANCHOR_END: cwd
}
