//! The book over HTTP, on this machine only: GET, a thread and a connection for each.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::tree::{files, plain};

/// Who asks for more than this, or takes longer, is not a browser.
const LONGEST_REQUEST: u64 = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// What a request gets.
#[derive(Debug)]
pub struct Answer {
    /// 200 or 404.
    pub status: u16,
    /// The media type.
    pub kind: &'static str,
    /// The file.
    pub body: Vec<u8>,
}

/// Serves a book and makes it again when a source is newer. Does not return.
pub fn serve(top: &Path, dir: &Path, port: u16) -> Result<()> {
    let listener = listen(port)?;
    println!("http://{}", listener.local_addr()?);
    let (top, dir) = (top.to_owned(), dir.to_owned());
    let made = Mutex::new(None);
    answer_all(&listener, move |path| {
        if path.ends_with('/') || path.ends_with(".html") {
            let mut made = made.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let newest = newest(&top);
            if *made != Some(newest) {
                *made = Some(newest);
                remake(&top, &dir);
            }
        }
        answer(&dir, path)
    });
    Ok(())
}

/// Makes the book anew; what is wrong is said here, and shown on the pages.
fn remake(top: &Path, dir: &Path) {
    match crate::make::build(top, dir) {
        Ok(wrong) => wrong.iter().for_each(|line| eprintln!("{line}")),
        Err(error) => eprintln!("{error:#}"),
    }
}

/// Listens on the loopback; port 0 is any free one.
pub fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("listening on port {port}; --port takes another one"))
}

/// Answers until the listener fails.
pub fn answer_all(
    listener: &TcpListener,
    handler: impl Fn(&str) -> Answer + Send + Sync + 'static,
) {
    let handler = Arc::new(handler);
    for connection in listener.incoming() {
        let Ok(connection) = connection else { return };
        let handler = handler.clone();
        // A reader who went away is no failure.
        thread::spawn(move || converse(connection, &*handler));
    }
}

/// One request and its answer.
fn converse(mut connection: TcpStream, handler: &dyn Fn(&str) -> Answer) -> std::io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new((&mut connection).take(LONGEST_REQUEST)).lines();
    let Some(request) = lines.next().transpose()? else { return Ok(()) };
    // All of the request is read, or closing would cut off the answer.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let answer = match request.split(' ').collect::<Vec<_>>()[..] {
        ["GET", url, _] => handler(request_path(url)),
        _ => missing(),
    };
    let name = if answer.status == 200 { "OK" } else { "Not Found" };
    // The names of styles, scripts and fonts change with their contents.
    let keep = if answer.kind.starts_with("text/html") { "no-cache" } else { "max-age=3600" };
    write!(
        connection,
        "HTTP/1.1 {} {name}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
         Cache-Control: {keep}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.kind,
        answer.body.len(),
    )?;
    connection.write_all(&answer.body)
}

/// The path of an address, without what follows `?` or `#`.
pub fn request_path(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or("/")
}

/// The file that a path names, or a 404.
pub fn answer(dir: &Path, path: &str) -> Answer {
    let path = path.trim_start_matches('/');
    let path = match path.ends_with('/') || path.is_empty() {
        true => format!("{path}index.html"),
        false => path.to_owned(),
    };
    let file = plain(Path::new(&path)).map(|path| dir.join(path));
    match file.and_then(|file| Some((fs::read(&file).ok()?, file))) {
        Some((body, file)) => Answer { status: 200, kind: kind(&file), body },
        None => missing(),
    }
}

fn missing() -> Answer {
    let body = b"There is no such page.\n".to_vec();
    Answer { status: 404, kind: "text/plain; charset=utf-8", body }
}

fn kind(file: &Path) -> &'static str {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

/// When a source of the book was last changed.
fn newest(top: &Path) -> Option<SystemTime> {
    let time = |file: PathBuf| fs::metadata(file).and_then(|meta| meta.modified()).ok();
    let folders = ["book/src", "book/theme", "chapters", "final/src"].map(|dir| top.join(dir));
    let all = folders.iter().flat_map(|dir| files(dir, ""));
    all.chain([top.join("book/book.toml")]).filter_map(time).max()
}
