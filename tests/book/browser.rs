//! The built book in a real browser: every page, light and dark, on a phone, and without
//! scripts.
//!
//! `DOCKSTER_SCREENSHOTS=DIR` keeps a picture of each page in each of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use dockster_tests::{Failed, Need, TempDir, Trial, source_dir, trial};
use press::tree::Tree;
use press::{make, serve};
use serde_json::Value;

use crate::bad;
use crate::chromium::Chromium;

pub fn trials() -> Vec<Trial> {
    let needs = [Need::Program("chromium"), Need::Speed];
    vec![trial("the_book_reads_well_in_a_browser", &needs, || in_a_browser(source_dir()))]
}

/// A book that is served.
struct Served {
    dir: TempDir,
    address: String,
}

impl Served {
    fn new(top: &Path) -> Result<Served, Failed> {
        let dir = TempDir::new();
        make::build(top, dir.path())?;
        let listener = serve::listen(0)?;
        let address = format!("http://{}", listener.local_addr()?);
        let path = dir.path().to_owned();
        // It ends with the tests.
        thread::spawn(move || {
            serve::answer_all(&listener, move |asked| serve::answer(&path, asked));
        });
        Ok(Served { dir, address })
    }
}

fn in_a_browser(top: &Path) -> Result<(), Failed> {
    let served = Served::new(top)?;
    let pages = pages(&Tree::load(top));
    let mut chromium = Chromium::start()?;
    let mut wrong = Vec::new();
    for round in &ROUNDS {
        for page in &pages {
            wrong.extend(look_at(&mut chromium, &served, page, round)?);
        }
    }
    wrong.extend(search(&mut chromium, &served)?);
    bad_pages_are_noticed(&mut chromium)?;
    chromium.end()?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// The pages that the summary lists and that are there, as addresses.
fn pages(tree: &Tree) -> Vec<String> {
    let targets = tree.summary.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let there = targets.filter(|target| tree.page(target).is_some());
    there.map(|target| target.replace(".md", ".html")).collect()
}

/// A way to look at a page.
struct Look {
    name: &'static str,
    width: u32,
    scheme: &'static str,
    /// True in the page once it looks so.
    ready: &'static str,
    /// Evaluated in the page: each is a list of what is wrong.
    checks: &'static [&'static str],
}

/// Each page is opened once in each round, and looked at in these ways.
struct Round {
    scripts: bool,
    looks: &'static [Look],
}

const ROUNDS: [Round; 2] = [
    Round {
        scripts: true,
        looks: &[
            // The phone first: the width that a page is opened at hides the sidebar.
            Look {
                name: "phone",
                width: 360,
                scheme: "light",
                ready: "document.documentElement.classList.contains('light')",
                checks: &[PHONE, FIGURES],
            },
            Look {
                name: "dark",
                width: 1280,
                scheme: "dark",
                ready: "document.documentElement.classList.contains('navy')",
                checks: &[DARK, FIGURES],
            },
        ],
    },
    Round {
        scripts: false,
        looks: &[Look {
            name: "plain",
            width: 1280,
            scheme: "light",
            ready: "true",
            checks: &[PLAIN],
        }],
    },
];

/// Opens a page and looks at it; what is wrong.
fn look_at(
    chromium: &mut Chromium,
    served: &Served,
    page: &str,
    round: &Round,
) -> Result<Vec<String>, Failed> {
    chromium.scripts(round.scripts)?;
    round.looks[0].put_on(chromium)?;
    let events = chromium.open(&format!("{}/{page}", served.address))?;
    let mut wrong: Vec<String> = events.iter().filter_map(trouble).collect();
    for look in round.looks {
        look.put_on(chromium)?;
        chromium.wait_for(look.ready)?;
        for check in look.checks {
            let found = chromium.evaluate(check)?;
            let found = found.as_array().ok_or(format!("{page}: no answer"))?;
            wrong.extend(found.iter().map(|what| format!("{}: {what}", look.name)));
        }
        look.keep(chromium, page)?;
    }
    let links = chromium.evaluate(LINKS)?;
    let links = links.as_array().into_iter().flatten().filter_map(Value::as_str);
    wrong.extend(dead(served, &links.collect()));
    wrong.extend(chromium.events.iter().filter_map(trouble));
    Ok(wrong.into_iter().map(|what| format!("{page}: {what}")).collect())
}

impl Look {
    fn put_on(&self, chromium: &mut Chromium) -> Result<(), Failed> {
        chromium.size(self.width, 740)?;
        chromium.colours(self.scheme)
    }

