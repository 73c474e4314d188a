//! A listener to which a runtime sends descriptors.

use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use dockster_tests::Failed;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A socket at a path, which is gone with it.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    pub fn at(path: PathBuf) -> Result<Self, Failed> {
        Ok(Self { socket: UnixListener::bind(&path)?, path })
    }

    pub fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// What is sent by whoever has connected: the bytes, and the descriptors beside them.
    pub fn receive(&self) -> Result<(String, Vec<OwnedFd>), Failed> {
        let (stream, _) = self.socket.accept()?;
        let mut bytes = [0; 16384];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let length = recvmsg(&stream, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
        let fds = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let fds = fds.flatten().collect();
        Ok((String::from_utf8_lossy(&bytes[..length]).into_owned(), fds))
    }

    /// The one descriptor, and the name that came with it.
    pub fn one(&self) -> Result<(String, OwnedFd), Failed> {
        let (name, fds) = self.receive()?;
        let fd = fds.into_iter().next().ok_or("no descriptor came")?;
        Ok((name, fd))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new(&self.path));
    }
}
