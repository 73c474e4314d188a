//! The finished book: every link in it leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::tree::{files, plain, read, shown};

/// The addresses in a page: what stands in `href` and `src`.
fn addresses(html: &str) -> Vec<String> {
    let starts = ["href=\"", "src=\""];
    let all = starts.iter().flat_map(|start| html.split(start).skip(1));
    let all = all.filter_map(|rest| rest.split('"').next());
    all.map(|address| address.replace("&amp;", "&")).collect()
}

/// The ids in a page.
fn ids(html: &str) -> BTreeSet<String> {
    let all = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    all.map(str::to_owned).collect()
}

/// What an address means, seen from a page: a file of the book, and a fragment.
fn target<'a>(page: &str, address: &'a str) -> Option<(String, &'a str)> {
    let (path, fragment) = address.split_once('#').unwrap_or((address, ""));
    let path = path.split('?').next().unwrap_or(path);
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let file = match path {
        "" => page.to_owned(),
        path => plain(&folder.join(path))?.display().to_string(),
    };
    Some((file, fragment))
}

/// What leads nowhere in the book that was made in `dir`, a line each.
pub fn links(dir: &Path) -> Vec<String> {
    let pages = files(dir, ".html").into_iter().map(|file| (shown(dir, &file), read(&file)));
    // The page for what is not there is served at any address.
    let pages: BTreeMap<_, _> = pages.filter(|(page, _)| page != "404.html").collect();
    let ids: BTreeMap<_, _> = pages.iter().map(|(page, html)| (page, ids(html))).collect();
    let mut wrong = BTreeSet::new();
    for (page, html) in &pages {
        for address in addresses(html) {
            if ["http:", "https:", "data:", "mailto:"].iter().any(|s| address.starts_with(s)) {
                continue;
            }
            let Some((file, fragment)) = target(page, &address) else {
                wrong.insert(format!("{page}:1: {address} leads out of the book"));
                continue;
            };
            if !dir.join(&file).is_file() {
                wrong.insert(format!("{page}:1: {address} leads nowhere"));
            } else if !fragment.is_empty() && !ids.get(&file).is_some_and(|i| i.contains(fragment))
            {
                wrong.insert(format!("{page}:1: {address} is no place there"));
            }
        }
    }
    wrong.into_iter().collect()
}
