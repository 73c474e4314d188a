//! Catalogue: not needed to understand the chapter.
//!
//! A cgroup that systemd makes: a transient scope.
//!
//! Where systemd looks after the cgroups, others may only make theirs below one
//! that it has delegated. It makes such a one for whoever asks on D-Bus, by
//! `StartTransientUnit`. We ask through busctl(1). A scope has to have a process
//! from the start; ours is `cat`, which waits there until the container's own
//! process has come.
//!
//! Manual: systemd.scope(5), org.freedesktop.systemd1(5).

use std::collections::HashMap;
use std::fs::read_to_string;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ch01_clone::error::Context;
use ch01_clone::{Error, Result};

use crate::Limits;
use crate::devices::privileged;
use crate::scales::weight;

const MANAGER: [&str; 3] =
    ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];

/// How long systemd may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One scope: how it is called, and who holds it open.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    name: String,
    /// The slice that it lies in.
    slice: String,
    /// Whether the user's own service manager is asked.
    user: bool,
    /// More properties, as busctl wants them: name, type, value.
    properties: Vec<[String; 3]>,
    /// The process that waits in it.
    holder: Arc<Mutex<Option<Child>>>,
}

impl PartialEq for Unit {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.slice, self.user) == (&other.name, &other.slice, other.user)
    }
}

impl Eq for Unit {}

impl Unit {
    /// From `slice:prefix:name`, or for a container without a path of its own. The
    /// annotations `org.systemd.property.NAME` are properties of it.
    pub(crate) fn parse(
        path: Option<&str>,
        id: &str,
        annotations: &HashMap<String, String>,
    ) -> Result<Self> {
        let user = !privileged();
        let usual = format!("{}.slice:dockster:{id}", if user { "user" } else { "system" });
        let path = path.filter(|path| !path.is_empty()).unwrap_or(&usual);
        let parts: Vec<_> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return Err(Error::new(format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, \
                 got {path:?} instead"
            )));
        };
        if name.is_empty() || name.ends_with(".slice") || path.contains('/') {
            return Err(Error::new(format!("{path:?} does not name a scope")));
        }
        let slice = match slice {
            "" => usual.split(':').next().unwrap_or_default(),
            slice => slice,
        };
        let name = format!("{prefix}-{name}.scope");
        let properties = annotations.iter().filter_map(|(key, value)| property(key, value));
        let properties = properties.collect::<Result<_>>()?;
        Ok(Self { name, slice: slice.to_owned(), user, properties, holder: Arc::default() })
    }

    /// Where its cgroup will be, below the top of a hierarchy.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        let mut path = PathBuf::new();
        if self.user {
            let mut busctl = self.busctl("get-property");
            let said = run(busctl.arg("ControlGroup"))?;
            // s "/user.slice/user-1000.slice/user@1000.service"
            let group = said.trim().strip_prefix("s ").unwrap_or_default().trim_matches('"');
            path.push(group.trim_start_matches('/'));
        }
        path.push(expand(&self.slice)?);
        path.push(&self.name);
        Ok(path)
    }

    /// Has systemd make it, and waits until it is there. Someone waits in it until
    /// [`release`](Self::release).
    pub(crate) fn start(&self, limits: &Limits) -> Result<()> {
        let mut holder = Command::new("cat");
        // It ends with us at the latest, when nobody can write to it any more.
        holder.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let holder = holder.spawn().call(|| "execve(cat)")?;
        let pid = holder.id();
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(holder);
        let started = self.ask(pid, limits).or_else(|error| {
            if !error.call.contains("already exists") {
                return Err(error);
            }
            // One of that name may have failed, and is kept to be looked at.
            run(self.busctl("call").args(["ResetFailedUnit", "s", &self.name]))?;
            self.ask(pid, limits)
        });
        started.and_then(|()| self.wait(pid)).inspect_err(|_| drop(self.release()))
    }

    /// Whoever waited in it goes: the container's process is there.
    pub(crate) fn release(&self) -> Result<()> {
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut holder) = holder else { return Ok(()) };
        holder.kill().and_then(|()| holder.wait()).map(drop).call(|| "kill(cat)")
    }

    fn ask(&self, pid: u32, limits: &Limits) -> Result<()> {
        let mut properties = vec![
            own("Description", "s", format!("container {}", self.name)),
            own("Slice", "s", self.slice.clone()),
            own("Delegate", "b", "true"),
            own("PIDs", "au", format!("1 {pid}")),
            own("DefaultDependencies", "b", "false"),
        ];
        for accounting in ["CPU", "Memory", "IO", "Tasks"] {
            properties.push(own(&format!("{accounting}Accounting"), "b", "true"));
        }
        if !self.properties.iter().any(|property| property[0] == "CollectMode") {
            // Nothing is kept of it when it has failed.
            properties.push(own("CollectMode", "s", "inactive-or-failed"));
        }
        properties.extend(limited(limits)?);
        properties.extend(self.properties.iter().cloned());
        let mut busctl = self.busctl("call");
        busctl.args(["StartTransientUnit", "ssa(sv)a(sa(sv))", &self.name, "replace"]);
        busctl.arg(properties.len().to_string());
        for [name, kind, value] in &properties {
            busctl.args([name, kind]);
            // A list is a number and its elements; a text is one word.
            match kind.as_str() {
                "au" => busctl.args(value.split(' ')),
                _ => busctl.arg(value),
            };
        }
        run(busctl.arg("0")).map(drop)
    }

    /// The answer comes when the job is queued; it is done when the process is in it.
    fn wait(&self, pid: u32) -> Result<()> {
        let (end, deadline) = (format!("/{}", self.name), Instant::now() + PATIENCE);
        let path = format!("/proc/{pid}/cgroup");
        loop {
            let now = read_to_string(&path).call(|| format!("read({path:?})"))?;
            if now.lines().any(|line| line.ends_with(&end)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!(
                    "systemd has not made {} within {} s",
                    self.name,
                    PATIENCE.as_secs()
                )));
            }
            sleep(Duration::from_millis(2));
        }
    }

    fn busctl(&self, verb: &str) -> Command {
        let mut command = Command::new("busctl");
        if self.user {
            command.arg("--user");
        }
        command.arg(verb).args(MANAGER);
        command
    }
}

