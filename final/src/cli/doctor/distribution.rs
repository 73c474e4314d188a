//! Which Linux this is, since each has other names for the cures.

use std::fs;

/// A family of distributions that share their commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Debian,
    Fedora,
    Arch,
    Suse,
    Alpine,
    Other,
}

/// Which Linux this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Distribution {
    pub(super) family: Family,
    /// As it calls itself: `Debian GNU/Linux 12 (bookworm)`.
    pub(super) name: String,
    /// Under Windows, whose kernel is updated from there.
    pub(super) wsl: bool,
}

impl Distribution {
    pub(super) fn of_this_machine() -> Self {
        let release = fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self::from_text(&release.unwrap_or_default(), &kernel)
    }

    /// From os-release(5) and the kernel's release.
    pub(super) fn from_text(os_release: &str, kernel: &str) -> Self {
        let value = |key: &str| {
            let found =
                os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            found.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        let ids = format!("{} {}", value("ID"), value("ID_LIKE"));
        let family = ids.split_whitespace().find_map(|id| match id {
            "debian" | "ubuntu" => Some(Family::Debian),
            "fedora" | "rhel" | "centos" => Some(Family::Fedora),
            "arch" => Some(Family::Arch),
            "suse" | "opensuse" | "opensuse-tumbleweed" | "opensuse-leap" | "sles" => {
                Some(Family::Suse)
            }
            "alpine" => Some(Family::Alpine),
            _ => None,
        });
        let name = Some(value("PRETTY_NAME")).filter(|name| !name.is_empty());
        Self {
            family: family.unwrap_or(Family::Other),
            name: name.unwrap_or_else(|| "an unknown Linux".to_owned()),
            wsl: kernel.to_ascii_lowercase().contains("microsoft"),
        }
    }

    /// The command that installs newuidmap and newgidmap.
    pub(super) fn install_id_mappers(&self) -> &'static str {
        match self.family {
            Family::Debian => "sudo apt install uidmap",
            Family::Fedora => "sudo dnf install shadow-utils",
            Family::Arch => "sudo pacman -S shadow",
            Family::Suse => "sudo zypper install shadow",
            Family::Alpine => "doas apk add shadow-subids",
            Family::Other => "install newuidmap and newgidmap (of the project shadow)",
        }
    }

    /// The command that grants ranges of ids to a user.
    pub(super) fn grant_ranges(&self, user: &str) -> String {
        match self.family {
            // busybox has no usermod.
            Family::Alpine => {
                format!("echo {user}:100000:65536 | doas tee -a /etc/subuid /etc/subgid")
            }
            _ => format!("sudo usermod -v 100000-165535 -w 100000-165535 {user}"),
        }
    }

    /// The command that gets a newer kernel.
    pub(super) fn update_kernel(&self) -> &'static str {
        match self.family {
            _ if self.wsl => "in Windows: wsl --update",
            Family::Debian => {
                "sudo apt update && sudo apt full-upgrade, or a newer release, and reboot"
            }
            Family::Fedora => "sudo dnf upgrade, or a newer release, and reboot",
            Family::Arch => "sudo pacman -Syu, and reboot",
            Family::Suse => "sudo zypper dup, or a newer release, and reboot",
            Family::Alpine => "doas apk upgrade --available, or a newer release, and reboot",
            Family::Other => "boot a newer kernel",
        }
    }

    /// The command that sets a sysctl.
    pub(super) fn sysctl(&self, setting: &str) -> String {
        let sudo = if self.family == Family::Alpine { "doas" } else { "sudo" };
        format!(
            "{sudo} sysctl -w {setting} (for good: that line in /etc/sysctl.d/60-dockster.conf)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_families_by_id_and_by_likeness() {
        let family = |text: &str| Distribution::from_text(text, "6.8.0").family;
        assert_eq!(family("NAME=x\nID=debian\n"), Family::Debian);
        assert_eq!(family("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Family::Debian);
        assert_eq!(family("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Family::Fedora);
        assert_eq!(family("ID=manjaro\nID_LIKE=arch\n"), Family::Arch);
        assert_eq!(family("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n"), Family::Suse);
        assert_eq!(family("ID=alpine\n"), Family::Alpine);
        assert_eq!(family("ID=void\n"), Family::Other);
        assert_eq!(family(""), Family::Other);
    }

    #[test]
    fn knows_windows() {
        let wsl = Distribution::from_text(
            "PRETTY_NAME=\"Ubuntu 24.04\"\nID=ubuntu\n",
            "6.6.87-microsoft-standard-WSL2",
        );
        assert!(wsl.wsl);
        assert_eq!(wsl.name, "Ubuntu 24.04");
        assert!(wsl.update_kernel().contains("wsl"));
    }
}
