//! Chapter 6: where the files come from.
//!
//! The pages, in reading order:
//!
//! 1. [`entries`]: what an archive says, header by header
//! 2. [`apply`](mod@apply): making it so, inside a root that nothing can leave
//!    (its parts: `place`, the directory in which each entry is made, `files`, `links`
//!    and `inode`)
//! 3. [`whiteout`]: what a layer takes away; [`stack`]: layers seen as one tree, in which
//!    `follow` finds its way
//! 4. [`store`]: images on disk, as the OCI says (`layout`: where, and under which lock;
//!    `ingest`: where content waits until it is whole; `unpack`, `ahead`: blobs become trees)
//! 5. [`import`](mod@import): from an archive or a directory to an image; [`save`]: and back
//! 6. [`collect`]: removing what nobody needs any more
//!
//! [`name`], [`user`], [`compression`], [`archive`] and [`space`] are tools for these.
//!
//! Of these the book's chapter teaches `digest`, `layout`, `apply`, `place`, `whiteout` and
//! `stack`; the others are for looking up.

#![forbid(unsafe_code)]

mod ahead;
pub mod apply;
pub mod archive;
pub mod build;
pub mod collect;
pub mod compression;
pub mod copy_up;
mod data;
pub mod digest;
pub mod entries;
mod entry;
mod files;
mod follow;
pub mod import;
mod ingest;
mod inode;
mod layout;
mod links;
mod load;
mod member;
pub mod name;
mod opaque;
mod place;
mod records;
pub mod registry;
pub mod save;
pub mod space;
mod sparse;
pub mod stack;
pub mod store;
mod tags;
pub mod time;
pub mod trees;
mod unpack;
pub mod user;
pub mod whiteout;

pub use apply::{Summary, apply};
pub use entry::Entry;
pub use import::{Imported, Recipe, Source};
pub use space::Limits;
pub use sparse::Piece;
pub use stack::Stack;
pub use store::{Image, Listed, Store};
pub use user::{Identity, identity};

/// What went wrong while bytes were moved. An [`Error`](ch01_clone::Error) of
/// ours that travelled through a foreign reader or writer comes out whole.
pub(crate) fn moving(what: &str, error: std::io::Error) -> ch01_clone::Error {
    match error.downcast::<ch01_clone::Error>() {
        Ok(ours) => ours,
        Err(error) => match error.raw_os_error() {
            Some(errno) => ch01_clone::Error::os(what, nix::errno::Errno::from_raw(errno)),
            None => ch01_clone::Error::new(format!("{what}: {error}")),
        },
    }
}
