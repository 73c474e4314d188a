//! To come.

use dockster_tests::Trial;

pub fn trials() -> Vec<Trial> {
    Vec::new()
}
