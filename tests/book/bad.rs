//! Each checker on a small book made for it: silent on a good one, and not on any bad one.

use std::fs;
use std::path::Path;

use dockster_tests::{Failed, TempDir, Trial, trial};
use press::check::{self, CHECKERS};
use press::expand::Course;

/// A small book in which all is well.
pub const GOOD: [(&str, &str); 13] = [
    (
        "book/book.toml",
        "[book]\ntitle = \"T\"\nsrc = \"src\"\n[build]\nuse-default-preprocessors = false\n\
         [preprocessor.course]\ncommand = \"false\"\n",
    ),
    (
        "book/src/SUMMARY.md",
        "# Summary\n\n[First](first.md)\n\n- [One](01-clone/index.md)\n  - [Core](01-clone/pid.md)\n  \
         - [Steps](01-clone/steps.md)\n- [To come]()\n- [Words](glossary.md)\n",
    ),
    ("book/src/first.md", "# First\n\n{{#page front}}\n\n```sh\nls\n```\n"),
    (
        "book/src/glossary.md",
        "# Words\n\n{{#page front}}\n\nid map\n: Which id is which. See clone(2).\n\nnamespace, namespaces\n: A view.\n",
    ),
    (
        "book/src/01-clone/index.md",
        "# One\n\n{{#page opening 5 needs=\"cgroup v2\"}}\n\nAll **namespaces** and a **namespace**, \
         see `clone(2)` and [the core](pid.md#who-is-who).\n\n> [!recall]\n> Well?\n\n> [!answer]\n\
         > Because. **Why.**\n\n> Said somebody.\n",
    ),
    ("book/src/01-clone/pid.md", PID),
    (
        "book/src/01-clone/steps.md",
        "# Steps\n\n{{#page appendix}}\n\n## jump\n\nclone(2). **Why here.** **See it yourself.** \
         **What goes wrong.**\n",
    ),
    ("book/src/figures/01-gate.svg", FIGURE),
    ("chapters/01-clone/src/page.rs", SOURCE),
    ("chapters/01-clone/src/list.rs", "//! Catalogue: not needed.\npub fn never_named() {}\n"),
    (
        "chapters/01-clone/examples/rung-1.rs",
        "//! Rung 1: a jump\n//! Types: ps\n//! Shows: EPERM\n\nfn main() {}\n",
    ),
    (
        "chapters/01-clone/without/gate.patch",
        "What: the gate\nTest: clone waits\nRun: -- id\n\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
    ),
    (
        "chapters/01-clone/exercises/2-who/README.md",
        "# Who?\n\nlane: core\nminutes: 10\nneeds: user namespaces\npage: 01-clone/pid\n\nFind out, \
         with clone(2).\n",
    ),
];

const PID: &str = "# Core\n\n{{#page core 20}}\n\n## Who is `who`?\n\nRead [the source](../../../chapters/01-clone/src/page.rs). \
    It is `go`.\n\n{{#excerpt src/page.rs:go}}\n\n{{#rung 1}}\n\n{{#without gate}}\n\n\
    {{#exercise 01.2}}\n\n{{#figure 01-gate}}\n\n```console needs=user,program:strace differs=pids\n\
    $ echo \\\n> hi <there>\nhi\n\n^C\n2$ (sleep 1)\n(01-clone) # exit\n```\n\n```text\n**no term** {{#nothing}} nope(2)\n```\n\n\
    | a | b |\n|---|---|\n| [one](index.md) | [fig](#figure-01-gate) [exercise](#exercise-01-2) |\n";

const FIGURE: &str = "<svg viewBox=\"0 0 720 90\" role=\"img\"><title>A gate</title>\
    <desc>The parent stands at the left. The child waits at the right until it is told.</desc>\n\n\
    <text x=\"1\" y=\"20\" fill=\"currentColor\">parent</text></svg>\n";

const SOURCE: &str = "//! A page.\n\n// ANCHOR: go\n/// Goes.\npub fn go() {\n    // HOLE: 01.1\n    \
    step!(\n\"jump\", call())\n    // HOLE_END: 01.1\n}\n// ANCHOR_END: go\n// step!(\"not-one\")\n";

/// Content that means: the file is taken away.
const GONE: &str = "\0";

