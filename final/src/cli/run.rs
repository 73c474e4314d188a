//! `dockster run` and `dockster create`.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, bail};
use ch01_clone::Signals;
use ch01_clone::narrate::Narration;
use ch01_clone::options::WatchArgs;
use ch03_cgroups::options::LimitOptions;
use ch03_cgroups::sizes::size;
use ch03_cgroups::{Hierarchy, Limits, scope};
use clap::{ArgAction, Args};

use super::health::HealthArgs;
use super::pull::{ProvideArgs, provide};
use super::wire::WireArgs;
use super::{mounts, print};
use crate::engine::Engine;
use crate::engine::containers::{self, RunOptions};
use crate::engine::points::Wanted;
use crate::engine::record::{LogOptions, Policy};
use crate::portrait::Style;
use crate::shim::client::{Attach, Parted, attach, default_keys, keys};
use crate::shim::wire::{INPUT, OUTPUT};

/// Create and run a new container from an image
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
#[command(override_usage = "dockster run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
pub struct RunArgs {
    /// Run it in the background, and print its id
    #[arg(short, long)]
    detach: bool,
    /// The keys that leave a container with a terminal to itself [default:
    /// ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals on to it
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, action = ArgAction::Set, hide_default_value = true)]
    sig_proxy: bool,
    #[command(flatten)]
    create: CreateArgs,
}

/// Create a new container from an image, and do not start it
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
#[command(override_usage = "dockster create [OPTIONS] IMAGE [COMMAND] [ARG...]")]
pub struct CreateArgs {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal of its own
    #[arg(short, long)]
    tty: bool,
    /// A parent for its program, which is PID 1: it reaps processes and forwards signals
    #[arg(long)]
    init: bool,
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// When to start it again: `no`, `on-failure[:N]`, `always` or `unless-stopped`
    #[arg(long, value_name = "POLICY", default_value = "no", hide_default_value = true)]
    restart: String,
    /// What `stop` sends first [default: what the image says, or SIGTERM]
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// How long `stop` waits then, in seconds, before it kills [default: 10]
    #[arg(long, value_name = "SECS", allow_hyphen_values = true)]
    stop_timeout: Option<i64>,
    /// How its output is kept: json-file, or none
    #[arg(long, value_name = "DRIVER", default_value = "json-file", hide_default_value = true)]
    log_driver: String,
    /// max-size=SIZE, max-file=NUMBER
    #[arg(long, value_name = "OPTION")]
    log_opt: Vec<String>,
    #[command(flatten)]
    health: HealthArgs,
    /// Label it: NAME=VALUE
    #[arg(short, long, value_name = "LABEL")]
    label: Vec<String>,
    /// Write its id to this file
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    /// Enter it by this program, not by the image's
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
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
    /// A volume, or a file or directory of the host: `[NAME|SOURCE:]TARGET[:ro]`
    #[arg(short, long, value_name = "VOLUME")]
    volume: Vec<String>,
    /// The same in words: type=volume|bind|tmpfs,source=S,target=T,readonly
    #[arg(long, value_name = "MOUNT")]
    mount: Vec<String>,
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
    wire: WireArgs,
    #[command(flatten)]
    provide: ProvideArgs,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    watch: WatchArgs,
    /// No box drawing: for pipes and screen readers
    #[arg(long, help_heading = "Watching")]
    plain: bool,
    /// The image, and then the command and its arguments
    // One list: what comes after the image belongs to the command, whatever it looks like.
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE")]
    words: Vec<String>,
}

impl RunArgs {
    /// What is to be made.
    pub fn create(&self) -> &CreateArgs {
        &self.create
    }
}

impl CreateArgs {
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
        let (image, command) = self.words.split_first().context("no image")?;
        Ok(RunOptions {
            image: image.clone(),
            command: command.to_vec(),
            interactive: self.interactive,
            terminal: self.tty,
            remove: self.rm,
            name: self.name.clone(),
            env: variables(&self.env)?,
            workdir: self.workdir.clone(),
            user: self.user.clone(),
            detached: false,
            entrypoint: self.entrypoint.as_ref().map(|word| match word.is_empty() {
                true => Vec::new(),
                false => vec![word.clone()],
            }),
            binds: self.volume.iter().filter(|text| text.contains(':')).cloned().collect(),
            restart: self.policy()?,
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout,
            init: self.init,
            log: self.log()?,
            health: self.health.check()?,
            labels: self.label.clone(),
            mounts: self.mounts()?,
            wire: self.wire.wire(self.hostname.is_some())?,
            hostname: self.hostname.clone(),
            read_only: self.read_only,
            limits: self.limits.limits()?,
        })
    }
}

