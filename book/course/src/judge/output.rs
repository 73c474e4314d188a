//! What a program says: kept for the learner, bounded, never judged.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

/// As much as anybody reads.
const BOUND: usize = 16 * 1024;

/// A pipe that never fills up, and the beginning of what came through it.
pub struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    /// Both standard streams of a program go into one, so that their order is kept.
    pub fn new() -> std::io::Result<(Output, Stdio, Stdio)> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        let kept = Arc::new(Mutex::new(Vec::new()));
        let output = Output(kept.clone());
        thread::spawn(move || keep(read, &kept));
        Ok((output, write.try_clone()?.into(), write.into()))
    }

    /// What has been said so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }

    /// `todo!()` panics with these words.
    pub fn says_todo(&self) -> bool {
        self.text().contains("not yet implemented")
    }
}

/// Reads to the end, which comes when the last process of the program is gone.
fn keep(pipe: OwnedFd, kept: &Mutex<Vec<u8>>) {
    let (mut pipe, mut buffer) = (File::from(pipe), [0; 4096]);
    loop {
        let length = match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let mut kept = lock(kept);
        let room = BOUND.saturating_sub(kept.len()).min(length);
        kept.extend(&buffer[..room]);
    }
}

fn lock(kept: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
