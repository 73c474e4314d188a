//! Chapter 5's program: an OCI runtime; and `05-lifecycle run ROOTFS -- sh`, as the
//! programs of chapters 1 to 3.

mod program;

use std::ffi::OsString;
use std::process::ExitCode;

const NAME: &str = "05-lifecycle";

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match is_the_chapters(&words) {
        true => program::main(),
        false => ch05_lifecycle::cli::main(NAME, ch05_lifecycle::credentials::prepare),
    }
}

/// Whether these words are the chapter's own `run`, and not the one of an OCI runtime: a
/// `--` follows, or help is asked for, which tells of both.
fn is_the_chapters(words: &[OsString]) -> bool {
    let text = |word: &OsString| word.to_str().unwrap_or_default().to_owned();
    let words: Vec<_> = words.iter().map(text).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let rest = match &*words {
        ["run", rest @ ..] | ["--root", _, "run", rest @ ..] => rest,
        [root, "run", rest @ ..] if root.starts_with("--root=") => rest,
        _ => return false,
    };
    rest.contains(&"--") || rest.iter().any(|word| ["-h", "--help"].contains(word))
}
