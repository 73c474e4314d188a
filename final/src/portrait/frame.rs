//! How a portrait looks: the container is a box, the host is what is around it.
//!
//! The box has eyes, which open when it has a root of its own. What it shares
//! with the host has no wall between the two sides.

use super::{Group, Row};

/// Widths of the columns. With walls and the space beside them it is 78.
const LABEL: usize = 13;
const INSIDE: usize = 26;
const HOST: usize = 29;

/// One fact a line.
pub(super) fn plain(rows: &[Row], changed: impl Fn(&Row) -> bool) -> String {
    let line = |row: &Row| {
        let kind = match (row.group, row.name) {
            (Group::Namespaces, _) => " namespace",
            (Group::Limits, "cgroup") => "",
            (Group::Limits, _) => " limit",
            _ => "",
        };
        let change = if changed(row) { " (changed)" } else { "" };
        // Where commas part the items of a list, something else has to part the sides.
        let and = if row.inside.contains(',') || row.host.contains(',') { ';' } else { ',' };
        format!("{}{kind}: {} inside{and} {} on the host{change}\n", row.name, row.inside, row.host)
    };
    rows.iter().map(line).collect()
}

/// The colours that are used, all of them readable on dark and on light.
struct Ink {
    quiet: &'static str,
    wall: &'static str,
    strong: &'static str,
    off: &'static str,
}

const COLORS: Ink = Ink { quiet: "\x1b[2m", wall: "\x1b[36m", strong: "\x1b[1m", off: "\x1b[0m" };
const NO_COLORS: Ink = Ink { quiet: "", wall: "", strong: "", off: "" };

/// In boxes; `compared`: with rows of an earlier time.
pub(super) fn boxed(
    rows: &[Row],
    changed: impl Fn(&Row) -> bool,
    compared: bool,
    awake: bool,
    color: bool,
) -> String {
    let ink = if color { &COLORS } else { &NO_COLORS };
    let mut text = ink.border("╭", " the host ", "╮");
    text += &ink.rim(awake);
    text += &ink.line(" ", ["", "inside", "as the host sees it"], "┃", ink.strong);
    let mut group = Group::Process;
    for row in rows {
        if row.group != group {
            group = row.group;
            text += &ink.line(" ", [title(group), "", ""], "┃", "");
        }
        let name =
            if group == Group::Process { row.name.to_owned() } else { format!("  {}", row.name) };
        text += &ink.row(row, &name, changed(row));
    }
    text += &ink.floor();
    text += &ink.border("╰", if compared { " * changed since the last pause " } else { "" }, "╯");
    text
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Process => "",
        Group::Namespaces => "namespaces",
        Group::Limits => "limits",
        Group::Network => "network",
    }
}

impl Ink {
    fn border(&self, left: &str, title: &str, right: &str) -> String {
        let rest = "─".repeat(75 - title.chars().count());
        format!("{}{left}─{title}{rest}{right}{}\n", self.quiet, self.off)
    }

    /// The box's upper edge, with whoever lives in it.
    fn rim(&self, awake: bool) -> String {
        let Ink { quiet, wall, strong, off } = self;
        let eye = if awake { "(o)" } else { "(-)" };
        let side = " ".repeat(LABEL + 4);
        let eyes = format!("{:10}{eye}{:2}{eye}{:10}", "", "", "");
        let edge = "━━━━━━━━━━━┷━━━━┷━━━━━━━━━━━";
        let frame = format!("{quiet}│{off}");
        let right = " ".repeat(HOST + 2);
        format!(
            "{frame}{side}{wall}{strong}{eyes}{off}{right}{frame}\n\
             {frame}{}{wall}┏{edge}┓{off}{}{frame}\n",
            " ".repeat(LABEL + 3),
            " ".repeat(HOST + 1),
        )
    }

    fn floor(&self) -> String {
        let Ink { quiet, wall, off, .. } = self;
        let (left, right) = (" ".repeat(LABEL + 3), " ".repeat(HOST + 1));
        let edge = "━".repeat(INSIDE + 2);
        format!("{quiet}│{off}{left}{wall}┗{edge}┛{off}{right}{quiet}│{off}\n")
    }

