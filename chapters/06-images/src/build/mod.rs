//! Catalogue: not needed to understand the chapter.
//!
//! From a Dockerfile to an image: all that can be done without running anything.
//!
//! `layer`: a directory of changes becomes a layer.

mod layer;
