//! `cargo x` itself, from outside: the lab, run, rootfs, doctor, clean.

mod clean;
mod doctor;
mod lab;
mod rootfs;
mod run;

use std::path::{Path, PathBuf};

use dockster_tests::{Need, Run, Trial, host, of_version_2};

/// What looks the same on every kernel.
pub fn trials() -> Vec<Trial> {
    [run::trials(), rootfs::trials(), doctor::trials()].into_iter().flatten().collect()
}

/// What has to do with cgroups.
pub fn of_the_kernel() -> Vec<Trial> {
    let names = &["lab_holds", "lab_has_room_for_cgroups", "lab_leaves_no_cgroup", "clean_takes"];
    of_version_2(lab::trials().into_iter().chain(clean::trials()), names).collect()
}

/// The program `x`.
const X: &str = env!("CARGO_BIN_EXE_x");

/// `x`, which finds the chapters' programs beside itself: there may be no cargo here.
fn x(words: &[&str]) -> Run {
    Run::new(X).args(words).env("DOCKSTER_PROGRAMS", programs())
}

fn programs() -> PathBuf {
    Path::new(X).parent().expect("x lies in a directory").to_owned()
}

/// What a lab takes: root is root, and everybody else makes a user namespace.
fn namespaces() -> &'static [Need] {
    if host().root { &[Need::Root] } else { &[Need::UserNamespaces] }
}

/// Where a lab has a ceiling for processes: root's are only counted in a cgroup.
fn ceiling() -> &'static [Need] {
    if host().root { &[Need::Limits] } else { &[Need::UserNamespaces] }
}
