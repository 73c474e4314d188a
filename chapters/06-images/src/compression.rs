//! Catalogue: not needed to understand the chapter.
//!
//! How an archive is packed: seen from its first bytes, never from its name.

use std::io::{self, BufReader, Cursor, Read};

use ch01_clone::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use oci_spec::image::MediaType;
use tar::Header;

use crate::{entries, moving};

/// The ways an OCI layer may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar archive.
    None,
    /// gzip(1).
    Gzip,
    /// zstd(1).
    Zstd,
}

/// A reader that was looked into: all of its bytes are still to come.
pub type Peeked<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// Looks at the beginning of an archive.
pub fn detect<R: Read>(mut reader: R) -> Result<(Compression, Peeked<R>)> {
    let mut start = Vec::with_capacity(512);
    let read = reader.by_ref().take(512).read_to_end(&mut start);
    read.map_err(|error| moving("reading the archive", error))?;
    let kind = match start[..] {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        // What zstd's readers skip: some programs put a table there.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ if is_tar(&start) => Compression::None,
        _ => return Err(refuse(&start)),
    };
    Ok((kind, Cursor::new(start).chain(reader)))
}

fn is_tar(start: &[u8]) -> bool {
    // An archive of nothing consists of zeros.
    start.len() == 512
        && (start.iter().all(|&byte| byte == 0)
            || entries::is_header(Header::from_byte_slice(start)))
}

fn refuse(start: &[u8]) -> Error {
    let what = match start {
        [] => "nothing came: the archive is empty",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "the archive is packed by xz",
        [b'B', b'Z', b'h', ..] => "the archive is packed by bzip2",
        _ => "neither a tar archive, nor one packed by gzip or zstd",
    };
    Error::new(what).hint("give a directory, a .tar, a .tar.gz or a .tar.zst")
}

impl Compression {
    /// What unpacks it.
    pub fn reader<'a>(self, packed: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
        let packed = BufReader::with_capacity(128 << 10, packed);
        Ok(match self {
            Compression::None => Box::new(packed),
            Compression::Gzip => Box::new(MultiGzDecoder::new(packed)),
            // zstd refuses by itself what would need more than 128 MiB, as its own program does.
            // (Most layers ask for 8 MiB at most; docker's and containerd's reader takes 512.)
            Compression::Zstd => Box::new(
                zstd::stream::read::Decoder::with_buffer(packed)
                    .map_err(|error| moving("zstd", error))?,
            ),
        })
    }

    /// What such a layer is called.
    pub fn media_type(self) -> MediaType {
        match self {
            Compression::None => MediaType::ImageLayer,
            Compression::Gzip => MediaType::ImageLayerGzip,
            Compression::Zstd => MediaType::ImageLayerZstd,
        }
    }
}
