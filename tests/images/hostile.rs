//! Archives that want something else: nothing outside the tree ever changes.

use dockster_tests::{Failed, Trial, trial};
use tar::EntryType;

use crate::tools::{Archive, Place, list, needs};

pub fn trials() -> Vec<Trial> {
    let any = needs(&[]);
    let mut all: Vec<Trial> = attacks()
        .into_iter()
        .map(|(name, archive, refused)| {
            trial(&format!("hostile: {name}"), &any, move || attack(&archive.done(), refused))
        })
        .collect();
    all.extend([
        trial("hostile: garbage is named so", &any, garbage),
        trial("hostile: an archive that ends early", &any, cut),
    ]);
    all
}

/// What it tries, the archive, and what the refusal says; `None` where it is
/// harmless inside the tree.
fn attacks() -> Vec<(&'static str, Archive, Option<&'static str>)> {
    [plain_attacks(), more_attacks(), attribute_attacks()].into_iter().flatten().collect()
}

/// The same roads in other dress: records, long names, links upon links.
fn more_attacks() -> Vec<(&'static str, Archive, Option<&'static str>)> {
    let new = Archive::new;
    let out = Some("leads out of the tree");
    let sparse = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.realsize", b"9")];
    let many = [&b"1099511627776\n"[..], &[0; 498]].concat();
    let chain = (0..50).fold(new(), |all, n| all.link(&format!("{n}"), &format!("{}", n + 1)));
    vec![
        (
            "a name with .. in a record",
            new().records(&[("path", b"../outside/marker")]).file("x", ""),
            out,
        ),
        ("a long name with ..", new().long(b'L', b"a/../../outside/marker").file("x", ""), out),
        (
            "the name of a sparse file with ..",
            new().records(&[("GNU.sparse.name", b"../outside/x")]).file("x", ""),
            out,
        ),
        (
            "a hard link out in a record",
            new().records(&[("linkpath", b"../outside/marker")]).hard_link("x", "y"),
            out,
        ),
        ("a long link with ..", new().long(b'K', b"../outside/marker").hard_link("x", "y"), out),
        (
            "a deep link to the root",
            new().dir("a").link("a/b", "/").file("a/b/c", "in the tree"),
            None,
        ),
        (
            "a deep link up and up",
            new().dir("a/b").link("a/b/c", "../../../../../outside").file("a/b/c/marker", "bad"),
            Some("ENOTDIR"),
        ),
        (
            "the root of the tree by a link, as a file",
            new().dir("a").link("l", "/").file("l/a", "a file").file("a/x", ""),
            Some("ENOTDIR"),
        ),
        ("links in a circle", new().link("a", "b").link("b", "a").file("a/x", ""), Some("ELOOP")),
        ("links without end", chain.dir("50").file("0/x", ""), Some("ELOOP")),
        ("a hard link to a directory", new().dir("d").hard_link("x", "d"), Some("EPERM")),
        (
            "a hard link in the place of what it is to",
            new().file("a/b", "x").hard_link("a", "a/b"),
            Some("ENOENT"),
        ),
        (
            "a whiteout of .. in a record",
            new().records(&[("path", b"d/.wh...")]).file("x", ""),
            Some("no name"),
        ),
        ("the whole tree opaque", new().file("x", "").file(".wh..wh..opq", "").file("y", ""), None),
        (
            "a file 2,000 directories down",
            new().records(&[("path", "d/".repeat(2000).as_bytes())]).dir("x"),
            None,
        ),
        (
            "a path that is too long",
            new().records(&[("path", "d/".repeat(2100).as_bytes())]).dir("x"),
            Some("ENAMETOOLONG"),
        ),
        (
            "a path of a megabyte",
            new().long(b'L', "d/".repeat(500_000).as_bytes()).dir("x"),
            Some("ENAMETOOLONG"),
        ),
        (
            "an empty record takes back a bad one",
            new().records(&[("path", b"../outside/x"), ("path", b"")]).file("x", ""),
            None,
        ),
        ("a link to nothing at all", new().link("l", ""), Some("ENOENT")),
        ("a sum that is wrong", new().file("x", "").raw(&[b'x'; 512]), Some("checksum is wrong")),
        (
            "a negative size",
            new().entry("x", EntryType::Regular, "", b"", |h| h.as_old_mut().size.fill(0xff)),
            Some("impossible"),
        ),
        (
            "a size that is text",
            new().entry("x", EntryType::Regular, "", b"", |h| h.as_old_mut().size.fill(b'x')),
            Some("tar header"),
        ),
        (
            "a negative owner",
            new().entry("x", EntryType::Regular, "", b"", |h| h.as_old_mut().uid.fill(0xff)),
            Some("no id"),
        ),
        (
            "half a piece",
            new().records(&[("GNU.sparse.size", b"4"), ("GNU.sparse.map", b"0")]).file("x", ""),
            Some("half"),
        ),
        (
            "pieces without end",
            new().records(&sparse).entry("x", EntryType::Regular, "", &many, |_| {}),
            Some("too many pieces"),
        ),
        ("a time that is none", new().records(&[("mtime", b"1e9")]).file("x", ""), Some("mtime")),
    ]
}

