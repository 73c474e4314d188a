//! Makes the book, serves it, and is mdBook's preprocessor.

#![forbid(unsafe_code)]

fn main() {}