    /// Keeps a picture, if that is wanted.
    fn keep(&self, chromium: &mut Chromium, page: &str) -> Result<(), Failed> {
        let Some(dir) = std::env::var_os("DOCKSTER_SCREENSHOTS").map(PathBuf::from) else {
            return Ok(());
        };
        let picture = chromium.picture()?;
        fs::create_dir_all(&dir)?;
        let page = page.trim_end_matches(".html").replace('/', "-");
        Ok(fs::write(dir.join(format!("{page}-{}.png", self.name)), base64(&picture))?)
    }
}

/// What an event complains of: a message on the console, or a request that failed.
fn trouble(event: &Value) -> Option<String> {
    let about = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(about["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" => {
            let kind = about["type"].as_str()?;
            ["error", "warning", "assert"].contains(&kind).then(|| about["args"].to_string())
        }
        "Log.entryAdded" => {
            let entry = &about["entry"];
            ["error", "warning"].contains(&entry["level"].as_str()?).then(|| entry.to_string())
        }
        "Network.loadingFailed" => Some(about.to_string()),
        "Network.responseReceived" => {
            let response = &about["response"];
            (response["status"].as_u64()? >= 400)
                .then(|| format!("{}: {}", response["url"], response["status"]))
        }
        _ => None,
    }
}

/// The links that lead to no file of the book, or to no place in it.
fn dead(served: &Served, links: &BTreeSet<&str>) -> Vec<String> {
    let own = links.iter().filter_map(|link| link.strip_prefix(&served.address));
    own.filter(|link| {
        let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
        let path = serve::request_path(path).trim_start_matches('/');
        let text = fs::read_to_string(served.dir.join(path)).unwrap_or_default();
        let place = fragment.is_empty() || text.contains(&format!(" id=\"{fragment}\""));
        text.is_empty() || !place
    })
    .map(|link| format!("{link} leads nowhere"))
    .collect()
}

/// A word of a page is found, and the result leads to that page.
fn search(chromium: &mut Chromium, served: &Served) -> Result<Vec<String>, Failed> {
    chromium.scripts(true)?;
    chromium.size(1280, 740)?;
    let address = format!("{}/introduction.html?search=namespace", served.address);
    let events = chromium.open(&address)?;
    chromium.wait_for("document.querySelectorAll('#mdbook-searchresults li').length > 0")?;
    let events = events.iter().chain(&chromium.events);
    Ok(events.filter_map(trouble).map(|what| format!("search: {what}")).collect())
}

/// What is put into a page, in which round, and what has to be noticed.
const BAD: [(&str, usize, &str); 13] = [
    ("<script>console.error('oh')</script>", 0, "oh"),
    ("<script>console.warn('ah')</script>", 0, "ah"),
    ("<script>nowhere()</script>", 0, "nowhere is not defined"),
    ("<img src=\"gone.png\">", 0, "gone.png\": 404"),
    ("<a href=\"gone.html\">x</a>", 0, "/gone.html leads nowhere"),
    ("<a href=\"#nothing\">x</a>", 0, "first.html#nothing leads nowhere"),
    ("<p style=\"width: 400px\">wide</p>", 0, "wider than a screen of 360"),
    ("<style>html { background: #eee !important }</style>", 0, "not dark"),
    ("<div class=\"figure\"><svg><text fill=\"#223\">ink</text></svg></div>", 0, ": ink"),
    ("<div class=\"figure\"><svg><text fill=\"#ddd\">pen</text></svg></div>", 0, ": pen"),
    ("<style>main * { display: none }</style>", 1, "no text"),
    ("<style>iframe { transform: translateX(-900px) }</style>", 1, "out of sight"),
    ("<style>nav { display: none }</style>", 1, "no way to the next page"),
];

/// On pages made for it, each of these checks fails.
fn bad_pages_are_noticed(chromium: &mut Chromium) -> Result<(), Failed> {
    let tree = bad::book()?;
    // The real theme, and enough to read.
    for file in ["book/book.toml", "book/theme/course.css"] {
        fs::create_dir_all(tree.join("book/theme"))?;
        fs::copy(source_dir().join(file), tree.join(file))?;
    }
    let text = format!("# First\n\n{{{{#page front}}}}\n\n{}\n", "It stands here. ".repeat(9));
    fs::write(tree.join("book/src/first.md"), text)?;
    let served = Served::new(tree.path())?;
    let page = served.dir.join("first.html");
    let good = fs::read_to_string(&page)?;
    for round in &ROUNDS {
        assert_eq!(look_at(chromium, &served, "first.html", round)?, Vec::<String>::new());
    }
    for (bad, round, says) in BAD {
        fs::write(&page, good.replace("</main>", &format!("{bad}</main>")))?;
        let wrong = look_at(chromium, &served, "first.html", &ROUNDS[round])?;
        assert!(wrong.iter().any(|line| line.contains(says)), "{bad}: {wrong:?}");
    }
    Ok(())
}

/// The links of a page, as the browser understands them.
const LINKS: &str = "[...document.querySelectorAll('a[href]')].map(a => a.href)";

/// On a phone nothing reaches out of the page.
const PHONE: &str = "(() => {
    const wrong = [];
    // mdBook's content scrolls in itself; and a phone shows a page that is too wide smaller.
    const frames = [...document.querySelectorAll('html, #mdbook-page-wrapper, #mdbook-content')];
    const over = frames.find(f => f.scrollWidth > Math.min(f.clientWidth, screen.width));
    if (over) {
        const wide = [...document.querySelectorAll('main *')]
            .filter(e => e.getBoundingClientRect().right > screen.width)
            .filter(e => e.closest('pre, .table-wrapper, .drawing') === null)
            .map(e => e.outerHTML.slice(0, 80));
        const size = `${over.scrollWidth} in ${over.clientWidth}`;
        wrong.push(`wider than a screen of ${screen.width}: ${size}: ${over.id}: ${wide[0]}`);
    }
    if (document.querySelector('main h1') === null) wrong.push('no title');
    return wrong;
})()";

