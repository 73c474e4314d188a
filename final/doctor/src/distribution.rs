//! Which Linux this is, since each has other names for the cures.

use std::fs;

use crate::cure::{Change, Cure};

/// A family of distributions that share their commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Debian, Ubuntu, Mint: apt.
    Debian,
    /// Fedora, RHEL, Rocky: dnf.
    Fedora,
    /// Arch, Manjaro: pacman.
    Arch,
    /// openSUSE, SLES: zypper.
    Suse,
    /// Alpine: apk.
    Alpine,
    /// None of these.
    Other,
}

/// Which Linux this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Whose commands it has.
    pub family: Family,
    /// As it calls itself: `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// Under Windows, whose kernel is updated from there.
    pub wsl: bool,
}

impl Distribution {
    /// Looks at this machine.
    pub fn of_this_machine() -> Self {
        let release = fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self::from_text(&release.unwrap_or_default(), &kernel)
    }

    /// From os-release(5) and the kernel's release.
    pub fn from_text(os_release: &str, kernel: &str) -> Self {
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

    /// What root runs things with here, as a reader types it.
    fn sudo(&self) -> &'static str {
        if self.family == Family::Alpine { "doas" } else { "sudo" }
    }

    /// The command that installs these packages; `None` where we do not know it.
    pub fn install(&self, packages: &[&str]) -> Option<Cure> {
        let (show, run, undo) = match self.family {
            Family::Debian => ("apt install", "apt-get install -y", "apt-get remove -y"),
            Family::Fedora => ("dnf install", "dnf install -y", "dnf remove -y"),
            Family::Arch => ("pacman -S", "pacman -S --noconfirm", "pacman -R --noconfirm"),
            Family::Suse => ("zypper install", "zypper -n install", "zypper -n remove"),
            Family::Alpine => ("apk add", "apk add", "apk del"),
            Family::Other => return None,
        };
        let list = packages.join(" ");
        let change = Change::new(
            format!("install {list}"),
            format!("{run} {list}"),
            format!("{undo} {list}"),
        );
        Some(Cure::with(format!("{} {show} {list}", self.sudo()), change))
    }

    /// The package that has newuidmap and newgidmap.
    pub(crate) fn id_mappers(&self) -> &'static str {
        match self.family {
            Family::Debian => "uidmap",
            Family::Fedora => "shadow-utils",
            Family::Alpine => "shadow-subids",
            _ => "shadow",
        }
    }

    /// The command that installs newuidmap and newgidmap.
    pub(crate) fn install_id_mappers(&self) -> Cure {
        let text = "install newuidmap and newgidmap (of the project shadow)";
        self.install(&[self.id_mappers()]).unwrap_or_else(|| text.into())
    }

    /// The command that grants the ids from `first` on to a user.
    pub(crate) fn grant_ranges(&self, user: &str, first: u32) -> Cure {
        let range = format!("{first}-{}", first + RANGE - 1);
        let (run, undo) = match self.family {
            // busybox has no usermod.
            Family::Alpine => {
                let line = format!("{user}:{first}:{RANGE}");
                let files = "/etc/subuid /etc/subgid";
                (format!("echo {line} | tee -a {files}"), format!("sed -i '/^{line}$/d' {files}"))
            }
            _ => (
                format!("usermod -v {range} -w {range} {user}"),
                format!("usermod -V {range} -W {range} {user}"),
            ),
        };
        let text = match self.family {
            Family::Alpine => run.replace("| ", "| doas "),
            _ => format!("sudo {run}"),
        };
        Cure::with(text, Change::new(format!("give {user} the ids {range}"), run, undo))
    }

    /// The command that gets a newer kernel.
    pub(crate) fn update_kernel(&self) -> &'static str {
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

    /// The command that sets `key`, which is `now`, to `value`, and keeps it so.
    pub(crate) fn sysctl(&self, key: &str, value: &str, now: &str) -> Cure {
        let text =
            format!("{} sysctl -w {key}={value} (for good: that line in {SYSCTLS})", self.sudo());
        let run = format!("sysctl -w {key}={value} && echo {key}={value} | tee -a {SYSCTLS}");
        let undo = format!(
            "sysctl -w {key}={now} && sed -i '/^{key}={value}$/d' {SYSCTLS} && \
             {{ [ -s {SYSCTLS} ] || rm {SYSCTLS}; }}"
        );
        Cure::with(text, Change::new(format!("set {key} to {value}, for good"), run, undo))
    }
}

const SYSCTLS: &str = "/etc/sysctl.d/60-dockster.conf";

/// As many ids as a container can want, and as distributions grant.
const RANGE: u32 = 65_536;

/// The first of so many ids that no line of these files of `name:first:count` has granted.
/// Two users with the same ids could reach into each other's containers.
pub(crate) fn free_range(subids: &str) -> u32 {
    let taken: Vec<(u32, u32)> = subids
        .lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':').skip(1);
            let (first, count): (u32, u32) =
                (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            Some((first, first.saturating_add(count)))
        })
        .collect();
    let free = |first: u32| taken.iter().all(|(from, to)| first + RANGE <= *from || *to <= first);
    (100_000..u32::MAX - RANGE)
        .step_by(RANGE as usize)
        .find(|first| free(*first))
        .unwrap_or(100_000)
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

    #[test]
    fn grants_ids_that_nobody_has() {
        assert_eq!(free_range(""), 100_000);
        assert_eq!(free_range("ada:100000:65536\n"), 165_536);
        assert_eq!(free_range("ada:100000:65536\nbob:170000:10\n"), 231_072);
        assert_eq!(free_range("broken\nada:x:y\n"), 100_000);
    }

    #[test]
    fn a_cure_that_is_a_command_has_its_undo() {
        let debian = Distribution::from_text("ID=debian\n", "6.8.0");
        let cure = debian.install(&["strace", "git"]).unwrap();
        assert_eq!(cure.text, "sudo apt install strace git");
        assert_eq!(cure.change.unwrap().undo, "apt-get remove -y strace git");
        let cure = debian.grant_ranges("ada", 100_000);
        assert_eq!(cure.text, "sudo usermod -v 100000-165535 -w 100000-165535 ada");
        assert_eq!(cure.change.unwrap().undo, "usermod -V 100000-165535 -W 100000-165535 ada");
        let alpine = Distribution::from_text("ID=alpine\n", "6.8.0");
        let cure = alpine.grant_ranges("ada", 100_000);
        assert_eq!(cure.text, "echo ada:100000:65536 | doas tee -a /etc/subuid /etc/subgid");
        assert!(Distribution::from_text("ID=void\n", "6.8.0").install(&["git"]).is_none());
    }
}
