//! The command line: parse, call the engine, print. Words and flags are docker's.

mod attach;
mod build;
mod commit;
mod containers;
mod context;
mod cp;
mod doctor;
mod exec;
mod format;
mod health;
mod image_inspect;
mod image_list;
mod images;
mod inspect;
mod list;
mod live;
mod login;
mod logs;
mod mounts;
mod network;
mod network_list;
mod port;
mod progress;
mod pull;
mod push;
mod run;
mod save;
mod system;
mod unit;
mod volumes;
mod wire;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use ch01_clone::{Error, options};
use ch05_lifecycle::protect::protect;
use clap::{Parser, Subcommand};

use crate::engine::{self, Engine};
use crate::rootless;

/// A container runtime to learn from
#[derive(Parser)]
#[command(name = "dockster", version, term_width = 78, args_override_self = true)]
struct Cli {
    /// Where images and containers are kept [default: /var/lib/dockster, or
    /// ~/.local/share/dockster for an ordinary user]
    #[arg(long, env = "DOCKSTER_ROOT", value_name = "DIR", hide_env = true)]
    root: Option<PathBuf>,
    /// How registries are reached [default: /etc/dockster/daemon.json, or
    /// ~/.config/dockster/daemon.json for an ordinary user]
    #[arg(long, env = "DOCKSTER_CONFIG_FILE", value_name = "FILE", hide_env = true)]
    config_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create and run a new container from an image
    Run(Box<run::RunArgs>),
    /// Create a new container from an image, and do not start it
    Create(Box<run::CreateArgs>),
    /// Start one or more containers
    Start(attach::StartArgs),
    /// Stop one or more running containers
    Stop(containers::StopArgs),
    /// Stop one or more containers and start them again
    Restart(containers::StopArgs),
    /// Kill one or more running containers
    Kill(containers::KillArgs),
    /// Wait until one or more containers end, and print their exit statuses
    Wait(containers::ManyArgs),
    /// Attach to a running container: see what it says, and type to it
    Attach(attach::AttachArgs),
    /// Run one more program in a running container
    Exec(exec::ExecArgs),
    /// Print what a container has said
    Logs(logs::LogsArgs),
    /// List containers
    Ps(list::PsArgs),
    /// Print all that is known of one or more containers
    Inspect(inspect::InspectArgs),
    /// Stop all processes of one or more containers where they are
    Pause(containers::ManyArgs),
    /// Let all processes of one or more containers go on
    Unpause(containers::ManyArgs),
    /// Rename a container
    Rename(containers::RenameArgs),
    /// Change limits and policy of one or more containers
    Update(Box<containers::UpdateArgs>),
    /// Remove one or more containers
    Rm(containers::RmArgs),
    /// Copy files between a container and the host
    Cp(cp::CpArgs),
    /// Make an image of what a container has written
    Commit(commit::CommitArgs),
    /// Export all files of a container as a tar archive
    Export(save::ExportArgs),
    /// Print the processes of a container
    Top(live::TopArgs),
    /// Print what containers use
    Stats(live::StatsArgs),
    /// Print what happens to containers
    Events(live::EventsArgs),
    /// Print what has changed in a container's files
    Diff(live::DiffArgs),
    /// What is done to all containers
    #[command(subcommand)]
    Container(ContainerCommand),
    /// What is done to all of it
    #[command(subcommand)]
    System(SystemCommand),
    /// Build an image from a Dockerfile
    Build(Box<build::BuildArgs>),
    /// What is done to what was built before
    #[command(subcommand)]
    Builder(build::BuilderCommand),
    /// Download an image from a registry
    Pull(pull::PullArgs),
    /// Upload an image to a registry
    Push(push::PushArgs),
    /// Log in to a registry
    Login(login::LoginArgs),
    /// Log out from a registry
    Logout(login::LogoutArgs),
    /// Make an image of a tar archive or a directory
    Import(images::ImportArgs),
    /// Load images from an archive that docker, skopeo or podman has saved
    Load(images::LoadArgs),
    /// Save images to an archive that docker, skopeo or podman can load
    Save(save::SaveArgs),
    /// List images
    Images(image_list::ImagesArgs),
    /// Give an image one more name
    Tag(images::TagArgs),
    /// Print how an image was made
    History(image_inspect::HistoryArgs),
    /// What is done to images
    #[command(subcommand)]
    Image(ImageCommand),
    /// What is done to volumes
    #[command(subcommand)]
    Volume(volumes::VolumeCommand),
    /// What is done to networks
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Print what is published of a container
    Port(port::PortArgs),
    /// Remove one or more images
    Rmi(images::RmiArgs),
    /// Say what on this machine stands in the way, and the cure
    Doctor(doctor::DoctorArgs),
}

#[derive(Subcommand)]
enum ContainerCommand {
    /// Remove all containers that do not run
    Prune(live::PruneArgs),
}