/// In the dark the page is dark.
const DARK: &str = "(() => {
    const ground = getComputedStyle(document.documentElement).backgroundColor;
    const [r, g, b] = ground.match(/[0-9.]+/g).map(Number);
    return r + g + b > 200 ? [`not dark: ${ground}`] : [];
})()";

/// The text of figures can be read: its contrast with the page.
const FIGURES: &str = "(() => {
    const wrong = [];
    const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const over = (below, colour, alpha) => {
        paint.globalAlpha = 1;
        paint.fillStyle = below;
        paint.fillRect(0, 0, 1, 1);
        paint.globalAlpha = alpha;
        paint.fillStyle = colour;
        paint.fillRect(0, 0, 1, 1);
        return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = rgb => {
        const [r, g, b] = rgb.map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = getComputedStyle(document.documentElement).backgroundColor;
    const behind = light(over('#fff', ground, 1));
    for (const text of document.querySelectorAll('.figure svg text')) {
        const style = getComputedStyle(text);
        const alpha = style.fillOpacity * style.opacity;
        const front = light(over(ground, style.fill, alpha));
        const [high, low] = front > behind ? [front, behind] : [behind, front];
        const contrast = (high + 0.05) / (low + 0.05);
        if (contrast < 4.5) {
            wrong.push(`contrast ${contrast.toFixed(1)}: ${text.textContent.slice(0, 40)}`);
        }
    }
    return wrong;
})()";

/// Without scripts there are text, and a table of contents.
const PLAIN: &str = "(() => {
    const wrong = [];
    if (document.querySelector('main').innerText.length < 40) wrong.push('no text');
    const frame = document.querySelector('iframe.sidebar-iframe-outer');
    if (frame === null) return [...wrong, 'no table of contents'];
    const box = frame.getBoundingClientRect();
    if (box.width < 100 || box.right <= 0) wrong.push('the table of contents is out of sight');
    const links = [...frame.contentDocument?.querySelectorAll('a[href]') ?? []];
    if (links.length === 0) wrong.push('it has no links');
    if (links.some(a => a.offsetParent === null)) wrong.push('some of its links are hidden');
    const ways = [...document.querySelectorAll('.nav-wrapper a, .nav-wide-wrapper a')];
    if (!ways.some(a => a.offsetParent !== null || a.getBoundingClientRect().width > 0)) {
        wrong.push('no way to the next page');
    }
    return wrong;
})()";

/// The bytes that a base64 text stands for.
fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    let mut bytes = Vec::new();
    for four in digits.chunks(4) {
        let word = four.iter().fold(0u32, |word, digit| word << 6 | u32::from(*digit));
        let word = word << (6 * (4 - four.len()));
        bytes.extend(&word.to_be_bytes()[1..four.len()]);
    }
    bytes
}
