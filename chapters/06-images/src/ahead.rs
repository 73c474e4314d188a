//! Catalogue: not needed to understand the chapter.
//!
//! Reading ahead: what one thread unpacks, another one hashes and writes.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;

use ch01_clone::{Error, Result};

/// What goes from one thread to the other at once.
const CHUNK: usize = 256 << 10;
/// As many chunks lie in between, and there are no more than two others: a bound of memory.
const BETWEEN: usize = 4;

/// Runs `user` with a reader whose bytes come from the one that `open` gives, which lives
/// on another thread. That thread has ended when this returns.
pub(crate) fn read<R: Read, T>(
    open: impl FnOnce() -> Result<R> + Send,
    user: impl FnOnce(&mut Ahead) -> Result<T>,
) -> Result<T> {
    let (full, filled) = sync_channel(BETWEEN);
    let (used, empty) = channel::<Vec<u8>>();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut from = match open() {
                Ok(from) => from,
                Err(error) => return drop(full.send(Err(io::Error::other(error)))),
            };
            loop {
                let chunk = fill(&mut from, empty.try_recv().unwrap_or_default());
                let last = !matches!(&chunk, Ok(chunk) if !chunk.is_empty());
                // Nobody wants it any more: `user` has had enough.
                if full.send(chunk).is_err() || last {
                    return;
                }
            }
        });
        // Dropped before the other is waited for, which then notices.
        let done = user(&mut Ahead { filled, used, chunk: Vec::new(), at: 0 });
        reader.join().map_err(|_| Error::new("the thread that reads ahead has panicked"))?;
        done
    })
}

/// As much as fits; nothing at the end.
fn fill(from: &mut impl Read, mut chunk: Vec<u8>) -> io::Result<Vec<u8>> {
    chunk.resize(CHUNK, 0);
    let mut got = 0;
    while got < CHUNK {
        match from.read(&mut chunk[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    chunk.truncate(got);
    Ok(chunk)
}

/// What was read ahead.
pub(crate) struct Ahead {
    filled: Receiver<io::Result<Vec<u8>>>,
    /// Chunks go back to be filled again.
    used: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            // Whoever filled it has ended, after the last chunk.
            let Ok(next) = self.filled.recv() else { return Ok(0) };
            let old = std::mem::replace(&mut self.chunk, next?);
            self.at = 0;
            let _ = self.used.send(old);
        }
        let rest = &self.chunk[self.at..];
        let got = rest.len().min(buffer.len());
        buffer[..got].copy_from_slice(&rest[..got]);
        self.at += got;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_comes_through() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
        let mut got = Vec::new();
        let read = read(|| Ok(&bytes[..]), |from| Ok(from.read_to_end(&mut got).is_ok()));
        assert!(read.is_ok_and(|whole| whole) && got == bytes);
    }

    #[test]
    fn who_has_enough_is_not_kept() {
        let first = read(
            || Ok(io::repeat(1)),
            |from| {
                let mut first = [0; 10];
                from.read_exact(&mut first).map_err(|error| crate::moving("read", error))?;
                Ok(first)
            },
        );
        assert!(first.is_ok_and(|first| first == [1; 10]));
    }

    #[test]
    fn errors_come_through_whole() {
        let failed = read(
            || Err::<io::Empty, _>(Error::new("not this")),
            |from| from.read(&mut [0]).map_err(|error| crate::moving("read", error)),
        );
        assert!(failed.is_err_and(|error| error.to_string().contains("not this")));
    }
}