#[derive(Subcommand)]
enum ImageCommand {
    /// Build an image from a Dockerfile
    Build(Box<build::BuildArgs>),
    /// List images
    #[command(alias = "list")]
    Ls(image_list::ImagesArgs),
    /// Print all that is known of one or more images
    Inspect(image_inspect::InspectArgs),
    /// Print how an image was made
    History(image_inspect::HistoryArgs),
    /// Give an image one more name
    Tag(images::TagArgs),
    /// Make an image of a tar archive or a directory
    Import(images::ImportArgs),
    /// Load images from an archive that docker, skopeo or podman has saved
    Load(images::LoadArgs),
    /// Save images to an archive that docker, skopeo or podman can load
    Save(save::SaveArgs),
    /// Remove one or more images
    #[command(alias = "remove")]
    Rm(images::RmiArgs),
    /// Remove images that have no name, and that no container uses
    Prune(images::PruneArgs),
}

impl ImageCommand {
    fn run(self, engine: &Engine) -> anyhow::Result<u8> {
        match self {
            ImageCommand::Build(args) => build::build(engine, &args),
            ImageCommand::Ls(args) => image_list::images(engine, &args),
            ImageCommand::Inspect(args) => image_inspect::inspect(engine, &args),
            ImageCommand::History(args) => image_inspect::history(engine, &args),
            ImageCommand::Tag(args) => images::tag(engine, &args),
            ImageCommand::Import(args) => images::import(engine, args),
            ImageCommand::Load(args) => images::load(engine, &args),
            ImageCommand::Save(args) => save::save(engine, &args),
            ImageCommand::Rm(args) => images::rmi(engine, &args),
            ImageCommand::Prune(args) => images::prune(engine, &args),
        }
    }
}

#[derive(Subcommand)]
enum SystemCommand {
    /// Print what is kept, and what it takes
    Df(system::DfArgs),
    /// Print a unit for systemd that starts them each time
    Unit,
    /// Remove all that is not in use
    Prune(system::PruneArgs),
    /// Start what shall always run: after the machine was started anew
    Start,
}

impl Command {
    /// Whether containers are started by it: then none of them may get at this program
    /// (CVE-2019-5736), which starts itself again from where nobody can write to it.
    fn starts_programs(&self) -> bool {
        matches!(
            self,
            Command::Run(_)
                | Command::Start(_)
                | Command::Restart(_)
                | Command::Exec(_)
                | Command::System(SystemCommand::Start)
                | Command::Build(_)
                | Command::Builder(build::BuilderCommand::Build(_))
                | Command::Image(ImageCommand::Build(_))
        )
    }

    /// The container that it is about, if it is about one.
    fn container(&self) -> Option<&str> {
        fn first(all: &[String]) -> Option<&str> {
            all.first().map(String::as_str)
        }
        match self {
            Command::Exec(args) => Some(args.container()),
            Command::Start(args) => first(&args.containers),
            Command::Stop(args) | Command::Restart(args) => first(&args.containers),
            Command::Kill(args) => first(&args.containers),
            Command::Rm(args) => first(&args.containers),
            Command::Pause(args) | Command::Unpause(args) => first(&args.containers),
            Command::Update(args) => first(&args.containers),
            Command::Export(args) => Some(&args.container),
            Command::Commit(args) => Some(&args.container),
            _ => None,
        }
    }
}

