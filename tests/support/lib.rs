//! What the black-box tests of all crates share.
//!
//! A suite is a `harness = false` program:
//!
//! ```ignore
//! use dockster_tests::{Failed, Need, Run, TempDir, busybox_rootfs, run, trial};
//!
//! fn main() {
//!     run(vec![
//!         trial("hostname_is_private", &[Need::UserNamespaces], hostname_is_private),
//!         trial("memory_limit_kills", &[Need::Limits, Need::V2], memory_limit_kills),
//!     ])
//! }
//!
//! fn hostname_is_private() -> Result<(), Failed> {
//!     let root = TempDir::new();
//!     busybox_rootfs(root.path())?;
//!     let done = Run::new(env!("CARGO_BIN_EXE_02-chroot")).arg(root.path()).args(["--", "hostname"]).success()?;
//!     assert_eq!(done.stdout, "02-chroot\n");
//!     Ok(())
//! }
//! ```
//!
//! The files, in the order in which a test meets them: `host` (what this machine
//! can do), `trials` (which tests run here), `dirs` and `rootfs` (something to run
//! in), `command` and `terminal` (running it), `fingerprint` (nothing left behind).

#![deny(unsafe_code)]

mod command;
mod dirs;
mod fingerprint;
mod host;
mod network;
mod rootfs;
mod supervisor;
#[allow(unsafe_code)]
mod sys;
mod terminal;
mod trials;
mod wait;

pub use command::{Done, Run};
pub use dirs::{TempDir, source_dir};
pub use fingerprint::Fingerprint;
pub use host::{Cgroups, Host, find_program, host};
pub use libtest_mimic::{Failed, Trial};
pub use network::on_a_network_of_its_own;
pub use rootfs::{busybox_rootfs, copy_program};
pub use supervisor::{Answer, supervise};
pub use terminal::Terminal;
pub use trials::{Need, debian, not_on_the_slow_machine, of_version_2, run, run_serial, trial};
pub use wait::{scaled, wait_until};
