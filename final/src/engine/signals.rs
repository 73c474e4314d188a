//! Signals by name and number, as docker takes them.

use std::str::FromStr;

use ch01_clone::{Error, Result};
use nix::libc::SIGRTMAX;
use nix::sys::signal::Signal;

/// `KILL`, `SIGKILL`, `kill`, `9`, `RTMIN+3`.
pub fn number(text: &str) -> Result<i32> {
    let invalid = || Error::new(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=SIGRTMAX()).contains(&number) { Ok(number) } else { Err(invalid()) };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let more: i32 = if rest.is_empty() { 0 } else { rest.parse().map_err(|_| invalid())? };
        return number(&(nix::libc::SIGRTMIN() + more).to_string()).map_err(|_| invalid());
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        let less: i32 = if rest.is_empty() { 0 } else { rest.parse().map_err(|_| invalid())? };
        return number(&(SIGRTMAX() + less).to_string()).map_err(|_| invalid());
    }
    Signal::from_str(&format!("SIG{name}")).map(|signal| signal as i32).map_err(|_| invalid())
}
