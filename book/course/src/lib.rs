//! The course: its exercises, rungs, patches, labs and transcripts, and `cargo x`.

#![forbid(unsafe_code)]

// The exercises' checkers are compiled in here, and say `use course::judge::*`.
extern crate self as course;

pub mod cargo;
pub mod check;
pub mod checks;
pub mod clean;
pub mod exercise;
pub mod hole;
pub mod judge;
pub mod lab;
pub mod mine;
pub mod needs;
pub mod programs;
pub mod progress;
pub mod rootfs;
pub mod run;
pub mod rung;
pub mod say;
pub mod sync;
pub mod transcript;
pub mod tree;
pub mod without;

pub use programs::programs;
pub use tree::tree;
