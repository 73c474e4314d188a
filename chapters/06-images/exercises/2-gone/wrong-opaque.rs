//! 06.2: two layers, one over the other. The mark of a directory is taken for a file.

use std::fs::{create_dir_all, remove_file, write};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, mknod};

/// Says in overlayfs's words what the layer's names say in the archive's.
fn translate(layer: &Path) -> anyhow::Result<()> {
    for path in all(layer)? {
        let (dir, name) = (path.parent().unwrap(), path.file_name().unwrap().to_string_lossy());
        let Some(gone) = name.strip_prefix(".wh.") else { continue };
        remove_file(&path)?;
        mknod(&dir.join(gone), SFlag::S_IFCHR, Mode::empty(), 0)?;
    }
    Ok(())
}

/// Not yours to change.
fn main() -> anyhow::Result<()> {
    for file in ["below/etc/motd", "below/etc/passwd", "below/cache/old"] {
        make(file)?;
    }
    for file in ["above/etc/.wh.motd", "above/cache/.wh..wh..opq", "above/cache/new"] {
        make(file)?;
    }
    create_dir_all("tree")?;
    translate(Path::new("above"))?;
    // With userxattr it reads user.overlay.opaque, which needs no privileges.
    let options = Some("lowerdir=above:below,userxattr");
    mount(Some("overlay"), "tree", Some("overlay"), MsFlags::empty(), options)?;
    Ok(checkpoint::reached("stacked")?)
}

fn make(file: &str) -> anyhow::Result<()> {
    create_dir_all(Path::new(file).parent().unwrap())?;
    Ok(write(file, file)?)
}

/// All files below a directory.
fn all(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (mut files, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in dir.read_dir()? {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}
