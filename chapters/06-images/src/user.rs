//! Catalogue: not needed to understand the chapter.
//!
//! Who a process is to be: `user`, `uid`, `user:group`, as an image's own
//! /etc/passwd and /etc/group know them.
//!
//! Never the host's, and never by getpwnam(3), which would load the host's
//! libraries as the container's root, or the other way about.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use ch01_clone::{Error, Result};

use crate::moving;
use crate::stack::Stack;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The other groups that it is in.
    pub groups: Vec<u32>,
    /// Its home, for `HOME`.
    pub home: String,
}

/// No such file is longer, and no line of one.
const LONGEST: u64 = 16 << 20;

/// Ids that the kernel takes and that are no "none".
const LAST_ID: u32 = i32::MAX as u32;

/// Looks up who `user` is; empty means root. A number that nobody has is taken as it is.
pub fn identity(image: &Stack, user: &str) -> Result<Identity> {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let mut found: Option<(String, Identity)> = None;
    let wanted = if user.is_empty() { "0" } else { user };
    each_line(image, "etc/passwd", |line| {
        let fields: Vec<&str> = line.split(':').collect();
        if let [name, _, uid, gid, _, home, ..] = fields[..]
            && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
            && found.is_none()
            && (name == wanted || wanted.parse() == Ok(uid))
        {
            let who = Identity { uid, gid, groups: Vec::new(), home: home.to_owned() };
            found = Some((name.to_owned(), who));
        }
    })?;
    let (name, mut who) = match (found, wanted.parse::<u32>()) {
        (Some(found), _) => found,
        (None, Ok(uid)) => {
            (String::new(), Identity { uid, gid: 0, groups: vec![], home: "/".into() })
        }
        (None, Err(_)) => {
            return Err(missing("user", user, "passwd"));
        }
    };
    if who.home.is_empty() {
        who.home = "/".to_owned();
    }
    groups(image, &name, group, &mut who)?;
    match [who.uid, who.gid].iter().all(|&id| id <= LAST_ID) {
        true => Ok(who),
        false => Err(Error::new(format!("uids and gids must be in range 0-{LAST_ID}"))),
    }
}

/// The group that was asked for, or else all those that list the user.
fn groups(image: &Stack, name: &str, group: &str, who: &mut Identity) -> Result<()> {
    let mut found = group.parse::<u32>().ok();
    let mut listed = Vec::new();
    each_line(image, "etc/group", |line| {
        let fields: Vec<&str> = line.split(':').collect();
        if let [this, _, gid, members, ..] = fields[..]
            && let Ok(gid) = gid.parse::<u32>()
        {
            if this == group && !group.is_empty() {
                found = Some(gid);
            }
            if !name.is_empty() && members.split(',').any(|member| member == name) {
                listed.push(gid);
            }
        }
    })?;
    match (group, found) {
        ("", _) => who.groups = listed,
        (_, Some(gid)) => who.gid = gid,
        (group, None) => return Err(missing("group", group, "group")),
    }
    Ok(())
}

fn missing(kind: &str, name: &str, file: &str) -> Error {
    Error::new(format!("unable to find {kind} {name}: no matching entries in {file} file"))
        .hint(format!("a number is taken as it is; names are those in the image's /etc/{file}"))
}

/// Reads a file of the image line by line, if there is one. It may be anything: a
/// link out of the tree (which cannot leave it), a FIFO, a device, a terabyte.
fn each_line(image: &Stack, path: &str, mut visit: impl FnMut(&str)) -> Result<()> {
    let Some(file) = image.file(Path::new(path))? else { return Ok(()) };
    let file = std::fs::File::from(file);
    let mut reader = BufReader::new(file.take(LONGEST));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(|e| moving("reading /etc", e))? > 0 {
        visit(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}
