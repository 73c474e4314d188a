//! Makes the book from its pages, and proves them.

#![forbid(unsafe_code)]
