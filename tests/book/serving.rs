//! The book as it is made: by `press build`, by mdBook's own program, and over HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dockster_tests::{Failed, TempDir, Trial, source_dir, trial};
use press::{check, make, serve};
use serde_json::{Value, json};

use crate::bad::{self, GOOD};

const PRESS: &str = env!("CARGO_BIN_EXE_press");

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_good_book_is_made_whole", &[], a_good_book_is_made_whole),
        trial("a_bad_book_is_made_and_shows_what_is_wrong", &[], a_bad_book_shows_what_is_wrong),
        trial("sources_are_only_read", &[], sources_are_only_read),
        trial("a_dead_link_in_the_built_book_is_noticed", &[], dead_links),
        trial("the_real_book_has_no_dead_link", &[], the_real_book_has_no_dead_link),
        trial("a_served_book_follows_its_sources", &[], a_served_book_follows_its_sources),
        trial("mdbook_gets_the_same_pages", &[], mdbook_gets_the_same_pages),
        trial("mdbook_runs_it_as_a_command", &[], mdbook_runs_it_as_a_command),
        trial("mdbook_gets_no_bad_pages", &[], mdbook_gets_no_bad_pages),
        trial("the_server_stays_in_its_folder", &[], the_server_stays_in_its_folder),
        trial("press_says_what_is_wrong_where", &[], press_says_what_is_wrong_where),
    ]
}

