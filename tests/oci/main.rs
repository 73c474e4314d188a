//! `dockster-oci` from the outside: its verbs, its configuration, and who drives it.
//!
//! Every test has a bundle and a `--root` of its own (`bundle::Bundle`), and each engine
//! namespaces of its own (`engines::Machine`). With `DOCKSTER_TEST_RUNTIME=/usr/sbin/runc`
//! the same tests judge another runtime.

mod bundle;
mod containerd;
mod docker;
mod engines;
mod fields;
mod fields_cgroups;
mod fields_confine;
mod fields_hooks;
mod fields_linux;
mod fields_memory;
mod fields_mounts;
mod fields_notify;
mod fields_process;
mod given;
mod life;
mod podman;
mod sockets;
mod verbs;

use dockster_tests::of_version_2;

fn main() {
    let topics = [
        // The longest first.
        podman::trials(),
        containerd::trials(),
        docker::trials(),
        fields::trials(),
        given::trials(),
        life::trials(),
        verbs::trials(),
    ];
    let names = &["cgroups::", "mounts::cgroup", "linux::namespaces_by_path"];
    dockster_tests::run(of_version_2(topics.into_iter().flatten(), names).collect())
}