/// A file, what is replaced in it by what (all of it if that is empty), the checker that
/// has to notice, and a part of its complaint.
type Bad = (&'static str, &'static str, &'static str, &'static str, &'static str);

const BAD: [Bad; 63] = [
    // Heads of pages.
    (CORE, "# Core", "Core", ITSELF, "pid.md:1: a page begins"),
    (CORE, "{{#page core 20}}", "", ITSELF, "pid.md:3: the third line says the lane"),
    (CORE, "page core 20", "page middle 20", ITSELF, "pid.md:3: no lane \"middle\""),
    (CORE, "page core 20", "page core", ITSELF, "pid.md:3: a core page says its minutes"),
    (CORE, "page core 20", "page core long", ITSELF, "no minutes: \"long\""),
    (CORE, "page core 20", "page core 20 wants=x", ITSELF, "no attribute \"wants\""),
    // Directives.
    (CORE, "{{#rung 1}}", "{{#ladder 1}}", ITSELF, "pid.md:11: no directive \"ladder\""),
    (CORE, "{{#rung 1}}", "See {{#rung 1}}", ITSELF, "pid.md:11: a directive stands alone"),
    (CORE, "page.rs:go", "gone.rs:go", ITSELF, "pid.md:9: no file chapters/01-clone/src/gone.rs"),
    (
        CORE,
        "page.rs:go",
        "page.rs:gone",
        ITSELF,
        "pid.md:9: chapters/01-clone/src/page.rs: no ANCHOR: gone",
    ),
    (CORE, "page.rs:go", "page.rs", ITSELF, "pid.md:9: src/page.rs has no anchor"),
    (RS, "/// Goes.", LONG, ITSELF, "lines, more than 30"),
    (CORE, "rung 1", "rung 2", ITSELF, "no file chapters/01-clone/examples/rung-2.rs"),
    ("chapters/01-clone/examples/rung-1.rs", "fn main", LONG, ITSELF, "lines, more than 25"),
    (
        "chapters/01-clone/examples/rung-1.rs",
        "//! Shows: EPERM\n",
        "",
        ITSELF,
        "has no `//! Shows: ",
    ),
    (CORE, "without gate", "without wall", ITSELF, "no file chapters/01-clone/without/wall.patch"),
    ("chapters/01-clone/without/gate.patch", "What: the gate\n", "", ITSELF, "no `What: "),
    (
        "chapters/01-clone/without/gate.patch",
        "-a\n",
        MINUS,
        ITSELF,
        "changes 19 lines, more than 15",
    ),
    (CORE, "exercise 01.2", "exercise 01.3", ITSELF, "no exercise 01.3"),
    (EXERCISE, "lane: core", "lane: easy", ITSELF, "README.md:3: no lane \"easy\""),
    (EXERCISE, "minutes: 10\n", "", ITSELF, "no `minutes:`"),
    (EXERCISE, "user namespaces", "luck", ITSELF, "README.md:5: no need \"luck\""),
    (EXERCISE, "01-clone/pid", "01-clone/away", ITSELF, "README.md:6: no page"),
    (EXERCISE, "clone(2)", "clown(2)", ITSELF, "README.md:8: no man page clown(2)"),
    (EXERCISE, "Find out", WORDS, ITSELF, "words, more than 200"),
    (CORE, "figure 01-gate", "figure 01-wall", ITSELF, "no figure book/src/figures/01-wall.svg"),
    (
        "book/src/figures/01-gate.svg",
        "<title>A gate</title>",
        "",
        ITSELF,
        "01-gate.svg: no <title>",
    ),
    // Blocks.
    (CORE, "```text", "```rust", ITSELF, "pid.md:29: Rust typed by hand"),
    (CORE, "```text", "```sh", ITSELF, "pid.md:29: a sh block is not run"),
    (CORE, "nope(2)\n```", "nope(2)", ITSELF, "pid.md:29: a block has no end"),
    (
        CORE,
        "| a | b |",
        "    fn indented() {}\n\n| a | b |",
        ITSELF,
        "pid.md:33: an indented block",
    ),
    (
        CORE,
        "| a | b |",
        "<pre>fn typed() {}</pre>\n\n| a | b |",
        ITSELF,
        "pid.md:33: a block typed as HTML",
    ),
    (
        CORE,
        "```text\n",
        "  ```console\n$ ls\n```\n\n```text\n",
        ITSELF,
        "a transcript begins at the start",
    ),
    // Transcripts.
    (CORE, "needs=user", "needs=luck", ITSELF, "pid.md:19: no needs=luck"),
    (CORE, "program:strace", "program:", ITSELF, "no needs=program:"),
    (CORE, "differs=pids", "differs=all", ITSELF, "no differs=all"),
    (CORE, "differs=pids", "difers=pids", ITSELF, "no attribute \"difers\""),
    (CORE, "differs=pids", "skip=\"\"", ITSELF, "skip= has no reason"),
    (CORE, "$ echo \\\n", "ls\n", ITSELF, "pid.md:20: a transcript begins with a prompt"),
    (CORE, "\nhi\n", WIDE, ITSELF, "pid.md:22: 79 columns, more than 78"),
    (CORE, "differs=pids", "skip=why", "nearly_all", "1 of 1 transcripts are skipped"),
    // Prose.
    (OPENING, "[!recall]", "[!remember]", ITSELF, "index.md:7: no kind of quote \"remember\""),
    (OPENING, "> Well?", "> ```console\n> $ ls\n> ```", ITSELF, "stand outside of quotes"),
    (
        OPENING,
        "**namespaces**",
        "**nameplaces**",
        ITSELF,
        "index.md:5: the glossary lacks \"nameplaces\"",
    ),
    (OPENING, "clone(2)", "clown(2)", ITSELF, "index.md:5: no man page clown(2)"),
    (OPENING, "pid.md#who-is-who", "gone.md", ITSELF, "index.md:5: gone.md leads nowhere"),
    (OPENING, "#who-is-who", "#who", ITSELF, "index.md:5: pid.md#who is no heading"),
    (CORE, "#figure-01-gate", "#figure-02", ITSELF, "#figure-02 is no heading there"),
    (
        "book/src/glossary.md",
        "id map\n",
        "nice map\n",
        ITSELF,
        "glossary.md:8: \"namespace\" stands",
    ),
    (
        "book/src/glossary.md",
        "id map\n",
        "id map, namespace\n",
        ITSELF,
        "\"namespace\" has two entries",
    ),
    // The whole book.
    (
        "book/src/extra.md",
        "",
        "# Extra\n\n{{#page front}}\n",
        "every_page_is_in",
        "extra.md:1: it is not",
    ),
    (
        "book/src/SUMMARY.md",
        "(first.md)",
        "(second.md)",
        "the_summary",
        "SUMMARY.md:3: second.md leads",
    ),
    (OPENING, "Well?", WORDS, "pages_are_short", "words, more than 1500"),
    (CORE, "page core 20", "page core 26", "pages_are_short", "pid.md:3: 26 minutes, more than 25"),
    (RS, "// ANCHOR_END: go\n", "", "anchors_are", "page.rs:3: ANCHOR: go has no end"),
    (RS, "// ANCHOR: go\n", "", "anchors_are", "page.rs:10: ANCHOR_END: go without a start"),
    (
        RS,
        "// ANCHOR: go\n",
        "// ANCHOR: go\n// ANCHOR: go\n",
        "anchors_are",
        "page.rs:4: ANCHOR: go stands here twice",
    ),
    (
        CORE,
        "{{#excerpt src/page.rs:go}}",
        "",
        "every_anchor",
        "page.rs:3: no page shows the anchor go",
    ),
    (
        RS,
        "/// Goes.",
        "pub const fn went() {}\n",
        "every_public",
        "page.rs:4: no page of 01-clone names `went`",
    ),
    (CORE, "{{#rung 1}}", "", "all_that_is", "rung-1.rs:1: no page shows it"),
    (
        STEPS,
        "## jump",
        "## jumps",
        "every_step",
        "page.rs:7: chapters/01-clone has no heading \"jump\"",
    ),
    (
        RS,
        "call()",
        "step!(\"z\"",
        "every_step",
        "page.rs:8: chapters/01-clone has no heading \"z\"",
    ),
    (STEPS, "**Why here.**", "", "every_section", "steps.md:5: jump lacks **Why here.**"),
];

const ITSELF: &str = "pages_are_right";
const CORE: &str = "book/src/01-clone/pid.md";
const OPENING: &str = "book/src/01-clone/index.md";
const STEPS: &str = "book/src/01-clone/steps.md";
const RS: &str = "chapters/01-clone/src/page.rs";
const EXERCISE: &str = "chapters/01-clone/exercises/2-who/README.md";
/// More lines than an excerpt may have.
const LONG: &str = "\0lines";
/// More words than a page may have.
const WORDS: &str = "\0words";
/// A line of 79 columns.
const WIDE: &str = "\0wide";
/// More changes than a patch may make.
const MINUS: &str = "\0minus";

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("a_good_book_is_good", &[], a_good_book),
        trial("all_that_was_made_is_wanted", &[], all_that_was_made_is_wanted),
        trial("a_whole_chapter_has_its_limits", &[], a_whole_chapter_has_its_limits),
        trial("words_are_prose", &[], words_are_prose),
    ];
    for (number, (file, old, new, checker, says)) in BAD.into_iter().enumerate() {
        let name = format!("bad_book_{:02}_is_noticed", number + 1);
        trials.push(trial(&name, &[], move || noticed((file, old, new, checker, says))));
    }
    trials
}

