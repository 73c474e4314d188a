//! `dockster doctor`: what on this machine stands in the way, and the cure.
//!
//! A list of checks, each a small function. Those in `trials` try the real
//! thing, in namespaces of their own; those in `facts` read what the kernel
//! says. What they read is turned into a verdict by functions that take text.

mod distribution;
mod facts;
mod trials;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use ch01_clone::narrate::fill;
use clap::Args;

use distribution::Distribution;

/// Say what on this machine stands in the way, and the cure
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// One line a check, without colours: for pipes and screen readers
    #[arg(long)]
    plain: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// All is well.
    Ok,
    /// Something will not work, but `dockster run hello` will.
    Warn,
    /// `dockster run hello` will not work.
    Fail,
}

/// What a check has found.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    found: String,
    /// A command, or what to do; empty if nothing is to be done.
    cure: String,
}

impl Finding {
    fn ok(found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, found: found.into(), cure: String::new() }
    }

    fn warn(found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, found: found.into(), cure: cure.into() }
    }

    fn fail(found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, found: found.into(), cure: cure.into() }
    }
}

/// Who is looked at: what the checks have in common.
struct Patient {
    /// The directory of all state, which need not exist yet.
    root: PathBuf,
    /// Whether we are root here; if not, a user namespace makes us so.
    privileged: bool,
    distribution: Distribution,
}

/// One look at the patient.
type Check = fn(&Patient) -> Finding;

/// All checks by name, in the order in which one cures.
const CHECKS: [(&str, Check); 16] = [
    ("kernel", facts::kernel),
    ("container around us", facts::container),
    ("kinds of namespaces", facts::namespaces),
    ("user namespace", trials::user_namespace),
    ("id ranges", facts::id_ranges),
    ("newuidmap, newgidmap", trials::id_mappers),
    ("a new root", trials::new_root),
    ("overlayfs", trials::overlay),
    ("disk space", facts::space),
    ("mount propagation", facts::propagation),
    ("cgroups", facts::cgroups),
    ("no internal processes", facts::internal_processes),
    ("controllers", facts::controllers),
    ("nf_tables", trials::nf_tables),
    ("firewall", facts::forwarding),
    ("name servers", facts::name_servers),
];

/// Runs all checks and prints what they found; 1 if `dockster run hello` will not work.
pub fn doctor(args: DoctorArgs, root: &Path) -> anyhow::Result<u8> {
    let patient = Patient {
        root: std::path::absolute(root)?,
        privileged: nix::unistd::geteuid().is_root(),
        distribution: Distribution::of_this_machine(),
    };
    let terminal = std::io::stdout().is_terminal();
    let color = terminal && !args.plain && std::env::var_os("NO_COLOR").is_none();
    let mut worst = 0;
    for (name, check) in CHECKS {
        let finding = check(&patient);
        worst = worst.max(u8::from(finding.verdict == Verdict::Fail));
        match args.plain {
            true => super::print(&(line(name, &finding) + "\n"))?,
            false => super::print(&lines(name, &finding, color))?,
        };
    }
    if !args.plain {
        super::print(&format!("\n{}\n", if worst == 0 { HEALTHY } else { ILL }))?;
    }
    Ok(worst)
}

const HEALTHY: &str = "`dockster run hello` will work here.";
const ILL: &str = "`dockster run hello` will not work before what failed is cured.";

/// `warn  name servers: only 127.0.0.53; cure: ...`
fn line(name: &str, finding: &Finding) -> String {
    let Finding { verdict, found, cure } = finding;
    let cure = if cure.is_empty() { String::new() } else { format!("; cure: {cure}") };
    format!("{:<4}  {name}: {found}{cure}", word(*verdict))
}

/// The same, in lines that fit into a terminal; a cure has lines of its own, to be copied.
fn lines(name: &str, finding: &Finding, color: bool) -> String {
    let code = match finding.verdict {
        _ if !color => "",
        Verdict::Ok => "\x1b[32m",
        Verdict::Warn => "\x1b[33m",
        Verdict::Fail => "\x1b[1;31m",
    };
    let off = if color { "\x1b[0m" } else { "" };
    let mut text = String::new();
    let whole = format!("{name}: {}", finding.found);
    for (at, line) in fill(&whole, 72).into_iter().enumerate() {
        let head = if at == 0 { word(finding.verdict) } else { "" };
        text += &format!("{code}{head:<4}{off}  {line}\n");
    }
    if !finding.cure.is_empty() {
        for (at, line) in fill(&finding.cure, 66).into_iter().enumerate() {
            text += &format!("      {:<6}{line}\n", if at == 0 { "cure:" } else { "" });
        }
    }
    text
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_in_one_line_or_in_narrow_ones() {
        let finding =
            Finding::warn("something that takes many words to say ".repeat(4).trim(), "sudo true");
        let plain = line("thing", &finding);
        assert!(plain.starts_with("warn  thing: something"), "{plain}");
        assert!(plain.ends_with("; cure: sudo true"), "{plain}");
        let narrow = lines("thing", &finding, false);
        assert!(narrow.lines().count() > 2);
        assert!(narrow.lines().all(|line| line.chars().count() <= 78), "{narrow}");
        assert!(narrow.ends_with("      cure: sudo true\n"), "{narrow}");
        assert_eq!(lines("thing", &Finding::ok("fine"), false), "ok    thing: fine\n");
    }
}
