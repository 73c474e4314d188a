//! Which tests run on this machine, and why the others do not.

use libtest_mimic::{Arguments, Failed, Trial};

use crate::host::{Cgroups, find_program, host};

/// What a test needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Effective uid 0.
    Root,
    /// An ordinary user.
    User,
    /// Pure cgroups v2.
    V2,
    /// v1 controllers, on a v1 or hybrid host.
    V1,
    /// Cgroups in which this user may set limits.
    Limits,
    /// User namespaces that this user may make.
    UserNamespaces,
    /// More ids than one's own to map.
    IdRanges,
    /// Real speed: not the emulated machine (benchmarks, hundreds of runs).
    Speed,
    /// A program that a package brings; found with `find_program`.
    Program(&'static str),
}

/// Why a need is not met.
enum Missing {
    /// A package would help. In CI that is a failure: .ci/run installs them all.
    Part(String),
    /// It takes another machine or user. .ci/run runs the test there as well.
    Host(String),
}

fn missing(need: Need) -> Option<Missing> {
    let host = host();
    let unless = |met: bool, reason: &str| (!met).then(|| Missing::Host(reason.into()));
    match need {
        Need::Root => unless(host.root, "needs root"),
        Need::User => unless(!host.root, "needs an ordinary user"),
        Need::V2 => unless(host.cgroups == Cgroups::V2, "needs cgroups v2"),
        Need::V1 => {
            unless(matches!(host.cgroups, Cgroups::V1 | Cgroups::Hybrid), "needs cgroups v1")
        }
        Need::Limits => host.limits.as_ref().err().cloned().map(Missing::Host),
        Need::UserNamespaces => unless(host.user_namespaces, "needs user namespaces"),
        Need::IdRanges => host.id_ranges.as_ref().err().cloned().map(Missing::Part),
        Need::Speed => unless(!host.is_slow(), "needs real speed"),
        Need::Program(name) => match find_program(name) {
            Some(_) => None,
            None => Some(Missing::Part(format!("needs the program {name}"))),
        },
    }
}

/// The emulated machine is there for cgroups v2: what is the same on a faster host runs there.
pub fn not_on_the_slow_machine(trial: Trial) -> Trial {
    match host().is_slow() {
        true => trial.with_kind("the same on a faster host").with_ignored_flag(true),
        false => trial,
    }
}

/// The same for all of these but those of whom the cgroup version is the point: the ones
/// whose names begin so.
pub fn of_version_2(
    trials: impl IntoIterator<Item = Trial>,
    names: &'static [&str],
) -> impl Iterator<Item = Trial> {
    trials.into_iter().map(|trial| match names.iter().any(|name| trial.name().starts_with(name)) {
        true => trial,
        false => not_on_the_slow_machine(trial),
    })
}

/// A test that runs where its needs are met. Elsewhere it is ignored, with the
/// reason as its kind: `test [needs root] name ... ignored`.
pub fn trial(
    name: &str,
    needs: &[Need],
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    match needs.iter().find_map(|need| missing(*need)) {
        None => Trial::test(name, test),
        Some(Missing::Part(reason)) if host().ci => {
            let failed = format!("{reason}: in CI nothing may be ignored for a missing part");
            Trial::test(name, move || Err(failed.into()))
        }
        Some(Missing::Part(reason) | Missing::Host(reason)) => {
            Trial::test(name, test).with_kind(reason).with_ignored_flag(true)
        }
    }
}

/// Runs the tests, several at a time, says which ones did not run here, and ends
/// the program.
pub fn run(trials: Vec<Trial>) -> ! {
    run_with(Arguments::from_args(), trials)
}

/// As [`run`], one test after the other: for suites that look at the whole host.
pub fn run_serial(trials: Vec<Trial>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    run_with(arguments, trials)
}

fn run_with(arguments: Arguments, trials: Vec<Trial>) -> ! {
    let not_here: Vec<String> = trials
        .iter()
        .filter(|t| t.has_ignored_flag())
        .map(|t| format!("not run here: {}: {}", t.name(), t.kind()))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let wanted =
        |line: &&String| arguments.filter.as_ref().is_none_or(|f| line.contains(f.as_str()));
    if !arguments.list && !arguments.ignored && !arguments.include_ignored {
        not_here.iter().filter(wanted).for_each(|line| println!("{line}"));
    }
    conclusion.exit()
}
