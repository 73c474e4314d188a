//! What something is, said by its content: sha256 of every byte, in hexadecimal.

use std::io::{self, Read, Write};
use std::str::FromStr;

use ch01_clone::{Error, Result};
use oci_spec::image::{Digest, DigestAlgorithm};
use sha2::{Digest as _, Sha256};

/// Passes bytes on in either direction, and knows their digest and number.
#[derive(Debug)]
pub struct Hashed<T> {
    inner: T,
    hash: Sha256,
    size: u64,
}

impl<T> Hashed<T> {
    /// Counts from here on.
    pub fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// What passed: the inner reader or writer, the digest, the number of bytes.
    pub fn finish(self) -> (T, Digest, u64) {
        (self.inner, finish(self.hash), self.size)
    }
}

impl<R: Read> Read for Hashed<R> {
    // ANCHOR: read
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.hash.update(&buffer[..got]);
        self.size += got as u64;
        Ok(got)
    }
    // ANCHOR_END: read
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The digest of some bytes.
pub fn of(bytes: &[u8]) -> Digest {
    finish(Sha256::new().chain_update(bytes))
}

/// The digest of all that went into `hash`.
pub(crate) fn finish(hash: Sha256) -> Digest {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Digest::from_str(&format!("sha256:{hex}")).expect("64 hexadecimal digits")
}

// ANCHOR: parse
/// A digest from an image's configuration; it becomes a file name, so it has to be one.
pub fn parse(text: &str) -> Result<Digest> {
    let digest = Digest::from_str(text).ok();
    let digest = digest.filter(|digest| *digest.algorithm() == DigestAlgorithm::Sha256);
    digest.ok_or_else(|| Error::new(format!("{text:?} is not a sha256 digest")))
}
// ANCHOR_END: parse
