//! `dockster-oci` from the outside: its verbs, its configuration, and who drives it.

use dockster_tests::run_serial;

fn main() {
    run_serial(Vec::new())
}
