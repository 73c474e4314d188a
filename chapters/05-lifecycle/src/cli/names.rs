//! Catalogue: not needed to understand the chapter.
//!
//! Signals, capabilities and users by name or number.

use std::ffi::OsStr;
use std::str::FromStr;

use ch01_clone::{Error, Result};
use nix::sys::signal::Signal;
use oci_spec::runtime::{Capability, User};

/// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`.
pub(super) fn signal(name: &OsStr) -> Result<i32> {
    let text = name.to_str().unwrap_or_default();
    let bare = text.to_ascii_uppercase();
    let bare = bare.strip_prefix("SIG").unwrap_or(&bare);
    let number =
        match bare {
            "CLD" => Some(libc::SIGCHLD),
            "IOT" => Some(libc::SIGABRT),
            "POLL" => Some(libc::SIGIO),
            _ => text.parse().ok().or_else(|| real_time(bare)).or_else(|| {
                Signal::from_str(&format!("SIG{bare}")).ok().map(|signal| signal as i32)
            }),
        };
    number.ok_or_else(|| Error::new(format!("unknown signal {name:?}")))
}

/// `RTMIN`, `RTMIN+n`, `RTMAX-n`, `RTMAX`.
fn real_time(bare: &str) -> Option<i32> {
    let (least, most) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let number = match (bare.strip_prefix("RTMIN"), bare.strip_prefix("RTMAX")) {
        (Some(""), _) => least,
        (_, Some("")) => most,
        (Some(rest), _) => least + rest.strip_prefix('+')?.parse::<u8>().ok()? as i32,
        (_, Some(rest)) => most - rest.strip_prefix('-')?.parse::<u8>().ok()? as i32,
        (None, None) => return None,
    };
    (least..=most).contains(&number).then_some(number)
}

/// `CAP_NET_ADMIN`, or without `CAP_`.
pub(super) fn capability(name: &str) -> Result<Capability> {
    let upper = name.to_ascii_uppercase();
    Capability::from_str(upper.strip_prefix("CAP_").unwrap_or(&upper))
        .map_err(|_| Error::new(format!("unknown capability {name:?}")))
}

/// `UID` or `UID:GID`; without a GID the group stays.
pub(super) fn user(user: &mut User, text: &str) -> Result<()> {
    let id = |kind, text: &str| {
        text.parse::<u32>().map_err(|error| {
            Error::new(format!("parsing {text:?} as int for {kind} failed: {error}"))
        })
    };
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    user.set_uid(id("uid", uid)?);
    if let Some(gid) = gid {
        user.set_gid(id("gid", gid)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        let is = |name: &str| signal(name.as_ref()).ok();
        assert_eq!(["TERM", "sigterm", "SIGTERM", "15"].map(is), [Some(15); 4]);
        assert_eq!(["RTMIN+3", "SIGRTMAX-27", "37"].map(is), [Some(37); 3]);
        assert_eq!(["CLD", "IOT", "WINCH"].map(is), [Some(17), Some(6), Some(28)]);
        assert_eq!(["", "FROB", "RTMIN-1", "RTMAX+1", "RTMIN+31", "SIG15"].map(is), [None; 6]);
    }
}
