//! Figures: what is wrong with each of some bad ones.

use dockster_tests::{Failed, Trial, trial};
use press::figure::Figure;

const GOOD: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 200\" role=\"img\">\n\
    <title>A gate</title>\n\
    <desc>The parent stands at the left. The child waits at the right until it is told.</desc>\n\
    <style>.f-ink { fill: currentColor; stroke: none; font: 14px sans-serif }</style>\n\
    \n\
    <text class=\"f-ink\" x=\"1\" y=\"1\">parent</text>\n</svg>\n";

/// What is replaced by what, and the complaint.
const BAD: [(&str, &str, &str); 9] = [
    ("<title>A gate</title>", "", "no <title>"),
    ("The parent stands at the left.", "", "fewer than 60"),
    ("viewBox=\"0 0 720 200\"", "", "no viewBox"),
    ("role=\"img\"", "", "no role"),
    ("role=\"img\"", "role=\"img\" width=\"900\"", "wider than 720"),
    ("fill: currentColor", "fill: #224466", "fill \"#224466\""),
    ("x=\"1\"", "stroke=\"black\"", "stroke \"black\""),
    (".f-ink {", ".ink {", "class \"ink\""),
    ("14px", "11px", "text of 11"),
];

pub fn trials() -> Vec<Trial> {
    let good = trial("a_good_figure_is_good", &[], good_one);
    let bad = BAD.into_iter().enumerate().map(|(number, (old, new, says))| {
        let name = format!("bad_figure_{}_is_noticed", number + 1);
        trial(&name, &[], move || noticed(old, new, says))
    });
    std::iter::once(good).chain(bad).collect()
}

fn good_one() -> Result<(), Failed> {
    let figure = Figure::read(GOOD).map_err(|wrong| wrong.join("\n"))?;
    let shown = figure.render("a");
    assert!(!shown.contains("\n\n"), "a blank line ends it in Markdown: {shown}");
    assert!(shown.contains("<figcaption>A gate</figcaption>"), "{shown}");
    Ok(())
}

fn noticed(old: &str, new: &str, says: &str) -> Result<(), Failed> {
    assert!(GOOD.contains(old));
    let wrong = Figure::read(&GOOD.replace(old, new)).err().unwrap_or_default();
    assert!(wrong.iter().any(|line| line.contains(says)), "{wrong:?}");
    Ok(())
}
