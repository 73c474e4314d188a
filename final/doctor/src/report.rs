//! How findings are printed.

use std::io::IsTerminal;

use ch01_clone::narrate::fill;

use crate::{Finding, Verdict};

/// `warn  name servers: only 127.0.0.53; cure: ...`
pub fn line(name: &str, finding: &Finding) -> String {
    let Finding { verdict, found, cure } = finding;
    let cure = if cure.text.is_empty() { String::new() } else { format!("; cure: {}", cure.text) };
    format!("{:<4}  {name}: {found}{cure}", word(*verdict))
}

/// The same, in lines that fit into a terminal; a cure has lines of its own, to be copied.
pub fn lines(name: &str, finding: &Finding, color: bool) -> String {
    let code = match finding.verdict {
        _ if !color => "",
        Verdict::Ok => "\x1b[32m",
        Verdict::Warn => "\x1b[33m",
        Verdict::Fail => "\x1b[1;31m",
    };
    let off = if color { "\x1b[0m" } else { "" };
    let mut text = String::new();
    let whole = format!("{name}: {}", finding.found);
    for (at, line) in fill(&whole, 72).into_iter().enumerate() {
        let head = if at == 0 { word(finding.verdict) } else { "" };
        text += &format!("{code}{head:<4}{off}  {line}\n");
    }
    if !finding.cure.text.is_empty() {
        for (at, line) in fill(&finding.cure.text, 66).into_iter().enumerate() {
            text += &format!("      {:<6}{line}\n", if at == 0 { "cure:" } else { "" });
        }
    }
    text
}

/// Whether colours are wanted on standard output.
pub fn colored() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_in_one_line_or_in_narrow_ones() {
        let finding =
            Finding::warn("something that takes many words to say ".repeat(4).trim(), "sudo true");
        let plain = line("thing", &finding);
        assert!(plain.starts_with("warn  thing: something"), "{plain}");
        assert!(plain.ends_with("; cure: sudo true"), "{plain}");
        let narrow = lines("thing", &finding, false);
        assert!(narrow.lines().count() > 2);
        assert!(narrow.lines().all(|line| line.chars().count() <= 78), "{narrow}");
        assert!(narrow.ends_with("      cure: sudo true\n"), "{narrow}");
        assert_eq!(lines("thing", &Finding::ok("fine"), false), "ok    thing: fine\n");
    }
}
