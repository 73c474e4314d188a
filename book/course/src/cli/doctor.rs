//! `cargo x doctor`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use doctor::{CHECKS, Finding, Patient, Verdict, changes, report, tools};

/// Say what on this machine stands in the way, and the cure
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Offer each change that this machine needs, one by one
    #[arg(long)]
    pub fix: bool,
}

/// Runs all checks; 1 if something that the course needs has failed.
pub fn doctor(args: DoctorArgs) -> Result<u8> {
    let patient = Patient::here(&state())?;
    let mut findings = Vec::new();
    let by_hand: (&str, doctor::Check) = ("tools to use by hand", tools::check);
    for (name, check) in CHECKS.into_iter().chain([by_hand]) {
        let finding = check(&patient);
        print!("{}", report::lines(name, &finding, report::colored()));
        findings.push(finding);
    }
    println!();
    if args.fix {
        return fix(&findings);
    }
    println!("{}", advice(&findings));
    Ok(u8::from(findings.iter().any(|f| f.verdict == Verdict::Fail)))
}

fn advice(findings: &[Finding]) -> &'static str {
    let curable = findings.iter().any(|finding| finding.cure.change.is_some());
    match (findings.iter().any(|finding| finding.verdict == Verdict::Fail), curable) {
        (false, false) => "The course will work here.",
        (false, true) => {
            "The course will work here. `cargo x doctor --fix` offers what would be better."
        }
        (true, false) => "The course will not work before what failed is cured.",
        (true, true) => {
            "The course will not work before what failed is cured:\n\
             `cargo x doctor --fix` offers each change, and asks first."
        }
    }
}

/// Offers each change once: two findings may have the same cure.
fn fix(findings: &[Finding]) -> Result<u8> {
    let mut all = Vec::new();
    for change in findings.iter().filter_map(|finding| finding.cure.change.as_ref()) {
        if !all.contains(&change) {
            all.push(change);
        }
    }
    if all.is_empty() {
        println!("There is nothing that a command would cure.");
    }
    let mut failed = 0;
    for change in all {
        // One that does not work is no reason to keep the others back.
        if let Err(error) = changes::offer(change) {
            eprintln!("cargo x: {error:#}\n");
            failed = 1;
        }
    }
    Ok(failed)
}

/// Offers to take back what was changed; 1 if something is left.
pub fn take_back() -> Result<u8> {
    changes::take_back().map(|left| u8::from(left > 0))
}

/// Where the finished runtime keeps its images and containers.
fn state() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".local/share"));
    let data = || variable("XDG_DATA_HOME").or_else(home).map(|data| data.join("dockster"));
    let usual = if nix::unistd::geteuid().is_root() { None } else { data() };
    variable("DOCKSTER_ROOT").or(usual).unwrap_or_else(|| "/var/lib/dockster".into())
}
