//! The programs that the book uses by hand, and the one line that installs what lacks.

use std::path::{Path, PathBuf};

use crate::distribution::{Distribution, Family};
use crate::{Finding, Patient};

/// What a reader types, and in which package it is: of Debian, Fedora, Arch, SUSE, Alpine.
const TOOLS: [(&str, [&str; 5]); 11] = [
    ("strace", ["strace"; 5]),
    ("unshare", ["util-linux"; 5]),
    ("nsenter", ["util-linux"; 5]),
    ("lsns", ["util-linux"; 5]),
    ("ip", ["iproute2", "iproute", "iproute2", "iproute2", "iproute2"]),
    ("nft", ["nftables"; 5]),
    ("ps", ["procps", "procps-ng", "procps-ng", "procps", "procps"]),
    ("newuidmap", ["uidmap", "shadow-utils", "shadow", "shadow", "shadow-subids"]),
    ("sudo or doas", ["sudo", "sudo", "sudo", "sudo", "doas"]),
    ("git", ["git"; 5]),
    ("cc", ["build-essential", "gcc", "gcc", "gcc", "build-base"]),
];

/// Where system programs are that an ordinary user's PATH often does not name.
const SYSTEM: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Whether all are there; if not, which, and the line that installs them.
pub fn check(patient: &Patient) -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let system = SYSTEM.map(PathBuf::from);
    let missing: Vec<_> =
        TOOLS.iter().filter(|(tool, _)| !is_in(tool, &path) && !is_in(tool, &system)).collect();
    let names: Vec<_> = missing.iter().map(|(tool, _)| *tool).collect();
    if !names.is_empty() {
        return Finding::warn(
            format!("not here: {}", names.join(", ")),
            install(&patient.distribution, &missing),
        );
    }
    let hidden: Vec<_> =
        TOOLS.iter().map(|(tool, _)| *tool).filter(|tool| !is_in(tool, &path)).collect();
    match hidden[..] {
        [] => Finding::ok("all here"),
        _ => Finding::warn(
            format!("all here, but {} not in your PATH", hidden.join(", ")),
            "export PATH=$PATH:/usr/sbin:/sbin (for good: that line in ~/.profile)",
        ),
    }
}

fn install(distribution: &Distribution, missing: &[&(&str, [&str; 5])]) -> crate::Cure {
    let column = match distribution.family {
        Family::Debian => 0,
        Family::Fedora => 1,
        Family::Arch => 2,
        Family::Suse => 3,
        Family::Alpine => 4,
        Family::Other => return "install them with your distribution's package manager".into(),
    };
    let mut packages: Vec<_> = missing.iter().map(|(_, names)| names[column]).collect();
    packages.dedup();
    distribution.install(&packages).unwrap_or_default()
}

/// `sudo or doas` is there if one of them is.
fn is_in(tool: &str, path: &[PathBuf]) -> bool {
    let there = |name: &str| path.iter().any(|dir: &PathBuf| Path::new(dir).join(name).is_file());
    tool.split(" or ").any(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_installs_all() {
        let missing: Vec<_> = TOOLS.iter().collect();
        let line = |text| install(&Distribution::from_text(text, "6.8.0"), &missing).text;
        assert_eq!(
            line("ID=fedora\n"),
            "sudo dnf install strace util-linux iproute nftables procps-ng shadow-utils sudo git gcc"
        );
        assert!(line("ID=alpine\n").starts_with("doas apk add strace util-linux iproute2"));
        assert!(line("ID=void\n").contains("package manager"));
    }
}