fn attribute_attacks() -> Vec<(&'static str, Archive, Option<&'static str>)> {
    let record = |key: &str, value: &[u8]| Archive::new().records(&[(key, value)]);
    let long = format!("SCHILY.xattr.user.{}", "n".repeat(300));
    let mut all: Vec<_> =
        ["opaque", "redirect", "metacopy", "whiteout", "overlay.opaque", "origin"]
            .into_iter()
            .flat_map(|name| {
                [("trusted", name), ("user", name)].map(|(space, name)| {
                    let key = format!("SCHILY.xattr.{space}.overlay.{name}");
                    record(&key, b"x").dir("./").records(&[(&key, b"x")]).file("x", "")
                })
            })
            .map(|archive| ("a note to overlayfs", archive, None))
            .collect();
    all.extend([
        (
            "an attribute without a name",
            record("SCHILY.xattr.", b"1").file("x", ""),
            Some("lsetxattr"),
        ),
        ("an attribute with a long name", record(&long, b"1").file("x", ""), Some("lsetxattr")),
        (
            "an attribute with a zero byte",
            record("SCHILY.xattr.user.a\0b", b"1").file("x", ""),
            Some("lsetxattr"),
        ),
        ("an attribute of no kind", record("SCHILY.xattr.bad", b"1").file("x", ""), None),
        (
            "capabilities that are none",
            record("SCHILY.xattr.security.capability", b"x").file("x", ""),
            Some("lsetxattr"),
        ),
    ]);
    all
}