    /// A row takes as many lines as its longer side needs.
    fn row(&self, row: &Row, name: &str, changed: bool) -> String {
        let inside = wrap(&shorten(&row.inside), INSIDE);
        let host = wrap(&shorten(&row.host), HOST - 1);
        let part = |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_default();
        let mut text = String::new();
        for at in 0..inside.len().max(host.len()) {
            let mark = if changed && at == 0 { "*" } else { " " };
            let name = if at == 0 { name } else { "" };
            let wall = if row.shared { "═" } else { "┃" };
            let look = if changed { self.strong } else { "" };
            text += &self.line(mark, [name, &part(&inside, at), &part(&host, at)], wall, look);
        }
        text
    }

    fn line(&self, mark: &str, [name, inside, host]: [&str; 3], right: &str, look: &str) -> String {
        let Ink { quiet, wall, strong, off } = self;
        format!(
            "{quiet}│{off} {strong}{mark}{off} {name:LABEL$}{wall}┃{off} \
             {look}{inside:INSIDE$}{off} {wall}{right}{off} {look}{host:HOST$}{off}{quiet}│{off}\n"
        )
    }
}

/// Ids of 64 digits are for machines: people know a container by the first 12.
fn shorten(text: &str) -> String {
    let mut words: Vec<_> = text.split('/').map(str::to_owned).collect();
    for word in &mut words {
        if word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            word.replace_range(12.., "…");
        }
    }
    words.join("/")
}

/// Lines of at most `width`: broken at spaces, after slashes, or where it must be.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > width {
        let space = rest[..=width].iter().rposition(|&c| c == ' ').filter(|&at| at > 0);
        let slash = rest[..width].iter().rposition(|&c| c == '/').map(|at| at + 1);
        let at = space.or(slash.filter(|&at| at > 1)).unwrap_or(width);
        lines.push(rest[..at].iter().collect::<String>());
        rest.drain(..if rest[at] == ' ' { at + 1 } else { at });
    }
    lines.push(rest.into_iter().collect());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let long =
            "/home/ada/.local/share/dockster/containers/0123456789abcdef0123456789abcdef/merged";
        let path = Row::new(Group::Process, "/", ["/".to_owned(), long.to_owned()]);
        let cells = ["4026531834 (shared)", "4026531834"].map(str::to_owned);
        let time = Row { shared: true, ..Row::new(Group::Namespaces, "time", cells) };
        let odd = ["\x1b[31mred\n".to_owned(), "x".repeat(200)];
        vec![path, time, Row::new(Group::Network, "links", odd)]
    }

    #[test]
    fn every_line_is_as_wide_as_the_box() {
        for compared in [false, true] {
            let text = boxed(&rows(), |row| row.name == "/", compared, !compared, false);
            let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
            assert!(widths.iter().all(|&width| width == 78), "{text}\n{widths:?}");
            assert!(!text.contains('\x1b'));
        }
    }

    #[test]
    fn says_the_same_without_colours() {
        let colored = boxed(&rows(), |_| true, true, true, true);
        let mut bare = colored.clone();
        for code in [COLORS.quiet, COLORS.wall, COLORS.strong, COLORS.off] {
            bare = bare.replace(code, "");
        }
        assert_eq!(bare, boxed(&rows(), |_| true, true, true, false));
        assert!(bare.contains("* /") && bare.contains("*   time"), "{bare}");
    }

    #[test]
    fn plain_is_one_fact_a_line() {
        let text = plain(&rows(), |row| row.name == "time");
        assert!(text.contains(
            "time namespace: 4026531834 (shared) inside, 4026531834 on the host (changed)\n"
        ));
        assert_eq!(text.lines().count(), 3);
        assert!(text.is_ascii());
    }

    #[test]
    fn shortens_ids() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(shorten(&format!("/c/{id}/merged")), "/c/0123456789ab…/merged");
        assert_eq!(shorten("/c/0123456789abcdef"), "/c/0123456789abcdef");
    }

    #[test]
    fn wraps_at_spaces_and_slashes() {
        assert_eq!(wrap("ab cd ef", 5), ["ab cd", "ef"]);
        assert_eq!(wrap("/usr/lib/x", 8), ["/usr/", "lib/x"]);
        assert_eq!(wrap("abcdefg", 3), ["abc", "def", "g"]);
        assert_eq!(wrap("", 3), [""]);
    }
}
