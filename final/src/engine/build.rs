//! Images that are built: what `RUN` says is run in a container over the stage so far.

use std::os::fd::{AsFd, OwnedFd};

use ch01_clone::{Context, Result, Signals};
use ch02_chroot::{Attributes, Mount};
use ch04_network::{DEFAULT, files};
use ch06_images::Image;
use ch06_images::build::{Extra, Failure, Hands, Net, Options, Program, Take};
use nix::sys::signal::SigSet;

use super::containers::{Outcome, RunOptions};
use super::health::HealthCheck;
use super::points::{Wanted, What};
use super::wire::{Join, Mode, Wire};
use super::{Engine, names};
use crate::shim::local::Local;

/// What a program that is run for a build takes its hostname for: the same each time.
const HOSTNAME: &str = "dockster-build";

/// Who is told of a build, and asked for images.
pub struct Onlooker<'a> {
    /// Sees to it that an image is here, for a platform if it is said.
    pub provide: &'a mut dyn FnMut(&str, Option<&str>) -> Result<()>,
    /// Is told each line.
    pub say: &'a mut dyn FnMut(&str),
    /// Where the output of the programs goes.
    pub output: OwnedFd,
    /// Lines for the programs' /etc/hosts.
    pub hosts: Vec<files::Extra>,
}

impl Engine {
    /// Builds an image.
    pub fn build(&self, options: &Options, onlooker: Onlooker<'_>) -> Result<Image, Failure> {
        self.sweep()?;
        let Onlooker { provide, say, output, hosts } = onlooker;
        let mut run = |program: &Program<'_>, take: Take<'_>| {
            self.run_step(program, wire(program.network, &hosts), &output, take)
        };
        self.store.build(options, &mut Hands { provide, run: &mut run, say })
    }

    /// Runs a program in a container of its own, and removes that.
    fn run_step(
        &self,
        program: &Program<'_>,
        wire: Wire,
        output: &OwnedFd,
        take: Take<'_>,
    ) -> Result<u8> {
        let signals = Signals::catch()?;
        let options = RunOptions {
            image: program.image.id.clone(),
            entrypoint: Some(program.args.to_vec()),
            env: program.env.to_vec(),
            hostname: Some(HOSTNAME.to_owned()),
            remove: true,
            health: Some(HealthCheck::none()),
            mounts: program.extras.iter().map(wanted).collect(),
            wire,
            ..RunOptions::default()
        };
        let id = names::new_id()?;
        let mut made = self.make(&options, program.image, &id)?;
        let copy = || output.as_fd().try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)");
        let lived = self.live(&mut made, || Ok(Local::impatient(signals, copy()?, copy()?)));
        let stopped = made.clients.as_ref().and_then(|monitor| monitor.stopped);
        let outcome = lived.map(|status| Outcome { status, oom_kills: 0 });
        let upper = made.claim.dir().join("upper");
        let status = outcome.as_ref().map_or(1, |outcome| outcome.status.code());
        let taken = if status == 0 && stopped.is_none() { take(&upper) } else { Ok(()) };
        let ended = self.end(made, &outcome);
        outcome?;
        taken.and(ended)?;
        // From here on a signal ends us as it does any other program.
        SigSet::all().thread_unblock().call(|| "sigprocmask(SIG_UNBLOCK)")?;
        Ok(stopped.map_or(status, |signal| 128 + signal as u8))
    }
}

/// How a program is joined to a network.
fn wire(network: Net, hosts: &[files::Extra]) -> Wire {
    let extras = hosts.to_vec();
    match network {
        Net::None => Wire { extras, ..Wire::default() },
        Net::Host => Wire { mode: Mode::Host, extras, ..Wire::default() },
        Net::Default => {
            let joins = vec![Join { network: DEFAULT.to_owned(), ..Join::default() }];
            Wire { mode: Mode::Bridges, joins, unasked: true, extras, ..Wire::default() }
        }
    }
}

/// What `RUN --mount` asks for, as `run` would be asked for it.
fn wanted(extra: &Extra) -> Wanted {
    let (what, mut mount) = match &extra.source {
        Some(dir) => (What::Bind { make: false }, Mount::bind(dir, &extra.target)),
        None => {
            let target = extra.target.to_string_lossy();
            (What::Tmpfs, Mount::new("tmpfs", &target, &["mode=1777"], Attributes::default()))
        }
    };
    mount.attributes.read_only = extra.read_only;
    Wanted { what, mount, mode: String::new() }
}
