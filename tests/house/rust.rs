//! Rust, read as far as these checks need it.

use std::path::Path;

use crate::{crates, files, name, read, shown};

/// The text without comments and without what stands in strings.
pub fn code(text: &str) -> String {
    let mut code = String::new();
    let mut in_string = false;
    for line in text.lines() {
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' if in_string => drop(chars.next()),
                // Not the character '"'.
                '"' if in_string || !code.ends_with('\'') => in_string = !in_string,
                _ if in_string => {}
                '/' if chars.peek() == Some(&'/') => break,
                _ => code.push(c),
            }
        }
        code.push('\n');
    }
    code
}

/// `unsafe` only in files called sys.rs, and every crate says so to the compiler.
pub fn unsafe_in_sys(tree: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for dir in crates(tree) {
        for file in files(&dir.join("src"), ".rs") {
            let text = read(&file);
            let code = code(&text);
            let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            if name(&file) != "sys.rs" && words.any(|word| word == "unsafe") {
                wrong.push(format!("{} has unsafe code", shown(tree, &file)));
            }
        }
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| dir.join(root));
        if let Some(root) = roots.iter().find(|root| root.exists())
            && !["deny", "forbid"]
                .iter()
                .any(|lint| code(&read(root)).contains(&format!("#![{lint}(unsafe_code)]")))
        {
            wrong.push(format!("{} does not refuse unsafe code", shown(tree, root)));
        }
    }
    wrong
}