/// A small book on disk.
pub fn book() -> Result<TempDir, Failed> {
    let dir = TempDir::new();
    for (file, text) in GOOD {
        put(dir.path(), file, text)?;
    }
    Ok(dir)
}

fn put(dir: &Path, file: &str, text: &str) -> Result<(), Failed> {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().expect("it lies in the tree"))?;
    if text == GONE {
        fs::remove_file(path)?
    } else {
        fs::write(path, text)?
    }
    Ok(())
}

fn says(dir: &Path, checker: &str) -> Result<Vec<String>, Failed> {
    let found = CHECKERS.iter().find(|(name, _)| name.starts_with(checker));
    let (_, check) = found.ok_or("no such checker")?;
    Ok(check(&Course::load(dir)))
}

fn a_good_book() -> Result<(), Failed> {
    let dir = book()?;
    for (name, check) in CHECKERS {
        assert_eq!(check(&Course::load(dir.path())), Vec::<String>::new(), "{name}");
    }
    Ok(())
}

fn noticed((file, old, new, checker, part): Bad) -> Result<(), Failed> {
    let dir = book()?;
    let new = match new {
        LONG => &"let x = 1;\n".repeat(31),
        WORDS => &"word ".repeat(1501),
        WIDE => &format!("\n{}\n", "x".repeat(79)),
        MINUS => &"-a\n".repeat(18),
        new => new,
    };
    let text = GOOD.iter().find(|(name, _)| *name == file).map_or("", |(_, text)| text);
    assert!(text.contains(old), "{file} has no {old}");
    let text = if old.is_empty() { new.to_owned() } else { text.replacen(old, new, 1) };
    put(dir.path(), file, &text)?;
    let wrong = says(dir.path(), checker)?;
    assert!(wrong.iter().any(|line| line.contains(part)), "{checker} says {wrong:#?}");
    let place = |line: &String| line.split(':').nth(1).is_some_and(|n| n.parse::<u32>().is_ok());
    let chapter = |line: &String| line.contains(": ");
    assert!(wrong.iter().all(|line| place(line) && chapter(line)), "without a place: {wrong:#?}");
    Ok(())
}