fn plain_attacks() -> Vec<(&'static str, Archive, Option<&'static str>)> {
    let new = Archive::new;
    let out = Some("leads out of the tree");
    vec![
        ("a name with ..", new().file("../outside/marker", "bad"), out),
        ("a name with .. inside", new().dir("a").file("a/../../outside/marker", "bad"), out),
        ("a directory ..", new().entry("..", EntryType::Directory, "", b"", |_| {}), out),
        ("a link ..", new().link("..", "x"), out),
        ("an absolute name", new().file("/outside/marker", "inside"), None),
        ("a hard link out", new().hard_link("x", "../outside/marker").file("x", "bad"), out),
        (
            "a hard link to an absolute name",
            new().hard_link("x", "/outside/marker"),
            Some("ENOENT"),
        ),
        (
            "a hard link through a link",
            new().link("l", "../outside").hard_link("x", "l/marker").file("x", "bad"),
            Some("ENOENT"),
        ),
        (
            "a hard link to a link",
            new().link("l", "../outside/marker").hard_link("x", "l").file("x", "harmless"),
            None,
        ),
        ("a hard link to the root", new().hard_link("x", "."), Some("root")),
        ("a file over a link", new().link("l", "../outside/marker").file("l", "harmless"), None),
        (
            "a file through a link",
            new().link("l", "../outside").file("l/marker", "bad"),
            Some("ENOTDIR"),
        ),
        (
            "a file through a link that leads in",
            new().dir("outside").link("l", "/outside").file("l/marker", "ok"),
            None,
        ),
        (
            "a file through two links",
            new().link("a", "..").link("b", "a/outside").file("b/marker", "bad"),
            Some("ENOTDIR"),
        ),
        (
            "a file through a link to /proc",
            new().link("l", "/proc/self/cwd").file("l/marker", "bad"),
            Some("ENOTDIR"),
        ),
        (
            "chmod through a link",
            new()
                .link("l", "../outside/marker")
                .entry("l", EntryType::Directory, "", b"", |h| h.set_mode(0o777)),
            None,
        ),
        (
            "a directory over a link",
            new().link("l", "../outside").dir("l").file("l/marker", "ok"),
            None,
        ),
        (
            "the root as a link",
            new().link("./", "../outside").file("marker", "bad"),
            Some("can only be a directory"),
        ),
        ("the root as a file", new().file(".", "x"), Some("can only be a directory")),
        (
            "a device in place of the root",
            new().device("/", EntryType::Char, 1, 3),
            Some("can only be a directory"),
        ),
        ("a whiteout of ..", new().file(".wh...", ""), Some("no name")),
        ("a whiteout of .", new().file(".wh..", ""), Some("no name")),
        ("a whiteout of nothing", new().file(".wh.", ""), Some("no name")),
        (
            "a whiteout through a link",
            new().link("l", "../outside").file("l/.wh.marker", ""),
            Some("ENOTDIR"),
        ),
        (
            "opaque through a link",
            new().link("l", "../outside").file("l/.wh..wh..opq", ""),
            Some("ENOTDIR"),
        ),
        ("a whiteout as a parent", new().file(".wh.x/file", ""), None),
        (
            "overlayfs's own attributes",
            new()
                .records(&[
                    ("SCHILY.xattr.trusted.overlay.redirect", b"/../../outside"),
                    ("SCHILY.xattr.user.overlay.redirect", b"/x"),
                ])
                .dir("d"),
            None,
        ),
        (
            "an attribute through a link",
            new().records(&[("SCHILY.xattr.user.bad", b"1")]).link("l", "../outside/marker"),
            None,
        ),
        (
            "an unknown type",
            new().entry("x", EntryType::new(b'Z'), "", b"", |_| {}),
            Some("unknown type"),
        ),
        (
            "a name with a zero byte",
            new().records(&[("path", b"a\0b")]).file("x", ""),
            Some("zero byte"),
        ),
        (
            "an id that is none",
            new().records(&[("uid", b"4294967295")]).file("x", ""),
            Some("no id"),
        ),
        ("an id that is text", new().records(&[("gid", b"root")]).file("x", ""), Some("no number")),
        (
            "a name that is too long",
            new().records(&[("path", &[b'n'; 300])]).file("x", ""),
            Some("ENAMETOOLONG"),
        ),
        (
            "garbled records",
            new().entry("r", EntryType::XHeader, "", b"99 path=x\n", |_| {}).file("x", ""),
            Some("garbled"),
        ),
        (
            "records without end",
            new().entry("r", EntryType::XHeader, "", b"", |h| h.set_size(1 << 40)),
            Some("bytes"),
        ),
        (
            "a long name without end",
            new().entry("r", EntryType::GNULongName, "", b"", |h| h.set_size(1 << 40)),
            Some("bytes"),
        ),
        (
            "an impossible size",
            new().records(&[("size", b"18446744073709551615")]).file("x", ""),
            Some("impossible"),
        ),
        (
            "overlapping pieces",
            new()
                .records(&[("GNU.sparse.size", b"10"), ("GNU.sparse.map", b"0,3,1,3")])
                .file("x", "abcdef"),
            Some("overlap"),
        ),
        (
            "pieces outside the file",
            new()
                .records(&[("GNU.sparse.size", b"4"), ("GNU.sparse.map", b"0,6")])
                .file("x", "abcdef"),
            Some("not its data"),
        ),
        (
            "a file of 8 EiB",
            new()
                .records(&[("GNU.sparse.size", b"9223372036854775807"), ("GNU.sparse.map", b"0,0")])
                .file("x", ""),
            Some("ftruncate"),
        ),
        (
            // What one reader takes for data is a header to another.
            "a size that is said twice",
            new().records(&[("size", b"1024")]).entry(
                "outer",
                EntryType::Regular,
                "",
                &Archive::new().file("../outside/marker", "bad").done()[..1024],
                |h| h.set_size(0),
            ),
            None,
        ),
    ]
}

fn attack(archive: &[u8], refused: Option<&str>) -> Result<(), Failed> {
    let place = Place::new();
    let before = list(&place.join("outside"))?;
    let outcome = place.apply(archive)?;
    let after = list(&place.join("outside"))?;
    assert_eq!(before, after, "outside has changed");
    assert!(place.join("tree").symlink_metadata()?.is_dir(), "the tree is no directory");
    match (outcome, refused) {
        (Ok(_), None) => {}
        (Err(error), Some(text)) if error.contains(text) => {}
        (outcome, _) => return Err(format!("expected {refused:?}, got {outcome:?}").into()),
    }
    let ours = place.list()?;
    // Of that kind there may be our own: a directory that came in the place of something.
    let ours =
        ours.replace("trusted.overlay.opaque=[79]", "").replace("user.overlay.opaque=[79]", "");
    let notes = ["trusted.overlay.", "user.overlay."].iter().any(|note| ours.contains(note));
    assert!(!notes, "{ours}");
    // And it can be removed, whatever it is.
    Ok(())
}

fn garbage() -> Result<(), Failed> {
    let place = Place::new();
    let error = place.apply(&[b'x'; 4096])?.expect_err("garbage");
    assert!(error.contains("not a tar header"), "{error}");
    Ok(())
}

fn cut() -> Result<(), Failed> {
    let place = Place::new();
    let whole = Archive::new().file("a", &"x".repeat(5000)).file("b", "x").done();
    for (length, error) in
        [(100, "header"), (600, "middle of a file"), (512 + 5000, "middle of a file")]
    {
        let said = place.apply(&whole[..length])?.expect_err("it is cut");
        assert!(said.contains(error), "{length}: {said}");
    }
    Ok(())
}
