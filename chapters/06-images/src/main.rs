//! The program of chapter 6: `06-images import rootfs.tar small`, `06-images run small`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ch01_clone::narrate::Narration;
use ch01_clone::options::{self, WatchArgs};
use ch01_clone::{
    Context, IdMaps, Namespace, Namespaces, Plan, Program, Result, Signals, set_hostname,
};
use ch02_chroot::devices::in_user_namespace;
use ch02_chroot::{Root, Rootfs, Tree};
use ch06_images::registry::{Keychain, Pull, Push, Registries, State};
use ch06_images::{Limits, Recipe, Source, Stack, Store, apply, compression, name};
use clap::{Parser, Subcommand};
use nix::unistd::{chdir, geteuid};

const NAME: &str = "06-images";

/// Keep images, look at them, and run programs in them
#[derive(Parser)]
#[command(name = NAME, version)]
struct Cli {
    /// Where images are kept
    #[arg(long, value_name = "DIR", default_value = "target/images")]
    root: PathBuf,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make an image of one layer: of an archive or a directory
    Import { source: PathBuf, image: String },
    /// Fetch an image from a registry
    Pull { image: String },
    /// Send an image to a registry
    Push { image: String },
    /// List the images
    Images,
    /// List the directories of an image's layers, the topmost first
    Layers { image: String },
    /// Remove an image, and the layers that no other one needs
    Rm { image: String },
    /// Make a directory of one layer; BELOW are the layers below it, the topmost first
    Unpack { layer: PathBuf, directory: PathBuf, below: Vec<PathBuf> },
    /// Run a program in an image, as root of a user namespace
    Run {
        /// DIR keeps what is written (in `upper`), which is else thrown away
        #[arg(long, value_name = "DIR")]
        upper: Option<PathBuf>,
        image: String,
        /// The program and its arguments, if not the image's own
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let cli: Cli = match options::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    options::run(NAME, || match geteuid().is_root() && in_user_namespace() {
        true => act(cli),
        false => become_root(),
    })
}

/// The files of an image have many owners, so whoever unpacks it has to be root. The root
/// of a user namespace is enough: the program starts once more, in a new one.
fn become_root() -> anyhow::Result<u8> {
    let own = std::env::current_exe().call(|| "readlink(/proc/self/exe)")?;
    let args = once(own.into_os_string()).chain(std::env::args_os().skip(1));
    let mut program = Program::new(args, options::environment(NAME))?;
    program.dies_with_parent = true;
    let plan = Plan {
        namespaces: Namespaces::of([Namespace::User]),
        ids: Some(IdMaps::best()),
        ..Plan::default()
    };
    let signals = Signals::catch()?.without_insisting();
    let (child, _) = plan.spawn(|gate| program.find()?.exec(gate))?.start()?;
    Ok(child.wait_forwarding(signals)?.code())
}

fn act(cli: Cli) -> anyhow::Result<u8> {
    Narration::from(cli.watch).begin(None);
    let store = || Store::open(&cli.root);
    match cli.verb {
        Verb::Import { source, image } => import(&store()?, &source, &image)?,
        Verb::Pull { image } => pull(&store()?, &image)?,
        Verb::Push { image } => push(&store()?, &image)?,
        Verb::Images => list(&store()?)?,
        Verb::Layers { image } => {
            for layer in store()?.resolve(&image)?.layers {
                say(&layer.display().to_string())?;
            }
        }
        Verb::Rm { image } => {
            let removed = store()?.remove(&image, false, |_| Ok(()))?;
            removed.deleted.iter().try_for_each(|id| say(&format!("deleted {}", short(id))))?;
        }
        Verb::Unpack { layer, directory, below } => unpack(&layer, &directory, &below)?,
        Verb::Run { upper, image, command } => return Ok(run(&store()?, &image, upper, command)?),
    }
    Ok(0)
}

fn import(store: &Store, source: &Path, image: &str) -> Result<()> {
    let recipe = Recipe::default();
    let imported = match source.is_dir() {
        true => store.import(Source::Directory(source), Some(image), &recipe)?,
        false => store.import(Source::Archive(&mut open(source)?), Some(image), &recipe)?,
    };
    say(&imported.image.id)
}

fn pull(store: &Store, image: &str) -> Result<()> {
    let (registries, keychain) = (Registries::default(), Keychain::open()?);
    let pull =
        Pull { registries: &registries, keychain: &keychain, platform: None, progress: &progress };
    let pulled = store.pull(&name::parse(image)?, &pull)?;
    say(pulled.digest.as_ref())
}

fn push(store: &Store, image: &str) -> Result<()> {
    let (registries, keychain) = (Registries::default(), Keychain::open()?);
    let push = Push { registries: &registries, keychain: &keychain, progress: &progress };
    let pushed = store.push(&name::parse(image)?, &push)?;
    say(pushed.digest.as_ref())
}

/// A line for each blob whose fate is known.
fn progress(digest: &str, size: u64, state: State) {
    let what = match state {
        State::Exists => "is there already",
        State::Mounted => "is in another repository",
        State::Done => "done",
        State::Waiting | State::Moved(_) => return,
    };
    eprintln!("{digest:.12}: {size} bytes, {what}");
}

fn list(store: &Store) -> Result<()> {
    for image in store.images()? {
        let name = image.name.as_deref().unwrap_or("<none>");
        say(&format!("{}  {name}", short(&image.id)))?;
    }
    Ok(())
}

/// As people know an id: its first twelve digits.
fn short(id: &str) -> String {
    format!("{:.12}", id.trim_start_matches("sha256:"))
}

fn unpack(layer: &Path, directory: &Path, below: &[PathBuf]) -> Result<()> {
    let (kind, packed) = compression::detect(open(layer)?)?;
    fs::create_dir(directory).call(|| format!("mkdir({directory:?})"))?;
    let root = Root::open(directory)?;
    let summary =
        apply::apply_over(kind.reader(packed)?, &root, Stack::open(below)?, Limits::default())?;
    say(&format!("{} entries, {} bytes", summary.entries, summary.bytes))
}

/// The layers lie over each other, and what is written goes to an upper one.
fn run(store: &Store, image: &str, kept: Option<PathBuf>, command: Vec<OsString>) -> Result<u8> {
    let image = store.resolve(image)?;
    let tree = Tree::Overlay { lowers: image.layers, volatile: kept.is_none(), kept };
    let rootfs = Rootfs::new(tree, &IdMaps::current()?);
    let config = image.config.config().clone().unwrap_or_default();
    let own =
        || [config.entrypoint().clone(), config.cmd().clone()].into_iter().flatten().flatten();
    let command = if command.is_empty() { own().map(OsString::from).collect() } else { command };
    let program = Program::new(command, environment(config.env().clone().unwrap_or_default()))?;
    let directory = config.working_dir().clone().unwrap_or_else(|| "/".into());
    use Namespace::{Cgroup, Ipc, Mount, Net, Pid, Uts};
    let plan =
        Plan { namespaces: Namespaces::of([Cgroup, Ipc, Mount, Net, Pid, Uts]), ..Plan::default() };
    let signals = Signals::catch()?;
    let child = plan.spawn(|gate| {
        set_hostname(NAME)?;
        rootfs.enter()?;
        chdir(&*directory).call(|| format!("chdir({directory:?})"))?;
        program.find()?.exec(gate)
    })?;
    let (child, _) = child.start()?;
    Ok(child.wait_forwarding(signals)?.code())
}

/// The image's, with a prompt that says where one is.
fn environment(mut own: Vec<String>) -> Vec<String> {
    if !own.iter().any(|variable| variable.starts_with("PATH=")) {
        own.push("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    }
    own.push(format!("TERM={}", std::env::var("TERM").unwrap_or_else(|_| "dumb".into())));
    own.push(format!("PS1=({NAME}) # "));
    own
}

fn open(path: &Path) -> Result<File> {
    File::open(path).call(|| format!("open({path:?})"))
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").call(|| "write(stdout)")
}