/// Exercises, patches and figures that stand on no page.
fn all_that_was_made_is_wanted() -> Result<(), Failed> {
    let dir = book()?;
    put(dir.path(), "book/src/figures/more.svg", FIGURE)?;
    put(dir.path(), "chapters/01-clone/without/more.patch", "")?;
    put(dir.path(), "chapters/01-clone/exercises/3-more/README.md", "")?;
    let wrong = says(dir.path(), "all_that_is")?;
    assert_eq!(
        wrong,
        [
            "book/src/figures/more.svg:1: no page shows it",
            "chapters/01-clone/exercises/3-more/README.md:1: no page shows it",
            "chapters/01-clone/without/more.patch:1: no page shows it",
        ]
    );
    Ok(())
}

/// Long excerpts, too many lines, too many words: what only the sum shows.
fn a_whole_chapter_has_its_limits() -> Result<(), Failed> {
    let dir = book()?;
    let mut source = String::new();
    let mut page = "# More\n\n{{#page core 20}}\n".to_owned();
    for number in 0..14 {
        let lines = "let x = 1;\n".repeat(29);
        source += &format!("// ANCHOR: a{number}\n{lines}// ANCHOR_END: a{number}\n");
        page += &format!("\n{{{{#excerpt src/more.rs:a{number}}}}}\n");
    }
    put(dir.path(), "chapters/01-clone/src/more.rs", &source)?;
    put(dir.path(), "book/src/01-clone/more.md", &page)?;
    for number in 0..4 {
        let page = format!("# W\n\n{{{{#page core 20}}}}\n\n{}", "word ".repeat(1400));
        put(dir.path(), &format!("book/src/01-clone/words-{number}.md"), &page)?;
    }
    for (checker, part) in [
        ("excerpts_are", "01-clone:1: half of its excerpts have 29 lines or more"),
        ("few_taught", "01-clone:1: 413 lines of its taught files shown, more than 350"),
        ("the_core", "words of core, more than 5000"),
    ] {
        let wrong = says(dir.path(), checker)?;
        assert!(wrong.iter().any(|line| line.contains(part)), "{checker} says {wrong:?}");
    }
    let numbers = check::chapter_numbers(&Course::load(dir.path()), "01-clone");
    assert_eq!((numbers.excerpts, numbers.median, numbers.transcripts), (15, 29, 1));
    Ok(())
}

fn words_are_prose() -> Result<(), Failed> {
    let text = "# A title\n\n{{#page core 1}}\n\nOne *two* `three(2)`.\n\n```text\nno no\n```\n\n> [!undo]\n> four\n\n| five |\n|---|\n| six |\n";
    assert_eq!(press::prose::words(text), 2 + 3 + 1 + 2);
    Ok(())
}
