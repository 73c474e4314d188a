//! `dockster run`.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::bail;
use ch01_clone::narrate::Narration;
use ch01_clone::options::WatchArgs;
use ch02_chroot::options::{tmpfs_mount, volume_mount};
use ch03_cgroups::options::LimitOptions;
use ch03_cgroups::{Hierarchy, Limits, scope};
use clap::{ArgAction, Args};

use crate::engine::Engine;
use crate::engine::containers::{self, RunOptions};
use crate::portrait::Style;

/// Create and run a new container from an image
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub struct RunArgs {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal of its own
    #[arg(short, long)]
    tty: bool,
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// Its name
    #[arg(long)]
    name: Option<String>,
    /// Set a variable: NAME=VALUE, or NAME for the value that it has here
    #[arg(short, long, value_name = "ENV")]
    env: Vec<String>,
    /// The working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Who it runs as: `USER[:GROUP]`, names or numbers
    #[arg(short, long)]
    user: Option<String>,
    /// Bind a file or directory of the host: `SOURCE:TARGET[:ro]`
    #[arg(short, long, value_name = "BIND")]
    volume: Vec<String>,
    /// The hostname inside
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,
    /// Make / read-only
    #[arg(long)]
    read_only: bool,
    /// Mount an empty tmpfs: `TARGET[:OPTIONS]`
    #[arg(long, value_name = "TMPFS")]
    tmpfs: Vec<String>,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    watch: WatchArgs,
    /// No box drawing: for pipes and screen readers
    #[arg(long, help_heading = "Watching")]
    plain: bool,
    /// The image
    image: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl RunArgs {
    /// For an ordinary user, while they still are one: say what is wrong, watch
    /// the way in, and find a cgroup that can be limited if limits are asked for.
    pub fn before_entering(&self) -> anyhow::Result<()> {
        let options = self.options()?;
        if options.limits != Limits::default()
            && !Hierarchy::probe()?.delegated()
            && let Some(mut again) = scope::delegated_scope()
        {
            return Err(again.exec().into());
        }
        // The inner program draws its own table of times.
        let watch = WatchArgs { timings: false, ..self.watch.clone() };
        Narration::from(watch).begin(None);
        Ok(())
    }

    fn options(&self) -> anyhow::Result<RunOptions> {
        Ok(RunOptions {
            image: self.image.clone(),
            command: self.command.clone(),
            interactive: self.interactive,
            terminal: self.tty,
            remove: self.rm,
            name: self.name.clone(),
            env: self.variables()?,
            workdir: self.workdir.clone(),
            user: self.user.clone(),
            volumes: self.volume.iter().map(|text| volume_mount(text)).collect::<Result<_, _>>()?,
            hostname: self.hostname.clone(),
            read_only: self.read_only,
            tmpfs: self.tmpfs.iter().map(|text| tmpfs_mount(text)).collect::<Result<_, _>>()?,
            limits: self.limits.limits()?,
        })
    }
}

impl RunArgs {
    fn variables(&self) -> anyhow::Result<Vec<String>> {
        if let Some(variable) = self.env.iter().find(|v| v.is_empty() || v.starts_with('=')) {
            bail!("invalid environment variable: {variable:?}");
        }
        Ok(self.env.iter().filter_map(|variable| with_value(variable)).collect())
    }
}

/// Runs it, and ends with its status.
pub fn run(engine: &Engine, args: RunArgs) -> anyhow::Result<u8> {
    let options = args.options()?;
    if options.terminal && options.interactive && !stdin().is_terminal() {
        bail!("the input device is not a TTY");
    }
    engine.provide_hello(&options.image)?;
    let narration = Narration::from(args.watch.clone());
    let style = style(args.plain, narration.pause.is_some());
    let outcome = engine.run(&options, |about, image| {
        let pauses = narration.pause.is_some();
        let onlooker = containers::portrait_of(about, image, style, pauses);
        narration.begin(onlooker);
    })?;
    if outcome.oom_kills > 0
        && let Some(bytes) = options.limits.memory
    {
        eprintln!("dockster: killed by the memory limit of {bytes} bytes (--memory)");
    }
    Ok(outcome.status.code())
}

/// Pauses are drawn on standard error, everything else on standard output.
fn style(plain: bool, pauses: bool) -> Style {
    let terminal = if pauses { stderr().is_terminal() } else { stdout().is_terminal() };
    let color = terminal && std::env::var_os("NO_COLOR").is_none();
    Style { plain, color }
}

/// `NAME` alone takes the value that it has here; without one it is left out.
fn with_value(variable: &str) -> Option<String> {
    match variable.contains('=') {
        true => Some(variable.to_owned()),
        false => std::env::var(variable).ok().map(|value| format!("{variable}={value}")),
    }
}
