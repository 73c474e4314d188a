//! The exercises' checkers: `chapters/*/exercises/*/check.rs`, compiled in here.
//!
//! The table is made by build.rs.

use crate::judge::Check;

include!(concat!(env!("OUT_DIR"), "/checks.rs"));

/// The checker of an exercise, say `01.2`. A hole has none: its chapter's tests judge it.
pub fn find(id: &str) -> Option<Check> {
    CHECKS.iter().find(|(name, _)| *name == id).map(|(_, check)| *check)
}
