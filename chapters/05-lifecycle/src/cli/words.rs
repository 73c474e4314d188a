//! Catalogue: not needed to understand the chapter.
//!
//! How an error is worded here. Podman, containerd and dockerd look into the
//! sentences of a runtime for words that runc writes: of errors they know
//! nothing else. runc's words for an errno are those of Go, in lower case.

use ch01_clone::Error;
use nix::errno::Errno;

/// One line for whoever called us.
pub(super) fn sentence(error: &Error) -> String {
    let mut line = match error.step.as_str() {
        "execve" => program(error),
        step => {
            let step = if step.is_empty() { String::new() } else { format!("{step}: ") };
            match error.errno {
                Some(errno) => format!("{step}{}: {}", error.call, of(errno)),
                None => format!("{step}{}", error.call),
            }
        }
    };
    if let Some(hint) = &error.hint {
        line.push_str(&format!(" ({hint})"));
    }
    line.replace('\n', " ")
}

/// The program was not found, or cannot be executed. Docker and Podman make the
/// exit statuses 127 and 126 of these words, if the program's name is near.
fn program(error: &Error) -> String {
    let name = error.call.split("\": ").next().unwrap_or_default().trim_end_matches('"');
    let why = match error.errno {
        _ if error.call.contains("executable file not found") => {
            "executable file not found in $PATH".to_owned()
        }
        Some(errno) => of(errno),
        None => return format!("unable to start container process: {}", error.call),
    };
    match name.strip_prefix('"') {
        Some(name) => format!("unable to start container process: exec: \"{name}\": {why}"),
        None => format!("unable to start container process: {}: {why}", error.call),
    }
}

/// Go's words for an errno.
pub(super) fn of(errno: Errno) -> String {
    match errno {
        Errno::EIO => "input/output error".to_owned(),
        _ => {
            let words = errno.desc();
            let first = words.chars().next().map(|letter| letter.to_ascii_lowercase());
            first.into_iter().chain(words.chars().skip(1)).collect()
        }
    }
}
