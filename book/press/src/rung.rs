//! Rungs: the first small programs of a chapter, each of which fails visibly.

use crate::html::escape;

/// The most lines of a rung.
const LONGEST: usize = 25;

/// The file of a chapter's rung.
pub fn file(folder: &str, number: &str) -> String {
    format!("{folder}/examples/rung-{number}.rs")
}

/// As it stands on a page: what it is, the program, how to run it.
pub fn render(text: &str, name: &str, address: &str) -> Result<String, String> {
    let lines = text.lines().count();
    if lines > LONGEST {
        return Err(format!("rung {name} has {lines} lines, more than {LONGEST}"));
    }
    let head = text.lines().take_while(|line| line.starts_with("//!"));
    let head: Vec<&str> = head.map(|line| line.trim_start_matches("//!").trim()).collect();
    let title = head.first().copied().unwrap_or("");
    let (_, title) = title.split_once(": ").ok_or(format!("rung {name} begins `//! Rung N: …`"))?;
    if !head.iter().any(|line| line.starts_with("Shows: ")) {
        return Err(format!("rung {name} has no `//! Shows: …`"));
    }
    let code: Vec<&str> = text.lines().skip(head.len()).collect();
    let typed = head.iter().filter_map(|line| line.strip_prefix("Types: "));
    let typed: Vec<String> = typed.map(|line| format!("<code>{}</code>", escape(line))).collect();
    let typed = match typed.len() {
        0 => String::new(),
        _ => format!(", and type {}", typed.join(", ")),
    };
    Ok(format!(
        "<div class=\"excerpt rung\">\n<p class=\"caption\">Rung {name}: {} \
         <a href=\"{address}\">source</a></p>\n\n```rust,ignore\n{}\n```\n\n\
         <p class=\"run\">Run it: <code>cargo x rung {name}</code>{typed}</p>\n\n</div>",
        escape(title),
        code.join("\n").trim_matches('\n'),
    ))
}
