//! Boxes: quotes that begin with `> [!kind]`.

/// The kinds, and what stands above the box.
const KINDS: [(&str, &str); 10] = [
    ("predict", "Predict"),
    ("by-hand", "By hand"),
    ("undo", "Undo"),
    ("break-it", "Break it"),
    ("when-it-fails", "When it fails"),
    ("rust", "The Rust in it"),
    ("recall", "Recall"),
    ("checkpoint", "Checkpoint"),
    ("answer", "Answer"),
    ("question", "Question"),
];

/// A quote as it is shown. What begins with no kind stays a quote.
pub fn render(lines: &[&str]) -> Result<String, String> {
    let first = lines[0].trim_start_matches('>').trim();
    let Some(kind) = first.strip_prefix("[!") else {
        return Ok(lines.join("\n"));
    };
    let (kind, same_line) = kind.split_once(']').ok_or("a kind ends with ]")?;
    let (_, title) = KINDS
        .iter()
        .find(|(known, _)| *known == kind)
        .ok_or_else(|| format!("no kind of quote {kind:?}: {}", KINDS.map(|(k, _)| k).join(" ")))?;
    let mut text = format!("{}\n", same_line.trim());
    for line in &lines[1..] {
        let line = line.strip_prefix('>').unwrap_or(line);
        let line = line.strip_prefix(' ').unwrap_or(line);
        if line.starts_with("```") || line.starts_with("{{#") {
            return Err("transcripts and directives stand outside of quotes".to_owned());
        }
        text += line;
        text.push('\n');
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("nothing stands in [!{kind}]"));
    }
    Ok(match kind {
        "answer" => folded("answer", title, text),
        _ => format!(
            "<div class=\"box {kind}\">\n<p class=\"box-title\">{title}</p>\n\n{text}\n\n</div>"
        ),
    })
}

/// Text that is shown only on demand; without JavaScript, too.
pub fn folded(class: &str, title: &str, text: &str) -> String {
    format!("<details class=\"box {class}\">\n<summary>{title}</summary>\n\n{text}\n\n</details>")
}
