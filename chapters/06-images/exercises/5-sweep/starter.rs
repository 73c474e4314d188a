//! 06.5: a store in small. Who removes does not know who comes.

use std::collections::BTreeSet;
use std::fs::{create_dir_all, read_dir, read_to_string, remove_file, rename, write};
use std::path::Path;

/// Removes the blobs that no image needs.
fn collect() -> anyhow::Result<()> {
    let needed = needed();
    for blob in read_dir("blobs")? {
        let blob = blob?;
        if !needed.contains(&*blob.file_name().to_string_lossy()) {
            remove_file(blob.path())?;
        }
    }
    Ok(())
}

/// Fetches an image of two blobs.
fn pull() -> anyhow::Result<()> {
    for blob in ["base", "program"] {
        if !Path::new("blobs").join(blob).exists() {
            write(Path::new("blobs").join(blob), blob)?;
        }
        checkpoint::reached("half")?;
    }
    add_to_index("app base program")
}

fn main() -> anyhow::Result<()> {
    create_dir_all("blobs")?;
    match std::env::args().nth(1).as_deref() {
        Some("collect") => collect(),
        _ => pull(),
    }
}

/// Not yours to change: the blobs that the images need.
fn needed() -> BTreeSet<String> {
    let index = read_to_string("index").unwrap_or_default();
    let words = index.lines().flat_map(|line| line.split(' ').skip(1));
    words.map(str::to_owned).collect()
}

/// Not yours to change: one more line, in one step.
fn add_to_index(line: &str) -> anyhow::Result<()> {
    let index = read_to_string("index").unwrap_or_default();
    write("index.new", format!("{index}{line}\n"))?;
    Ok(rename("index.new", "index")?)
}
