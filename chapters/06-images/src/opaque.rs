//! Catalogue: not needed to understand the chapter.
//!
//! A directory of which nothing of the layers below shows.

use std::path::Path;

use ch01_clone::Result;
use ch02_chroot::root;
use nix::errno::Errno;

use crate::apply::Applier;
use crate::whiteout;

impl Applier<'_> {
    /// Makes it so. overlayfs merges the *roots* of all layers, whatever their attributes
    /// say: there each name is taken away by itself as well.
    pub(crate) fn opaque(&mut self, path: &Path) -> Result<()> {
        self.enter(path)?;
        let (here, top) = (root::stat(self.place())?, root::stat(self.root)?);
        if (here.st_dev, here.st_ino) == (top.st_dev, top.st_ino) {
            for name in self.stack.names(Path::new(""))? {
                match self.whiteout(Path::new(""), &name) {
                    // An overlay holds no whiteouts, and is none of another's layers.
                    Err(error) if error.errno == Some(Errno::EPERM) => {}
                    done => done?,
                }
            }
            self.enter(path)?;
        }
        whiteout::make_opaque(self.place(), self.in_user_namespace)
    }
}
