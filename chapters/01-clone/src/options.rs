//! Catalogue: not needed to understand the chapter.
//!
//! What the chapters' programs have in common: options, and how they end.

use std::process::ExitCode;

use clap::Args;

use crate::clocks;
use crate::error::{Error, Result};
use crate::idmap::IdMaps;
use crate::namespaces::{Namespace, Namespaces};
use crate::narrate::{self, Narration};

/// Options of whoever wants to watch.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Watching")]
pub struct WatchArgs {
    /// Tell each step: the call, and why
    #[arg(long)]
    pub explain: bool,
    /// Stop before STEP, or before every step, until Enter
    #[arg(long, value_name = "STEP", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub pause: Option<String>,
    /// At the end, say where the milliseconds went
    #[arg(long)]
    pub timings: bool,
    /// Make STEP fail, to see what is left behind (nothing should be)
    #[arg(long, value_name = "STEP", hide = true)]
    pub fail: Option<String>,
}

impl From<WatchArgs> for Narration {
    fn from(args: WatchArgs) -> Self {
        let WatchArgs { explain, pause, timings, fail } = args;
        Narration { explain, pause, timings, fail }
    }
}

/// Options about namespaces: all but the time namespace are new unless refused.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Namespaces")]
pub struct NamespaceArgs {
    /// The hostname inside
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Stay in this user namespace (takes root)
    #[arg(long)]
    pub no_user: bool,
    /// Keep the mounts of the host
    #[arg(long)]
    pub no_mount: bool,
    /// Keep the processes of the host in sight
    #[arg(long)]
    pub no_pid: bool,
    /// Keep the hostname of the host
    #[arg(long, conflicts_with = "hostname")]
    pub no_uts: bool,
    /// Keep the IPC objects of the host
    #[arg(long)]
    pub no_ipc: bool,
    /// Keep the network of the host
    #[arg(long)]
    pub no_net: bool,
    /// Keep the cgroup's path in sight
    #[arg(long)]
    pub no_cgroup: bool,
    /// A time namespace, too
    #[arg(long)]
    pub time: bool,
    /// Put clocks since boot so far ahead (takes root)
    #[arg(long, value_name = "SECS", allow_hyphen_values = true)]
    pub clock_offset: Option<i64>,
}

impl NamespaceArgs {
    /// The namespaces to make.
    pub fn namespaces(&self) -> Namespaces {
        let wanted = [
            (Namespace::User, !self.no_user),
            (Namespace::Mount, !self.no_mount),
            (Namespace::Pid, !self.no_pid),
            (Namespace::Uts, !self.no_uts),
            (Namespace::Ipc, !self.no_ipc),
            (Namespace::Net, !self.no_net),
            (Namespace::Cgroup, !self.no_cgroup),
            // With an offset it exists already when the child is cloned.
            (Namespace::Time, self.time && self.clock_offset.is_none()),
        ];
        Namespaces::of(wanted.into_iter().filter(|(_, new)| *new).map(|(kind, _)| kind))
    }

    /// Whoever changes mounts needs some of their own: pivot_root would move the whole machine.
    pub fn own_mounts(&self) -> Result<()> {
        match self.no_mount {
            true => Err(Error::new("--no-mount: a root of one's own takes mounts of one's own")),
            false => Ok(()),
        }
    }

    /// Puts the clocks of the child to come as far ahead as was asked for.
    pub fn offset_clocks(&self) -> Result<()> {
        self.clock_offset.map_or(Ok(()), |seconds| clocks::offset_clocks(seconds, seconds))
    }

    /// The id maps that go with them.
    pub fn ids(&self) -> Option<IdMaps> {
        (!self.no_user).then(IdMaps::best)
    }

    /// The hostname inside: what was asked for, else the chapter's name.
    pub fn hostname_or(&self, chapter: &str) -> Option<String> {
        (!self.no_uts).then(|| self.hostname.clone().unwrap_or_else(|| chapter.to_owned()))
    }
}

/// The environment of a chapter's program: the caller's, and a prompt that says where one is.
pub fn environment(chapter: &str) -> Vec<std::ffi::OsString> {
    let mut env: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| name != "PS1")
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        })
        .collect();
    env.push(format!("PS1=({chapter}) # ").into());
    env
}

/// The top of a program: runs it, prints one line if it fails, and a second with what to try.
pub fn run(name: &str, program: impl FnOnce() -> anyhow::Result<u8>) -> ExitCode {
    let result = program();
    narrate::end();
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{name}: {error:#}");
            let ours = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
            if let Some(hint) = ours.and_then(|error| error.hint.as_deref()) {
                for line in narrate::fill(hint, 72) {
                    eprintln!("  {line}");
                }
            }
            ExitCode::from(ours.map_or(125, Error::exit_status))
        }
    }
}

/// Ends a program whose arguments clap refuses with docker's status for that, 125.
pub fn parse<P: clap::Parser>() -> Result<P, ExitCode> {
    P::try_parse().map_err(|error| {
        // Help and version are errors for clap, and the only ones that are none.
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { 125 } else { 0 })
    })
}
