//! Chapter 7: what a container may not do.

#![forbid(unsafe_code)]

pub mod credentials;