fn run(command: &mut Command) -> Result<String> {
    const HINT: &str = "cgroups of systemd's take a running systemd, its bus and busctl: leave \
                        --systemd-cgroup out, and cgroupsPath is a path";
    let done = match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(
                Error::new("busctl, which asks systemd for a cgroup, is not installed").hint(HINT)
            );
        }
        done => done.call(|| "execve(busctl)")?,
    };
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(Error::new(format!("busctl: {}", said.trim())).hint(HINT));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn own(name: &str, kind: &str, value: impl ToString) -> [String; 3] {
    [name.to_owned(), kind.to_owned(), value.to_string()]
}

/// The limits that systemd knows as well: it would write its own again some day.
fn limited(limits: &Limits) -> Result<Vec<[String; 3]>> {
    let bytes = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let quota = limits.cpu_quota.filter(|&quota| quota > 0).map(|quota| {
        let a_second = quota as u64 * 1_000_000 / limits.cpu_period.unwrap_or(100_000);
        // It counts in percent.
        a_second.next_multiple_of(10_000)
    });
    let values = [
        ("MemoryMax", limits.memory.map(bytes)),
        ("MemoryLow", limits.memory_reservation.map(bytes)),
        ("MemorySwapMax", limits.swap()?.map(bytes)),
        ("CPUWeight", limits.cpu_shares.map(weight)),
        ("CPUQuotaPeriodUSec", limits.cpu_period),
        ("CPUQuotaPerSecUSec", quota),
        ("TasksMax", limits.pids.map(bytes)),
    ];
    Ok(values.into_iter().filter_map(|(name, value)| Some(own(name, "t", value?))).collect())
}

/// A slice's name holds its path: `a-b.slice` lies in `a.slice`.
fn expand(slice: &str) -> Result<PathBuf> {
    let refuse = || Error::new(format!("invalid slice name: {slice}"));
    let bare = slice.strip_suffix(".slice").ok_or_else(refuse)?;
    let mut path = PathBuf::new();
    if bare == "-" {
        return Ok(path);
    }
    for (at, _) in bare.match_indices('-').chain([(bare.len(), "")]) {
        let name = &bare[..at];
        if name.is_empty() || name.ends_with('-') {
            return Err(refuse());
        }
        path.push(format!("{name}.slice"));
    }
    Ok(path)
}

/// An annotation as a property; `None` if it is another one.
fn property(key: &str, value: &str) -> Option<Result<[String; 3]>> {
    let name = key.strip_prefix("org.systemd.property.")?;
    let plain = name.len() >= 3 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    let parsed = variant(value).filter(|_| plain).map(|(kind, value)| {
        // systemd's manuals speak of seconds, its bus of microseconds.
        let seconds = name.strip_suffix("Sec").filter(|rest| rest.ends_with(char::is_lowercase));
        match (seconds, value.parse::<u64>()) {
            (Some(rest), Ok(seconds)) => {
                own(&format!("{rest}USec"), "t", seconds.saturating_mul(1_000_000))
            }
            _ => own(name, kind, value),
        }
    });
    Some(parsed.ok_or_else(|| {
        Error::new(format!("annotation {key}={value:?}: not a property of a unit"))
            .hint("a number, true, false or 'text'; a number may have its type before it: uint64 5")
    }))
}

/// `uint64 5`, `true`, `'text'`: the type as D-Bus writes it, and the value.
fn variant(text: &str) -> Option<(&'static str, &str)> {
    let text = text.trim();
    for quote in ['\'', '"'] {
        let inside = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inside) = inside {
            return Some(("s", inside));
        }
    }
    let types = [("uint64", "t"), ("uint32", "u"), ("int32", "i"), ("int64", "x")];
    let typed = types.iter().find_map(|(name, kind)| {
        text.strip_prefix(name)
            .filter(|rest| rest.starts_with(' '))
            .map(|rest| (*kind, rest.trim()))
    });
    match typed {
        Some((kind, number)) => number.parse::<i128>().is_ok().then_some((kind, number)),
        None if text == "true" || text == "false" => Some(("b", text)),
        None => text.parse::<i32>().is_ok().then_some(("i", text)),
    }
}
