//! Rung 1: an archive is unpacked as it says, and it says first that `out` is a link.
//! Shows: tree/out/letter: written
//! Shows: outside of the tree: 1 letter
use std::os::unix::fs::symlink;
use std::{env, fs, io, process};

fn main() -> io::Result<()> {
    let archive = [("link", "out", "../outside"), ("file", "out/letter", "from a stranger")];
    let top = env::temp_dir().join(format!("rung-{}", process::id()));
    let (tree, outside) = (top.join("tree"), top.join("outside"));
    fs::create_dir_all(&tree)?;
    fs::create_dir_all(&outside)?;
    for (kind, name, data) in archive {
        match kind {
            "link" => symlink(data, tree.join(name))?,
            _ => fs::write(tree.join(name), data)?, // no .. in its name, and no / before it
        }
    }
    println!("tree/out/letter: written, {:?}", fs::read_to_string(tree.join("out/letter"))?);
    println!("outside of the tree: {} letter", fs::read_dir(outside)?.count());
    fs::remove_dir_all(top)
}
