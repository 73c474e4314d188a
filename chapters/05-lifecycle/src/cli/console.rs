//! Catalogue: not needed to understand the chapter.
//!
//! A console socket of our own, for who waits here: the terminal comes to us as
//! it would come to an engine.

use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use ch01_clone::{Context, Error, Result};
use nix::unistd::mkdtemp;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// The socket, in a directory that nobody else may enter.
pub(super) struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    /// Makes it.
    pub(super) fn new() -> Result<Self> {
        let template = std::env::temp_dir().join("dockster-console-XXXXXX");
        let dir = mkdtemp(&template).call(|| format!("mkdtemp({template:?})"))?;
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).call(|| format!("bind({path:?})"))?;
        Ok(Self { listener, path })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The master side of a terminal, which somebody has sent already.
    pub(super) fn receive(self) -> Result<OwnedFd> {
        let nothing = || Error::new("the console socket brought no terminal");
        // A child that failed has not sent one, and then nobody else will.
        self.listener.set_nonblocking(true).call(|| "ioctl(FIONBIO)")?;
        let (stream, _) = self.listener.accept().map_err(|_| nothing())?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 256];
        let mut parts = [IoSliceMut::new(&mut name)];
        recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
            .map_err(std::io::Error::from)
            .call(|| "recvmsg(console socket)")?;
        let mut rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        rights.next().and_then(|mut fds| fds.next()).ok_or_else(nothing)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // What cannot be removed here lies in the directory for such things.
        let _ = fs::remove_file(&self.path);
        let _ = self.path.parent().map(fs::remove_dir);
    }
}