fn a_good_book_is_made_whole() -> Result<(), Failed> {
    let (tree, made) = (bad::book()?, TempDir::new());
    assert_eq!(make::build(tree.path(), made.path())?, Vec::<String>::new());
    let page = fs::read_to_string(made.join("01-clone/pid.html"))?;
    for part in [
        "Core · 20 minutes",
        "step!(",
        "../source/chapters/01-clone/src/page.rs.html#L4",
        "cargo x rung 01.1",
        "cargo x without 01.gate",
        "cargo x check 01.2",
        "The same in words",
        "yours will differ: pids",
        "<b>hi &lt;there&gt;</b>",
        "https://man7.org/linux/man-pages/man2/clone.2.html",
        // Blocks are not touched.
        "**no term** {{#nothing}} nope(2)",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    for mark in ["ANCHOR", "HOLE", "{{#rung"] {
        assert!(!page.contains(mark), "{mark} is shown");
    }
    let page = fs::read_to_string(made.join("01-clone/index.html"))?;
    assert_eq!(page.matches("glossary.html#namespace").count(), 1, "only the first is a link");
    assert!(page.contains("needs cgroup v2") && page.contains("<summary>Answer</summary>"));
    let listing = fs::read_to_string(made.join("source/chapters/01-clone/src/page.rs.html"))?;
    assert!(listing.contains("id=\"L4\""));
    Ok(())
}

fn a_bad_book_shows_what_is_wrong() -> Result<(), Failed> {
    let (tree, made) = (bad::book()?, TempDir::new());
    // What the summary lists and is not there is no reason to make nothing.
    fs::remove_file(tree.join("book/src/first.md"))?;
    fs::write(tree.join("book/src/01-clone/pid.md"), "# Core\n\n{{#page core 20}}\n\nclown(2)\n")?;
    let wrong = make::build(tree.path(), made.path())?;
    assert!(wrong.iter().any(|line| line.contains("pid.md:5: no man page")), "{wrong:?}");
    let page = fs::read_to_string(made.join("01-clone/pid.html"))?;
    assert!(page.contains("5: no man page clown(2)"), "{page}");
    assert!(!tree.join("book/src/first.md").exists());
    Ok(())
}

/// All files below a folder, with their contents.
fn contents(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = press::tree::files(dir, "").into_iter();
    files.map(|file| (file.clone(), fs::read(file).unwrap_or_default())).collect()
}

fn sources_are_only_read() -> Result<(), Failed> {
    let (tree, made) = (bad::book()?, TempDir::new());
    let before = contents(tree.path());
    make::build(tree.path(), made.path())?;
    make::build(tree.path(), made.path())?;
    assert!(before == contents(tree.path()));
    Ok(())
}

fn dead_links() -> Result<(), Failed> {
    let dir = TempDir::new();
    let page = "<a href=\"b.html\"><a href=\"c.html#x\"><img src=\"d.png\"><a href=\"../up.html\">\
                <h1 id=\"y\"></h1><a href=\"#y\"><a href=\"https://a.b/\"><a href=\"c.html?q#z\">";
    fs::write(dir.join("a.html"), page)?;
    fs::write(dir.join("c.html"), "<p id=\"z\">")?;
    assert_eq!(
        check::built::links(dir.path()),
        [
            "a.html:1: ../up.html leads out of the book",
            "a.html:1: b.html leads nowhere",
            "a.html:1: c.html#x is no place there",
            "a.html:1: d.png leads nowhere",
        ]
    );
    Ok(())
}

fn the_real_book_has_no_dead_link() -> Result<(), Failed> {
    let made = TempDir::new();
    make::build(source_dir(), made.path())?;
    let wrong = check::built::links(made.path());
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// A program that is killed when the test ends.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn request(address: &str, line: &str) -> Result<String, Failed> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "{line} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

fn a_served_book_follows_its_sources() -> Result<(), Failed> {
    let tree = bad::book()?;
    let child = Command::new(PRESS)
        .args(["serve", "--port", "0"])
        .current_dir(tree.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut serving = Serving(child);
    let mut line = String::new();
    BufReader::new(serving.0.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    let address = line.trim().strip_prefix("http://").ok_or(line.clone())?.to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{address}");

    let page = request(&address, "GET /first.html?a=b")?;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("First"), "{page}");
    assert!(request(&address, "GET /gone.html")?.starts_with("HTTP/1.1 404 "));
    assert!(request(&address, "POST /first.html")?.starts_with("HTTP/1.1 404 "));
    fs::write(tree.join("book/src/first.md"), "# Second\n\n{{#page front}}\n")?;
    let page = request(&address, "GET /first.html")?;
    assert!(page.contains("Second"), "{page}");
    Ok(())
}

/// What mdBook's own program sends to a preprocessor.
fn question(tree: &Path) -> Value {
    let chapter = |path: &str, text: &str| {
        json!({ "Chapter": {
            "name": "N", "content": text, "number": null, "sub_items": [], "path": path,
            "source_path": path, "parent_names": [],
        }})
    };
    let pages =
        GOOD.iter().filter_map(|(file, text)| Some((file.strip_prefix("book/src/")?, text)));
    let pages = pages.filter(|(file, _)| file.ends_with(".md") && *file != "SUMMARY.md");
    let pages: Vec<Value> = pages.map(|(path, text)| chapter(path, text)).collect();
    let context = json!({
        "root": tree.join("book"), "config": {}, "renderer": "html", "mdbook_version": "0.5.4",
    });
    json!([context, { "items": pages }])
}

fn preprocess(tree: &Path) -> Result<std::process::Output, Failed> {
    let mut press = Command::new(PRESS)
        .arg("preprocess")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    press.stdin.take().ok_or("no stdin")?.write_all(question(tree).to_string().as_bytes())?;
    Ok(press.wait_with_output()?)
}

fn mdbook_gets_the_same_pages() -> Result<(), Failed> {
    assert!(Command::new(PRESS).args(["preprocess", "supports", "html"]).status()?.success());
    let tree = bad::book()?;
    let done = preprocess(tree.path())?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let book: Value = serde_json::from_slice(&done.stdout)?;
    let course = press::expand::Course::load(tree.path());
    let chapters = book["items"].as_array().ok_or("no items")?;
    assert_eq!(chapters.len(), course.pages.len());
    for chapter in chapters {
        let path = chapter["Chapter"]["path"].as_str().ok_or("no path")?;
        assert_eq!(chapter["Chapter"]["content"], json!(course.pages[path].text), "{path}");
    }
    Ok(())
}

fn mdbook_runs_it_as_a_command() -> Result<(), Failed> {
    let (tree, made) = (bad::book()?, TempDir::new());
    let config = tree.join("book/book.toml");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, text.replace("\"false\"", &format!("\"{PRESS} preprocess\"")))?;
    let mut book = mdbook_driver::MDBook::load(tree.join("book"))?;
    book.config.build.build_dir = made.path().to_owned();
    book.build()?;
    let page = fs::read_to_string(made.join("01-clone/pid.html"))?;
    assert!(page.contains("Core · 20 minutes"), "{page}");
    Ok(())
}

fn mdbook_gets_no_bad_pages() -> Result<(), Failed> {
    let tree = bad::book()?;
    fs::write(tree.join("book/src/first.md"), "# First\n\n{{#page front}}\n\n```rust\n```\n")?;
    let done = preprocess(tree.path())?;
    assert!(!done.status.success() && done.stdout.is_empty());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("first.md:5: Rust typed by hand"), "{said}");
    Ok(())
}

fn the_server_stays_in_its_folder() -> Result<(), Failed> {
    let dir = TempDir::new();
    fs::create_dir_all(dir.join("book/sub"))?;
    fs::write(dir.join("secret.html"), "no")?;
    fs::write(dir.join("book/sub/index.html"), "yes")?;
    let status = |path: &str| serve::answer(&dir.join("book"), path).status;
    assert_eq!(status("/sub/"), 200);
    for path in ["/../secret.html", "/sub/../../secret.html", "//etc/passwd", "/sub", "/gone"] {
        assert_eq!(status(path), 404, "{path}");
    }
    Ok(())
}

fn press_says_what_is_wrong_where() -> Result<(), Failed> {
    let tree = bad::book()?;
    let check =
        || Command::new(PRESS).args(["check", "--numbers"]).current_dir(tree.path()).output();
    let done = check()?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("01-clone"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 78), "{said}");
    fs::write(tree.join("book/src/first.md"), "# First\n\n{{#page front}}\n\n```rust\n```\n")?;
    let done = check()?;
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(said, "book/src/first.md:5: Rust typed by hand: use {{#excerpt}}\n");
    Ok(())
}