/// The program: parse, become root in a namespace of one's own if need be, do it.
pub fn main() -> ExitCode {
    let cli: Cli = match options::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    options::run("dockster", || {
        let root = cli.root.unwrap_or_else(engine::default_root);
        if let Command::Doctor(args) = cli.command {
            return doctor::doctor(args, &root);
        }
        let config_file = cli.config_file.unwrap_or_else(engine::registry::default_config);
        // About the user's own files, which need no root.
        match &cli.command {
            Command::Login(args) => return plainly(login::login(args, &config_file)),
            Command::Logout(args) => return plainly(login::logout(args)),
            _ => {}
        }
        if let Command::System(SystemCommand::Unit) = cli.command {
            return unit::unit(&root);
        }
        if rootless::needed() {
            match &cli.command {
                Command::Run(args) => args.create().before_entering()?,
                Command::Create(args) => args.before_entering()?,
                _ => {}
            }
            let hosts = || engine::people_in(&root, cli.command.container());
            return Ok(rootless::enter(&root, hosts)?);
        }
        if cli.command.starts_programs() {
            protect()?;
        }
        let mut engine = Engine::open(&root)?;
        engine.config_file = config_file;
        // What runs nothing says 1, as docker does; what is about images says 125 as ever.
        let own = matches!(
            cli.command,
            Command::Run(_)
                | Command::Create(_)
                | Command::Ps(_)
                | Command::Import(_)
                | Command::Images(_)
                | Command::Rmi(_)
        );
        let done = match cli.command {
            Command::Run(args) => run::run(&engine, *args),
            Command::Create(args) => run::create(&engine, &args),
            Command::Start(args) => attach::start(&engine, &args),
            Command::Stop(args) => containers::stop(&engine, &args),
            Command::Restart(args) => containers::restart(&engine, &args),
            Command::Kill(args) => containers::kill(&engine, &args),
            Command::Wait(args) => containers::wait(&engine, &args),
            Command::Attach(args) => attach::attach(&engine, &args),
            Command::Exec(args) => exec::exec(&engine, &args),
            Command::Logs(args) => logs::logs(&engine, &args),
            Command::Ps(args) => list::ps(&engine, &args),
            Command::Inspect(args) => inspect::inspect(&engine, &args),
            Command::Pause(args) => containers::pause(&engine, &args, true),
            Command::Unpause(args) => containers::pause(&engine, &args, false),
            Command::Rename(args) => containers::rename(&engine, &args),
            Command::Update(args) => containers::update(&engine, &args),
            Command::Rm(args) => containers::rm(&engine, &args),
            Command::Cp(args) => cp::cp(&engine, &args),
            Command::Commit(args) => commit::commit(&engine, &args),
            Command::Export(args) => save::export(&engine, &args),
            Command::Top(args) => live::top(&engine, &args),
            Command::Stats(args) => live::stats(&engine, &args),
            Command::Events(args) => live::events(&engine, &args),
            Command::Diff(args) => live::diff(&engine, &args),
            Command::Container(ContainerCommand::Prune(args)) => live::prune(&engine, &args),
            Command::System(SystemCommand::Df(args)) => system::df(&engine, &args),
            Command::System(SystemCommand::Prune(args)) => system::prune(&engine, &args),
            Command::System(SystemCommand::Start) => {
                engine.start_all().map(|()| 0).map_err(Into::into)
            }
            Command::Build(args) => build::build(&engine, &args),
            Command::Builder(command) => build::builder(&engine, &command),
            Command::Pull(args) => pull::pull(&engine, &args),
            Command::Push(args) => push::push(&engine, &args),
            Command::Import(args) => images::import(&engine, args),
            Command::Load(args) => images::load(&engine, &args),
            Command::Save(args) => save::save(&engine, &args),
            Command::Images(args) => image_list::images(&engine, &args),
            Command::Tag(args) => images::tag(&engine, &args),
            Command::History(args) => image_inspect::history(&engine, &args),
            Command::Image(command) => command.run(&engine),
            Command::Volume(command) => volumes::volume(&engine, &command),
            Command::Network(command) => network::network(&engine, command),
            Command::Port(args) => port::port(&engine, &args),
            Command::Rmi(args) => images::rmi(&engine, &args),
            Command::System(SystemCommand::Unit)
            | Command::Doctor(_)
            | Command::Login(_)
            | Command::Logout(_) => {
                unreachable!("answered above")
            }
        };
        if own { done } else { plainly(done) }
    })
}

/// A failure that has no status of its own is 1.
fn plainly(done: anyhow::Result<u8>) -> anyhow::Result<u8> {
    match done {
        Err(error) if status_of(&error) == 125 => {
            complain(&error);
            Ok(1)
        }
        done => done,
    }
}

/// Docker's exit status for a failure.
fn status_of(error: &anyhow::Error) -> u8 {
    let ours = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    ours.map_or(125, Error::exit_status)
}

/// Says what went wrong and what to try, and goes on.
fn complain(error: &anyhow::Error) {
    eprintln!("dockster: {error:#}");
    let ours = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    if let Some(hint) = ours.and_then(|error| error.hint.as_deref()) {
        eprintln!("  {hint}");
    }
}

/// Prints what a command has found. Whoever reads may stop early: `| head` is no error.
fn print(text: &str) -> anyhow::Result<u8> {
    match stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(0),
    }
}

/// Rows under each other, each column as wide as its widest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  "));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// The same of lines whose cells are parted by tabs.
fn columns(lines: &[String]) -> String {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<&str>, column: usize| row.get(column).map_or(0, |c| c.chars().count());
    let widths: Vec<usize> = (0..most)
        .map(|column| rows.iter().map(|row| cell(row, column)).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<&str>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   "));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// How long ago, as docker says it.
fn ago(seconds_since_1970: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs()).saturating_sub(seconds_since_1970);
    format!("{} ago", span(seconds))
}

/// How long, as docker says it.
fn span(seconds: u64) -> String {
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{} minutes", seconds / 60),
        3600..7200 => "About an hour".to_owned(),
        7200..172_800 => format!("{} hours", seconds / 3600),
        172_800..1_209_600 => format!("{} days", seconds / 86_400),
        1_209_600..5_184_000 => format!("{} weeks", seconds / 604_800),
        5_184_000..63_072_000 => format!("{} months", seconds / 2_592_000),
        _ => format!("{} years", seconds / 31_536_000),
    }
}
