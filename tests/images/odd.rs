//! Archives as somebody might well write them, however odd: GNU tar makes the same tree.

use std::fs;

use dockster_tests::{Failed, Need, Trial, host, trial};
use tar::EntryType;

use crate::layers::compare;
use crate::tools::{Archive, Place, needs};

pub fn trials() -> Vec<Trial> {
    let gnu = needs(&[Need::Program("tar")]);
    let all = [names(), headers(), twice(), attributes(), ends()].into_iter().flatten();
    let named = |(name, bytes): (&str, Vec<u8>)| {
        trial(&format!("odd: {name}"), &gnu, move || as_gnu_tar(&bytes))
    };
    all.map(named).collect()
}

fn as_gnu_tar(archive: &[u8]) -> Result<(), Failed> {
    let place = Place::new();
    fs::write(place.join("t.tar"), archive)?;
    compare(&place)
}

fn new() -> Archive {
    Archive::new().dir("./")
}

/// Ends with each directory on the way to `path`: the times of others are nobody's but the
/// clock's. (At the end, since GNU tar sets them as soon as something else comes.)
fn and_its_way(all: Archive, path: &[u8]) -> Vec<u8> {
    let ends = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
    ends.fold(all, |all, (end, _)| all.records(&[("path", &path[..end])]).dir("x")).done()
}

fn names() -> Vec<(&'static str, Vec<u8>)> {
    let long = [&b"n"[..]; 255].concat();
    let path = vec!["d".repeat(200); 19].join("/");
    let raw = |name: &'static [u8]| {
        move |header: &mut tar::Header| {
            header.as_old_mut().name[..name.len()].copy_from_slice(name);
        }
    };
    vec![
        ("a name of 255 bytes", new().records(&[("path", &long)]).file("x", "x").done()),
        (
            "a path of 3,800 bytes",
            and_its_way(new().records(&[("path", path.as_bytes())]).file("x", ""), path.as_bytes()),
        ),
        ("a long name of GNU's", new().long(b'L', &long).file("nn", "x").done()),
        ("a long link of GNU's", new().long(b'K', path.as_bytes()).link("l", "dd").done()),
        (
            "both, to a file",
            and_its_way(
                new()
                    .long(b'L', &long)
                    .file("nn", "x")
                    .long(b'K', &long)
                    .long(b'L', path.as_bytes())
                    .hard_link("dd", "nn"),
                path.as_bytes(),
            ),
        ),
        (
            "a name in two halves",
            new()
                .entry("last", EntryType::Regular, "", b"x", |header| {
                    *header.as_mut_bytes() = [0; 512];
                    let mut ustar = tar::Header::new_ustar();
                    ustar.set_path(format!("{}/last", "p".repeat(99))).expect("it fits");
                    ustar.set_mode(0o640);
                    ustar.set_uid(0);
                    ustar.set_gid(0);
                    ustar.set_mtime(7);
                    ustar.set_size(1);
                    *header = ustar;
                })
                .dir(&"p".repeat(99))
                .done(),
        ),
        (
            "bytes that are no UTF-8",
            new().entry("", EntryType::Regular, "", b"", raw(b"\xff\xfe\x80")).done(),
        ),
        (
            "the same in a record",
            and_its_way(new().records(&[("path", b"\xff/\xfe")]).file("x", ""), b"\xff/"),
        ),
        (
            "lines in records",
            new()
                .records(&[("path", b"a\nb\n\nc"), ("uname", b"one\ntwo")])
                .file("x", "x")
                .records(&[("linkpath", b"to\nthere\n")])
                .link("l", "x")
                .records(&[("linkpath", b"a\nb\n\nc")])
                .hard_link("h", "x")
                .done(),
        ),
        (
            "dots, slashes and blanks",
            new()
                .file("./a", "1")
                .file("b//c", "2")
                .file("d/./e", "3")
                .file("...", "4")
                .file("..f", "5")
                .file(" ", "6")
                .file("g\\h", "7")
                .file("-rf", "8")
                .file(".wh", "9")
                .dir("b")
                .dir("d")
                .done(),
        ),
        (
            "absolute names",
            new().dir("/etc/").file("/etc/passwd", "x").hard_link("/h", "/etc/passwd").done(),
        ),
        (
            "names that elsewhere are the kernel's",
            new()
                .dir("proc")
                .dir("proc/1")
                .file("proc/1/exe", "x")
                .link("dev", "proc")
                .file("dev/null", "x")
                .dir("proc")
                .done(),
        ),
        (
            "a file in a directory by way of a link",
            new().dir("d").link("l", "d").file("l/x", "").hard_link("l/y", "l/x").dir("d").done(),
        ),
    ]
}

/// A number of GNU's for what has no room in octal digits: 256 as the base, two's complement.
fn wide(field: &mut [u8], number: i64) {
    field.fill(if number < 0 { 0xff } else { 0 });
    let start = field.len() - 8;
    field[start..].copy_from_slice(&number.to_be_bytes());
    field[0] |= 0x80;
}

fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let file = EntryType::Regular;
    let mut all = vec![
        (
            "a time before 1970",
            new().entry("x", file, "", b"", |h| wide(&mut h.as_old_mut().mtime, -86_400)).done(),
        ),
        ("a time after 2038", new().entry("x", file, "", b"", |h| h.set_mtime(1 << 33)).done()),
        ("a time too far", new().entry("x", file, "", b"", |h| h.set_mtime(1 << 40)).done()),
        (
            "times in records",
            new()
                .records(&[("mtime", b"-1.25")])
                .file("a", "")
                .records(&[("mtime", b"1000.1234567891234")])
                .file("b", "")
                .records(&[("mtime", b"0")])
                .file("c", "")
                .records(&[("mtime", b"5."), ("atime", b"6.5")])
                .file("d", "")
                .done(),
        ),
        (
            "a size in base 256",
            new()
                .entry("x", file, "", b"data", |h| wide(&mut h.as_old_mut().size, 4))
                .file("y", "")
                .done(),
        ),
        (
            "a size in a record alone",
            new()
                .records(&[("size", b"4")])
                .entry("x", file, "", b"data", |h| h.set_size(0))
                .file("y", "")
                .done(),
        ),
        (
            "set-uid, set-gid, sticky, and nothing",
            new()
                .entry("suid", file, "", b"x", |h| h.set_mode(0o6755))
                .entry("none", file, "", b"x", |h| h.set_mode(0))
                .entry("tmp", EntryType::Directory, "", b"", |h| h.set_mode(0o7777))
                .entry("closed", EntryType::Directory, "", b"", |h| h.set_mode(0))
                .file("closed/in", "x")
                .done(),
        ),
        (
            "a mode with more than permissions",
            new().entry("x", file, "", b"", |h| h.set_mode(0o100_644)).done(),
        ),
        ("contiguous", new().entry("x", EntryType::Continuous, "", b"data", |_| {}).done()),
        ("an old header", {
            // Without the magic, and of type 0, which no constructor gives.
            let old = |h: &mut tar::Header| {
                h.as_mut_bytes()[257..].fill(0);
                h.as_mut_bytes()[156] = 0;
            };
            new().entry("olddir/", file, "", b"", old).entry("x", file, "", b"x", old).done()
        }),
        ("a fifo", new().device("fifo", EntryType::Fifo, 0, 0).done()),
    ];
    if host().root {
        all.extend([
            (
                "owners in base 256",
                new()
                    .entry("x", file, "", b"", |h| {
                        wide(&mut h.as_old_mut().uid, 3_000_000_000);
                        wide(&mut h.as_old_mut().gid, 4_294_967_294);
                    })
                    .done(),
            ),
            (
                "owners in records",
                new().records(&[("uid", b"4294967294"), ("gid", b"2097152")]).file("x", "").done(),
            ),
            (
                "devices",
                new()
                    .device("null", EntryType::Char, 1, 3)
                    .device("disk", EntryType::Block, 259, 70_000)
                    .device("nothing", EntryType::Char, 0, 0)
                    .done(),
            ),
        ]);
    }
    all
}

/// The same name more than once.
fn twice() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a file over a file", new().file("x", "first").file("x", "2nd").done()),
        (
            "a file over one of two names",
            new().file("x", "1").hard_link("y", "x").file("x", "two").done(),
        ),
        ("a file over an empty directory", new().dir("x").file("x", "x").done()),
        (
            "a directory over itself",
            new()
                .dir("x")
                .file("x/y", "kept")
                .entry("x", EntryType::Directory, "", b"", |h| {
                    (h.set_mode(0o700), h.set_mtime(5)).0
                })
                .done(),
        ),
        ("a link over a file", new().file("x", "x").link("x", "y").done()),
        ("a file over a link", new().link("x", "y").file("x", "x").done()),
        ("a link over a link", new().link("x", "y").link("x", "z").done()),
        ("a hard link over a file", new().file("x", "x").file("y", "y").hard_link("y", "x").done()),
        ("a hard link over itself", new().file("x", "x").hard_link("x", "x").done()),
        (
            "a hard link over the other name",
            new().file("x", "x").hard_link("y", "x").hard_link("x", "y").done(),
        ),
        ("a hard link to a link", new().link("l", "nowhere").hard_link("m", "l").done()),
        ("a fifo over a file", new().file("x", "x").device("x", EntryType::Fifo, 0, 0).done()),
    ]
}

fn attributes() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![(
        "attributes of the user's",
        new()
            .records(&[("SCHILY.xattr.user.a", b"1\n2\0=3"), ("SCHILY.xattr.user.empty", b"")])
            .file("x", "")
            .records(&[("SCHILY.xattr.user.d", b"4")])
            .dir("d")
            .done(),
    )];
    if host().root {
        let capability = b"\x01\0\0\x02\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        all.push((
            "attributes of root's",
            new()
                .records(&[("SCHILY.xattr.trusted.x", b"y")])
                .file("t", "")
                .records(&[("SCHILY.xattr.security.capability", capability)])
                .entry("c", EntryType::Regular, "", b"", |h| (h.set_uid(7), h.set_mode(0o4755)).1)
                .done(),
        ));
    }
    all
}

fn ends() -> Vec<(&'static str, Vec<u8>)> {
    let whole = || new().file("x", "data").done();
    let cut = |blocks: usize| whole()[..blocks * 512].to_vec();
    vec![
        ("no empty blocks at the end", cut(3)),
        ("one empty block at the end", cut(4)),
        ("garbage after the end", [whole(), vec![b'g'; 3000]].concat()),
        ("another archive after the end", [whole(), new().file("not", "").done()].concat()),
        ("many empty blocks", [whole(), vec![0; 100 * 512]].concat()),
    ]
}
