//! Catalogue: not needed to understand the chapter.
//!
//! A container's life is a list of named steps. [`step!`](crate::step) marks each.
//!
//! Nobody watches: a step costs one load of an atomic. Somebody watches
//! (`--explain`, `--pause`, `--timings`, a test that makes a step fail): the
//! parent hears of each step before it is taken and answers whether to go on.
//! The child has no terminal of its own to talk to, so it asks over its gate.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::error::{Error, Result};
use crate::gate::{Gate, Message};

/// One step, as it is told before it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The crate that takes it: `ch02-chroot`.
    pub package: String,
    /// Its name, which is also a heading of that chapter in the book: `pivot_root`.
    pub name: String,
    /// Why it is taken, in a sentence.
    pub why: String,
    /// What to look at from another terminal; `PID` stands for the child's pid.
    pub look: String,
    /// The system call with its arguments.
    pub call: String,
}

/// Hears of a step, with the pid of the child it is about once there is one,
/// before it is taken. An error makes the step fail instead.
pub type Observer = Box<dyn FnMut(&Step, Option<i32>) -> Result<()> + Send>;

static WATCHED: AtomicBool = AtomicBool::new(false);
static WATCHER: Mutex<Watcher> =
    Mutex::new(Watcher { child: None, fixed: false, road: Road::Nobody });

struct Watcher {
    child: Option<i32>,
    /// Whether a new child is not the one that the steps are about.
    fixed: bool,
    road: Road,
}

enum Road {
    Nobody,
    Here(Observer),
    /// In the child: its gate leads to the parent, who has the observer.
    Gate(Gate),
}

/// From now on `observer` hears of each step of this process and its children.
pub fn observe(observer: Observer) {
    watcher().road = Road::Here(observer);
    WATCHED.store(true, Relaxed);
}

/// Nobody watches any more: the observer is dropped.
pub fn unobserve() {
    WATCHED.store(false, Relaxed);
    watcher().road = Road::Nobody;
}

/// Whether somebody watches; [`step!`](crate::step) asks.
pub fn watched() -> bool {
    WATCHED.load(Relaxed)
}

/// Tells of a step and waits until it may be taken.
pub fn tell(step: Step) -> Result<()> {
    let mut watcher = watcher();
    let child = watcher.child;
    let answer = match &mut watcher.road {
        Road::Nobody => Ok(()),
        Road::Here(observer) => observer(&step, child),
        Road::Gate(gate) => {
            gate.send(&Message::Step(step.clone()))?;
            match gate.receive()? {
                Some(Message::Go) => Ok(()),
                Some(Message::Failed(error)) => Err(error),
                _ => Err(Error::new("the parent is gone")),
            }
        }
    };
    answer.map_err(|error| error.during(&step.name))
}

/// In the parent: steps are about this child from now on.
pub(crate) fn about(child: i32) {
    if watched() {
        let mut watcher = watcher();
        watcher.child = if watcher.fixed { watcher.child } else { Some(child) };
    }
}

/// Whatever children `body` makes, its steps are about the one that there was before.
pub fn aside<T>(body: impl FnOnce() -> T) -> T {
    let before = std::mem::replace(&mut watcher().fixed, true);
    let done = body();
    watcher().fixed = before;
    done
}

/// In the child: its steps are told over the gate from now on.
pub(crate) fn tell_over(gate: &Gate) -> Result<()> {
    if watched() {
        let road = Road::Gate(gate.try_clone()?);
        // The parent's observer was copied with all the rest. It is not ours to
        // end: what it does when it is dropped, it does in the parent.
        std::mem::forget(std::mem::replace(&mut watcher().road, road));
    }
    Ok(())
}

fn watcher() -> std::sync::MutexGuard<'static, Watcher> {
    // An observer that panicked has printed what it could; the state is still whole.
    WATCHER.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One step: its name, why it is taken, what to look at meanwhile, the call
/// with its arguments (a format string), and the expression that does it.
///
/// The value is that of the expression, its error with the call and the step's
/// name added. `--explain`, `--pause`, `--timings`, the tests that make each
/// step fail and the headings of the book all follow from this one line.
#[macro_export]
macro_rules! step {
    ($name:literal, $why:literal, $look:literal, $call:literal, $do:expr $(,)?) => {{
        let told = if $crate::steps::watched() {
            $crate::steps::tell($crate::steps::Step {
                package: env!("CARGO_PKG_NAME").to_owned(),
                name: $name.to_owned(),
                why: $why.to_owned(),
                look: $look.to_owned(),
                call: format!($call),
            })
        } else {
            Ok(())
        };
        told.and_then(|()| {
            $crate::error::Context::call($do, || format!($call))
                .map_err(|error: $crate::error::Error| error.during($name))
        })
    }};
}
