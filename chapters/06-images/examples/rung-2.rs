//! Rung 2: a second archive over a first one can add and replace, and cannot take away.
//! Shows: the second tree has: app
//! Shows: over the first: app, password
use std::path::Path;
use std::process::Command;
use std::{env, fs, io, process};

fn names(tree: &Path) -> io::Result<String> {
    let names = fs::read_dir(tree)?.map(|entry| Ok(entry?.file_name().into_string().unwrap()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names.join(", "))
}

fn main() -> io::Result<()> {
    let top = env::temp_dir().join(format!("rung-{}", process::id()));
    fs::create_dir_all(&top)?;
    let steps = "mkdir first second both; touch first/app first/password second/app
        for t in first second; do tar -C $t -cf $t.tar . && tar -C both -xf $t.tar; done";
    Command::new("sh").args(["-ec", steps]).current_dir(&top).status()?;
    println!("the second tree has: {}", names(&top.join("second"))?);
    println!("over the first: {}", names(&top.join("both"))?);
    fs::remove_dir_all(top)
}