impl CreateArgs {
    /// As docker: an id that somebody may need is not written over.
    fn no_cidfile_yet(&self) -> anyhow::Result<()> {
        match &self.cidfile {
            Some(path) if path.exists() => bail!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ),
            _ => Ok(()),
        }
    }

    fn write_id(&self, id: &str) -> anyhow::Result<()> {
        match &self.cidfile {
            Some(path) => std::fs::write(path, id).with_context(|| format!("write({path:?})")),
            None => Ok(()),
        }
    }

    fn mounts(&self) -> anyhow::Result<Vec<Wanted>> {
        let volumes = self.volume.iter().map(|text| mounts::volume(text));
        let more = self.mount.iter().map(|text| mounts::mount(text));
        volumes.chain(more).chain(self.tmpfs.iter().map(|text| mounts::tmpfs(text))).collect()
    }

    fn policy(&self) -> anyhow::Result<Policy> {
        let policy = Policy::parse(&self.restart)?;
        if self.rm && policy != Policy::No {
            bail!("conflicting options: cannot specify both --restart and --rm");
        }
        Ok(policy)
    }

    fn log(&self) -> anyhow::Result<LogOptions> {
        let mut log = LogOptions::default();
        match self.log_driver.as_str() {
            "json-file" => {}
            "none" => log.kept = false,
            other => bail!("logger: no log driver named '{other}' is registered"),
        }
        for option in &self.log_opt {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "max-size" => log.max_size = size(value).map_err(anyhow::Error::msg)?,
                "max-file" => match value.parse() {
                    Ok(count @ 1..) => log.max_file = count,
                    _ => bail!("max-file cannot be less than 1"),
                },
                _ => bail!("unknown log opt '{name}' for json-file log driver"),
            }
        }
        if log.max_file > 1 && log.max_size == 0 {
            bail!(
                "max-file is given and max-size is not: a log that may grow for ever is one file"
            );
        }
        Ok(log)
    }
}

/// Makes it, and prints its id.
pub fn create(engine: &Engine, args: &CreateArgs) -> anyhow::Result<u8> {
    let options = args.options()?;
    args.no_cidfile_yet()?;
    Narration::from(args.watch.clone()).begin(None);
    provide(engine, &options.image, &args.provide)?;
    let id = engine.create(&options, |_, _| {})?;
    args.write_id(&id)?;
    print(&format!("{id}\n"))
}

/// Runs it, and ends with its status, or prints its id.
pub fn run(engine: &Engine, args: RunArgs) -> anyhow::Result<u8> {
    let create = &args.create;
    let mut options = create.options()?;
    options.detached = args.detach;
    if options.terminal && options.interactive && !args.detach && !stdin().is_terminal() {
        bail!("the input device is not a TTY");
    }
    create.no_cidfile_yet()?;
    provide(engine, &options.image, &create.provide)?;
    let narration = Narration::from(create.watch.clone());
    // Who can leave it to itself needs somebody who stays with it, and so does who
    // starts it again. Else we see to it ourselves, and can show each of its steps.
    let apart = options.terminal && options.interactive && !narration.wanted();
    if args.detach {
        narration.begin(None);
        let (id, _) = engine.run_apart(&options, None, |_, _| {})?;
        create.write_id(&id)?;
        return print(&format!("{id}\n"));
    }
    if apart || options.restart != Policy::No {
        return run_attached(engine, &args, &options, narration);
    }
    let style = style(create.plain, narration.pause.is_some());
    let outcome = engine.run(&options, |about, image| {
        let pauses = narration.pause.is_some();
        let onlooker = containers::portrait_of(about, image, style, pauses);
        narration.begin(onlooker);
    })?;
    told_of_memory(outcome.oom_kills > 0, &options);
    Ok(outcome.status.code())
}

fn told_of_memory(killed: bool, options: &RunOptions) {
    if killed && let Some(bytes) = options.limits.memory {
        eprintln!("dockster: killed by the memory limit of {bytes} bytes (--memory)");
    }
}

/// Under a shim, and attached to it.
fn run_attached(
    engine: &Engine,
    args: &RunArgs,
    options: &RunOptions,
    narration: Narration,
) -> anyhow::Result<u8> {
    let signals = Signals::catch()?;
    let keys = args.detach_keys.as_deref().map_or(Ok(default_keys()), keys)?;
    let flags = OUTPUT | if options.interactive { INPUT } else { 0 };
    let pauses = narration.pause.is_some();
    narration.begin(None);
    let how = Attach {
        input: options.interactive,
        terminal: options.terminal,
        keys,
        proxy: args.sig_proxy,
    };
    // A key that is typed early is the container's, too; but Enter at a pause is ours, and
    // only a terminal that is not raw yet makes a line of it.
    let early = if pauses { None } else { how.raw()? };
    let (id, attached) = engine.run_apart(options, Some(flags), |_, _| {})?;
    let raw = if pauses { how.raw()? } else { early };
    args.create.write_id(&id)?;
    let Some(attached) = attached else { return Ok(0) };
    let parted = attach(&attached.data, &attached.control, &how, signals)?;
    drop(raw);
    match parted {
        Parted::Ended(code, error) => {
            if !error.is_empty() {
                eprintln!("dockster: {error}");
            }
            Ok(code)
        }
        Parted::Detached => Ok(0),
        Parted::Lost => bail!("the container's monitor is gone"),
    }
}

/// Pauses are drawn on standard error, everything else on standard output.
fn style(plain: bool, pauses: bool) -> Style {
    let terminal = if pauses { stderr().is_terminal() } else { stdout().is_terminal() };
    let color = terminal && std::env::var_os("NO_COLOR").is_none();
    Style { plain, color }
}

/// Variables, as they were given.
pub fn variables(all: &[String]) -> anyhow::Result<Vec<String>> {
    if let Some(variable) = all.iter().find(|v| v.is_empty() || v.starts_with('=')) {
        bail!("invalid environment variable: {variable:?}");
    }
    Ok(all.iter().filter_map(|variable| with_value(variable)).collect())
}

/// `NAME` alone takes the value that it has here; without one it is left out.
fn with_value(variable: &str) -> Option<String> {
    match variable.contains('=') {
        true => Some(variable.to_owned()),
        false => std::env::var(variable).ok().map(|value| format!("{variable}={value}")),
    }
}
