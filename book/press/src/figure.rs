//! Figures: SVG files with a title, the same in words, and no colours of their own.

use crate::html::escape;

/// What a figure's file says.
#[derive(Debug)]
pub struct Figure {
    /// The caption.
    pub title: String,
    /// The same in words.
    pub words: String,
    /// The drawing, without blank lines, which would end it in Markdown.
    drawing: String,
}

/// The fewest characters that can say what a drawing says.
const WORDS: usize = 60;
/// What a drawing is measured at, and the smallest text at that width.
const WIDTH: f64 = 720.0;
const SMALLEST: f64 = 13.0;

impl Figure {
    /// Reads a figure; all that is wrong with it.
    pub fn read(svg: &str) -> Result<Figure, Vec<String>> {
        let title = element(svg, "title").unwrap_or_default();
        let words = element(svg, "desc").unwrap_or_default();
        let mut wrong = Vec::new();
        if title.is_empty() {
            wrong.push("no <title>".to_owned());
        }
        if words.chars().count() < WORDS {
            wrong.push(format!("its <desc> has fewer than {WORDS} characters"));
        }
        wrong.extend(frame(svg));
        wrong.extend(colours(svg));
        wrong.extend(classes(svg));
        wrong.extend(small_text(svg));
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let start = svg.find("<svg").unwrap_or(0);
        let lines = svg[start..].lines().filter(|line| !line.trim().is_empty());
        let drawing = lines.collect::<Vec<_>>().join("\n");
        Ok(Figure { title, words, drawing })
    }

    /// As it stands on a page.
    pub fn render(&self, id: &str) -> String {
        let Figure { title, words, drawing } = self;
        format!(
            "<figure class=\"figure\" id=\"figure-{id}\">\n<div class=\"drawing\">\n{drawing}\n\
             </div>\n<figcaption>{title}</figcaption>\n<details><summary>The same in \
             words</summary>\n<p>{words}</p>\n</details>\n</figure>",
        )
    }
}

/// The text of the first element with this name, on one line.
fn element(svg: &str, name: &str) -> Option<String> {
    let (_, rest) = svg.split_once(&format!("<{name}"))?;
    let (text, _) = rest.split_once('>')?.1.split_once(&format!("</{name}>"))?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The tag `<svg …>` itself.
fn root(svg: &str) -> &str {
    svg.find("<svg").and_then(|at| svg[at..].split('>').next()).unwrap_or("")
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

fn frame(svg: &str) -> Vec<String> {
    let root = root(svg).replace('\n', " ");
    let mut wrong = Vec::new();
    if attribute(&root, "viewBox").is_none() {
        wrong.push("no viewBox".to_owned());
    }
    if attribute(&root, "role") != Some("img") {
        wrong.push("no role=\"img\"".to_owned());
    }
    let width = attribute(&root, "width").and_then(|w| w.trim_end_matches("px").parse().ok());
    if width.is_some_and(|width: f64| width > WIDTH) {
        wrong.push(format!("it is wider than {WIDTH}"));
    }
    wrong
}

/// The values of a property, be it an attribute or in a style.
fn values<'a>(svg: &'a str, property: &str) -> Vec<&'a str> {
    let mut all = Vec::new();
    for (at, _) in svg.match_indices(property) {
        let before = svg[..at].chars().next_back().unwrap_or(' ');
        if before.is_alphanumeric() || before == '-' {
            continue;
        }
        let rest = svg[at + property.len()..].trim_start();
        if let Some(value) = rest.strip_prefix("=\"") {
            all.extend(value.split('"').next());
        } else if let Some(value) = rest.strip_prefix(':') {
            all.extend(value.split([';', '}', '"']).next().map(str::trim));
        }
    }
    all
}

/// Every colour follows the page's, or the figure is lost in light or in dark.
fn colours(svg: &str) -> Vec<String> {
    let soft = |value: &str| {
        ["none", "transparent", "inherit"].contains(&value)
            || ["currentColor", "currentcolor", "var(", "url(", "context-"]
                .iter()
                .any(|word| value.contains(word))
    };
    let properties = ["fill", "stroke", "color", "stop-color", "background"];
    let all = properties
        .into_iter()
        .flat_map(|property| values(svg, property).into_iter().map(move |value| (property, value)));
    all.filter(|(_, value)| !soft(value))
        .map(|(property, value)| format!("{property} {value:?} is the same in light and dark"))
        .collect()
}

/// Its classes begin with `f-`: they count on the whole page.
fn classes(svg: &str) -> Vec<String> {
    let Some(style) = element(svg, "style") else { return Vec::new() };
    let selectors = style.split('}').filter_map(|rule| rule.split('{').next());
    let names = selectors.flat_map(|selector| selector.split('.').skip(1));
    let own = names.filter(|name| !name.starts_with("f-"));
    own.map(|name| format!("its class {:?} does not begin with f-", name.trim())).collect()
}

/// Text that could not be read at the width of a page.
fn small_text(svg: &str) -> Option<String> {
    let root = root(svg).replace('\n', " ");
    let width = attribute(&root, "viewBox")?.split_whitespace().nth(2)?.parse::<f64>().ok()?;
    let scale = (WIDTH / width).min(1.0);
    let sizes = values(svg, "font-size").into_iter().chain(shorthand(svg));
    let sizes = sizes.filter_map(|size| size.trim_end_matches("px").parse::<f64>().ok());
    let small = sizes.into_iter().find(|size| size * scale < SMALLEST)?;
    Some(format!("text of {small} is under {SMALLEST} at a width of {WIDTH}"))
}

/// The size in `font: 600 14px sans-serif`.
fn shorthand(svg: &str) -> Vec<&str> {
    let fonts = values(svg, "font");
    let sizes =
        fonts.into_iter().filter_map(|font| font.split([' ', '/']).find(|w| w.ends_with("px")));
    sizes.collect()
}

/// Where a figure lies, from the top of the tree on.
pub fn file(name: &str) -> String {
    format!("book/src/figures/{name}.svg")
}

/// What stands where a figure should be.
pub fn missing(name: &str) -> String {
    format!("no figure {}", escape(&file(name)))
}
