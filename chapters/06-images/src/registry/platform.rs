//! Catalogue: not needed to understand the chapter.
//!
//! For which machine an image is, and which of several fits.

use std::fmt;

use ch01_clone::{Error, Result};
use oci_spec::image::{Descriptor, ImageConfiguration};

/// `OS/ARCHITECTURE[/VARIANT]`, in Go's words: `linux/amd64`, `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// The system.
    pub os: String,
    /// The processor.
    pub architecture: String,
    /// Which of its generations, where that matters.
    pub variant: Option<String>,
}

impl Platform {
    /// This machine.
    pub fn here() -> Self {
        let (architecture, variant) = architecture(std::env::consts::ARCH, None);
        Self { os: "linux".to_owned(), architecture, variant }
    }

    /// As docker's `--platform` says it; the system alone or the processor alone will do.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let (os, arch, variant) = match parts[..] {
            ["linux"] => return Ok(Self::here()),
            [arch] => ("linux", arch, None),
            [os, arch] => (os, arch, None),
            [os, arch, variant] => (os, arch, Some(variant)),
            _ => ("", "", None),
        };
        if os.is_empty() || !parts.iter().all(word) {
            return Err(Error::new(format!("{text:?} is no platform"))
                .hint("a platform is OS/ARCHITECTURE[/VARIANT], as linux/arm64"));
        }
        let (architecture, variant) = architecture(&arch.to_ascii_lowercase(), variant);
        Ok(Self { os: os.to_ascii_lowercase(), architecture, variant })
    }

    /// The entry of an index that fits best; of equals the first.
    pub(crate) fn choose<'a>(&self, entries: &'a [Descriptor]) -> Result<&'a Descriptor> {
        let ranked = entries.iter().filter_map(|entry| {
            let platform = entry.platform().as_ref()?;
            let (os, arch) = (platform.os().to_string(), platform.architecture().to_string());
            let rank = self.rank(&os, &arch, platform.variant().as_deref())?;
            Some((rank, entry))
        });
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, entry)| entry).ok_or_else(|| {
            Error::new(format!("no matching manifest for {self} in the manifest list entries"))
                .hint(format!("there is: {}", offers(entries)))
        })
    }

    /// Whether an image without an index is for this platform.
    pub(crate) fn fits(&self, config: &ImageConfiguration) -> bool {
        let (os, arch) = (config.os().to_string(), config.architecture().to_string());
        self.rank(&os, &arch, config.variant().as_deref()).is_some()
    }

    /// How well something fits, 0 the best. An older generation runs on a newer one.
    fn rank(&self, os: &str, arch: &str, variant: Option<&str>) -> Option<u32> {
        let (arch, variant) = architecture(arch, variant);
        if os != self.os || arch != self.architecture {
            return None;
        }
        generation(&self.variant).checked_sub(generation(&variant))
    }
}

/// `v7` is 7; none is the first.
fn generation(variant: &Option<String>) -> u32 {
    let digits = variant.as_deref().and_then(|variant| variant.strip_prefix('v'));
    digits.and_then(|digits| digits.split('.').next()?.parse().ok()).unwrap_or(1)
}

/// Other people's names for processors as Go has them, the usual generation left out or said.
fn architecture(name: &str, variant: Option<&str>) -> (String, Option<String>) {
    let (name, variant) = match (name, variant) {
        ("x86_64" | "x86-64", v) => ("amd64", v),
        ("aarch64", v) => ("arm64", v),
        ("x86" | "i386" | "i686", _) => ("386", None),
        ("armhf", _) => ("arm", Some("v7")),
        ("armel", _) => ("arm", Some("v6")),
        ("powerpc64" | "powerpc64le", v) => ("ppc64le", v),
        ("loongarch64", v) => ("loong64", v),
        other => other,
    };
    let variant = match (name, variant) {
        ("amd64", Some("v1")) | ("arm64", Some("v8" | "8")) => None,
        ("arm", None) => Some("v7"),
        ("arm", Some(digit @ ("5" | "6" | "7" | "8"))) => {
            return (name.to_owned(), Some(format!("v{digit}")));
        }
        (_, variant) => variant,
    };
    (name.to_owned(), variant.map(str::to_owned))
}

fn offers(entries: &[Descriptor]) -> String {
    let platforms = entries.iter().filter_map(|entry| entry.platform().as_ref());
    let named = platforms.filter(|platform| platform.os().to_string() != "unknown");
    let all = named.map(|platform| {
        let variant = platform.variant().as_ref().map(|v| format!("/{v}")).unwrap_or_default();
        format!("{}/{}{variant}", platform.os(), platform.architecture())
    });
    all.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Platform;

    #[test]
    fn platforms_are_read_as_docker_does() {
        for (given, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/x86_64/v1", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("LINUX/S390X", "linux/s390x"),
        ] {
            assert_eq!(Platform::parse(given).expect(given).to_string(), shown, "{given}");
        }
        for given in ["", "/", "linux/", "a/b/c/d", "linux/a b"] {
            assert!(Platform::parse(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn older_generations_fit() {
        let arm = Platform::parse("linux/arm/v7").expect("right");
        let rank = |arch, variant| arm.rank("linux", arch, variant);
        assert_eq!(rank("arm", Some("v7")), Some(0));
        assert_eq!(rank("arm", Some("v6")), Some(1));
        assert_eq!(rank("arm", Some("v8")), None);
        assert_eq!(rank("arm64", None), None);
        let amd = Platform::parse("linux/amd64").expect("right");
        assert_eq!(amd.rank("linux", "amd64", Some("v3")), None);
        assert_eq!(amd.rank("linux", "amd64", None), Some(0));
    }
}
