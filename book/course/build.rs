//! Finds the exercises' checkers, which lie beside the exercises, and makes a table of
//! them: see src/checks.rs.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let chapters = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../chapters");
    let chapters = chapters.canonicalize().expect("the chapters' folder");
    watch(&chapters);
    let (mut modules, mut table) = (String::new(), String::new());
    for chapter in folders(&chapters) {
        watch(&chapter);
        for exercise in folders(&chapter.join("exercises")) {
            let check = exercise.join("check.rs");
            if !check.exists() {
                continue;
            }
            let id = (number(&chapter), number(&exercise));
            let module = format!("check_{}_{}", id.0, id.1);
            writeln!(modules, "#[path = {check:?}]\nmod {module};").unwrap();
            writeln!(table, "    (\"{}.{}\", {module}::check),", id.0, id.1).unwrap();
        }
        watch(&chapter.join("exercises"));
    }
    let text = format!("{modules}\nconst CHECKS: &[(&str, crate::judge::Check)] = &[\n{table}];\n");
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("checks.rs"), text).unwrap();
}

/// A folder that is not there yet would make cargo run this each time.
fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// "2" of "2-orphans".
fn number(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('-').next().unwrap_or_default().to_owned()
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}
