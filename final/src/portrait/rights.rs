//! Capabilities: what root is made of, and how much of it a process has (capabilities(7)).

use std::fs;
use std::io::ErrorKind;

use ch01_clone::Namespace;

use super::read::{NEW, Process, again, cell, namespace, number};

/// A user namespace of its own is where its capabilities end.
pub(super) fn reach(child: &Process, host: &Process) -> String {
    let own = namespace(Namespace::User, child, host);
    if own.inside.ends_with(NEW) { ", but only in here" } else { "" }.to_owned()
}

/// Those that are effective.
pub(super) fn capabilities(process: &Process) -> String {
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").map_err(|error| again(&error));
    let told = process.status("CapEff").and_then(|words| {
        let bits = words.first().and_then(|word| u64::from_str_radix(word, 16).ok());
        Ok(capabilities_in(bits.ok_or(ErrorKind::InvalidData)?, number(Some(&last?))?))
    });
    cell(told)
}

/// How many, and which ones if that is soon said; all kinds are numbered from 0 to `last`.
fn capabilities_in(bits: u64, last: u32) -> String {
    let name = |bit: u32| CAPABILITIES.get(bit as usize).copied().unwrap_or("one without a name");
    let names = |has: bool| -> Vec<_> {
        (0..=last.min(63)).filter(|bit| (bits >> bit & 1 == 1) == has).map(name).collect()
    };
    let (held, missing) = (names(true), names(false));
    match (held.len(), missing.len()) {
        (0, _) => "none".to_owned(),
        (all, 0) => format!("all {all}"),
        (most, 1..=3) => format!("{most}, all but {}", missing.join(", ")),
        (few, _) if few <= 3 => held.join(", "),
        (some, _) => {
            let strongest = STRONGEST.into_iter().filter(|name| held.contains(name));
            let named: Vec<_> = strongest.chain(held.iter().copied()).take(2).collect();
            format!("{some}, such as {}", named.join(", "))
        }
    }
}

/// Those that say most about what a process may do, the strongest first.
const STRONGEST: [&str; 5] = ["sys_admin", "sys_ptrace", "net_admin", "dac_override", "net_raw"];

/// By number.
#[rustfmt::skip]
const CAPABILITIES: [&str; 41] = [
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid",
    "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw",
    "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct",
    "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod",
    "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog",
    "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_capabilities_in_few_words() {
        assert_eq!(capabilities_in(0, 40), "none");
        assert_eq!(capabilities_in(0x1ff_ffff_ffff, 40), "all 41");
        assert_eq!(capabilities_in(0x1ff_feff_ffff, 40), "40, all but sys_resource");
        assert_eq!(capabilities_in(0x400, 40), "net_bind_service");
        // Docker's usual fourteen.
        assert_eq!(capabilities_in(0xa804_25fb, 40), "14, such as dac_override, net_raw");
    }
}
