//! The container's self-portrait: *inside | as the host sees it*.
//!
//! Nothing inside the container draws it. The child stands still at a step, and
//! the parent reads `/proc/PID`, which tells both sides of every fact: that this
//! process is number 1 in there and 48213 out here, root in there and you out here.
//! So it works for any image, and at any step on the way.
//!
//! `read` finds what the rows say about the process, `rights` what it may do,
//! `share` its part of the machine; `frame` draws them.

mod frame;
mod read;
mod rights;
mod share;

use std::io::{self, Write};

use ch01_clone::Namespace;
use ch01_clone::narrate::Onlooker;

use read::Process;

/// What only the engine knows.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Where the container's `/` is on the host.
    pub root: String,
    /// A process that lives in the host's namespaces: for root that is our own,
    /// for an ordinary user the one that started the engine in its user namespace.
    pub host: i32,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// One fact a line, without box drawing: for pipes and screen readers.
    pub plain: bool,
    /// With colours. None of them says anything that is not said in words, too.
    pub color: bool,
}

/// What a row is about; the rows of a group stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Process,
    Namespaces,
    Limits,
    Network,
}

/// One fact, seen from both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    group: Group,
    name: &'static str,
    inside: String,
    host: String,
    /// Both sides are one and the same thing: there is no wall between them.
    shared: bool,
}

impl Row {
    fn new(group: Group, name: &'static str, [inside, host]: [String; 2]) -> Self {
        // A terminal takes some characters for orders, and a hostname may hold any.
        let printable = |text: String| text.replace(char::is_control, "?");
        Self { group, name, inside: printable(inside), host: printable(host), shared: false }
    }
}

/// All that is known of a container at one moment, from both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portrait {
    rows: Vec<Row>,
    /// Its `/` is not the host's any more.
    own_root: bool,
}

impl Portrait {
    /// Looks at the process `pid`. It never fails: what cannot be read says so in its cell.
    pub fn of(pid: i32, about: &About) -> Self {
        let (child, host) = (Process::new(pid), Process::new(about.host));
        let own_root = child.has_own_root();
        let mut rows = read::process(&child, &host, about, own_root);
        rows.extend(Namespace::ALL.map(|kind| read::namespace(kind, &child, &host)));
        rows.extend(share::limits(&child));
        rows.extend(share::network(&child, &host));
        Self { rows, own_root }
    }

    /// The drawing; rows that were otherwise `before` are marked.
    pub fn draw(&self, before: Option<&Portrait>, style: Style) -> String {
        let changed = |row: &Row| before.is_some_and(|before| !before.rows.contains(row));
        match style.plain {
            true => frame::plain(&self.rows, changed),
            false => {
                frame::boxed(&self.rows, changed, before.is_some(), self.own_root, style.color)
            }
        }
    }
}

/// Draws the child whenever we pause, with what has changed since, on standard
/// error; and once at the step `always_at`, on standard output.
pub fn onlooker(about: About, style: Style, always_at: Option<&'static str>) -> Onlooker {
    let mut before: Option<Portrait> = None;
    Box::new(move |step, child, pauses| {
        let posing = always_at.is_some_and(|name| name == step.name);
        let Some(pid) = child.filter(|pid| (pauses || posing) && Process::new(*pid).lives()) else {
            return;
        };
        let now = Portrait::of(pid, &about);
        let text = match before.as_ref() == Some(&now) && !posing {
            true => "    (The portrait is the same as at the last pause.)\n".to_owned(),
            false => now.draw(before.as_ref(), style) + "\n",
        };
        // Nobody can be told that these are closed.
        let _ = match posing {
            true => io::stdout().lock().write_all(text.as_bytes()),
            false => io::stderr().lock().write_all(text.as_bytes()),
        };
        before = Some(now);
    })
}

/// Which namespaces this process is in, as a variable for the environment of a
/// process that leaves them. From a user namespace one cannot look up them who
/// are outside of it (`stat(/proc/PPID/ns/user)` is EACCES): so it takes this along.
pub fn testimony() -> String {
    let inode =
        |kind: Namespace| kind.of("self").ok().map(|inode| format!("{}:{inode}", kind.file()));
    let all: Vec<_> = Namespace::ALL.into_iter().filter_map(inode).collect();
    format!("{}={}", read::TESTIMONY, all.join(","))
}
