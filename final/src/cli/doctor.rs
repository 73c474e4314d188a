//! `dockster doctor`: what on this machine stands in the way, and the cure.
//!
//! The checks of the machine are the library `doctor`, which `cargo x doctor` uses as well;
//! those of its network are here.

mod network;

use std::path::Path;

use clap::Args;
use doctor::{CHECKS, Patient, Verdict, report};

/// Say what on this machine stands in the way, and the cure
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// One line a check, without colours: for pipes and screen readers
    #[arg(long)]
    plain: bool,
}

/// Runs all checks and prints what they found; 1 if `dockster run hello` will not work.
pub fn doctor(args: DoctorArgs, root: &Path) -> anyhow::Result<u8> {
    let patient = Patient::here(root)?;
    let color = report::colored() && !args.plain;
    let mut worst = 0;
    for (name, check) in CHECKS.into_iter().chain(network::CHECKS) {
        let finding = check(&patient);
        worst = worst.max(u8::from(finding.verdict == Verdict::Fail));
        match args.plain {
            true => super::print(&(report::line(name, &finding) + "\n"))?,
            false => super::print(&report::lines(name, &finding, color))?,
        };
    }
    if !args.plain {
        super::print(&format!("\n{}\n", if worst == 0 { HEALTHY } else { ILL }))?;
    }
    Ok(worst)
}

const HEALTHY: &str = "`dockster run hello` will work here.";
const ILL: &str = "`dockster run hello` will not work before what failed is cured.";
