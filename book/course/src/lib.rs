//! The course: its exercises, rungs, patches, labs and transcripts, and `cargo x`.

#![forbid(unsafe_code)]

pub mod judge;
