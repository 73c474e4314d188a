//! Catalogue: not needed to understand the chapter.
//!
//! From a registry to the store, and back (OCI distribution-spec).
//!
//! ```text
//! GET  /v2/                          is there one, and who may come in?
//! GET  TOKEN-SERVER?scope=...        a token for one repository
//! GET  /v2/REPOSITORY/manifests/TAG  an index or a manifest: what belongs to the image
//! GET  /v2/REPOSITORY/blobs/DIGEST   its configuration and its layers
//! ```
//!
//! Nothing is believed that a registry says. A tag is the only question whose answer
//! cannot be checked; all else is asked for by digest and measured while it comes.
//!
//! The files, in reading order: [`config`] (where a registry is), `client` (asking,
//! following, asking again; `address` and `refusal` help it), `authorize` (getting in, with
//! a `challenge` and [`credentials`]), `manifest` and [`platform`] (what belongs to the
//! image), `download` (one blob), [`pull`](mod@pull) (all of it: `layers`, `arrive`,
//! `leftovers`), [`push`](mod@push) (and `upload`, one blob).

mod address;
mod arrive;
mod authorize;
mod challenge;
mod client;
pub mod config;
pub mod credentials;
mod download;
mod layers;
mod leftovers;
mod manifest;
mod patience;
pub mod platform;
pub mod pull;
pub mod push;
mod refusal;
mod upload;

pub use config::Registries;
pub use credentials::{Credential, Keychain};
pub use platform::Platform;
pub use pull::{Pull, Pulled};
pub use push::{Push, Pushed};

use ch01_clone::Result;

/// What happens to a blob, for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It will be fetched or sent.
    Waiting,
    /// So many of its bytes are here, or there.
    Moved(u64),
    /// It was there already.
    Exists,
    /// The registry had it, in another of its repositories.
    Mounted,
    /// All of it is here and is what it should be; or is there.
    Done,
}

/// Who is told what happens: a blob's digest in hexadecimal, its size, its state.
pub type Progress<'a> = &'a (dyn Fn(&str, u64, State) + Sync);

/// Asks a registry whether it knows somebody; what `login` does before it writes anything.
///
/// # Errors
/// It does not, or is not there.
pub fn verify(domain: &str, registries: &Registries, credential: Credential) -> Result<()> {
    let endpoint = registries.own(domain);
    client::Client::connect(&endpoint, registries, None, Some(credential)).map(drop)
}
