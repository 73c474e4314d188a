//! Archives, more than a thousand, that something has bitten: the same ones in each run.
//!
//! Whatever is applied of them, it ends, in the tree, with bounded memory and without a
//! panic, and the next good archive is applied as if nothing had been.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ch02_chroot::Root;
use ch06_images::apply::apply_over;
use ch06_images::{Limits, Stack};
use dockster_tests::{Failed, Trial, trial};
use tar::EntryType;

use crate::tools::{Archive, Place, list, list_into, needs, outcome};

const MUTANTS: u32 = 1500;
/// In kB: what the library holds at most, and the test's own lists of what it finds.
const MEMORY: u64 = 96 << 10;

pub fn trials() -> Vec<Trial> {
    vec![trial("mutants_stay_in_the_tree", &needs(&[]), mutants)]
}

fn mutants() -> Result<(), Failed> {
    let place = Place::new();
    let before = list(&place.join("outside"))?;
    let run = crate::tools::helper_run("mutants").arg(place.path()).arg("memory");
    let said = outcome(run.limit(Duration::from_secs(600)))??;
    assert_eq!(before, list(&place.join("outside"))?, "outside has changed");
    let number = |word: &str| -> u64 {
        let rest = said.lines().find_map(|line| line.strip_prefix(word)).expect(word);
        rest.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    // Both happen, or they are no mutants worth their name.
    assert!(number("applied:") > 100 && number("refused:") > 100, "{said}");
    assert!(number("VmHWM:") < MEMORY, "{said}");
    Ok(())
}

/// The process that applies them, each over a base that is full of links which lead out.
pub fn helper(dir: &Path, out: &mut String) -> ch01_clone::Result<()> {
    let tree = dir.join("tree");
    fresh(&tree);
    apply_over(&*base(), &Root::open(&tree)?, Stack::open(&[])?, Limits::default())?;
    let below = dir.join("below");
    fs::rename(&tree, &below).expect("rename");
    let (outside, base) = (seen(&dir.join("outside")), seen(&below));
    let good = seed();
    let apply = |archive: &[u8], high: bool| {
        fresh(&tree);
        let below: &[_] = if high { std::slice::from_ref(&below) } else { &[] };
        apply_over(archive, &Root::open(&tree)?, Stack::open(below)?, Limits::default())
    };
    apply(&good, true)?;
    let wanted = seen(&tree);
    let (mut random, mut applied, mut refused) = (Random(0x0dd_b17e), 0, 0);
    for number in 0..MUTANTS {
        let done = apply(&mutate(&good, &mut random), number % 2 == 0);
        *(if done.is_ok() { &mut applied } else { &mut refused }) += 1;
        assert_eq!(outside, seen(&dir.join("outside")), "mutant {number}: outside");
        assert!(tree.symlink_metadata().expect("lstat").is_dir(), "mutant {number}: the tree");
        if number % 100 == 0 {
            apply(&good, true)?;
            assert_eq!(wanted, seen(&tree), "after mutant {number}");
            assert_eq!(base, seen(&below), "mutant {number}: the layer below");
            assert_eq!(4, fs::read_dir(dir).expect("readdir").count() + 1, "mutant {number}");
        }
    }
    write!(out, "applied:{applied}\nrefused:{refused}\n").expect("into memory");
    Ok(())
}

fn fresh(tree: &Path) {
    if tree.symlink_metadata().is_ok() {
        fs::remove_dir_all(tree).expect("it can be removed");
    }
    fs::create_dir(tree).expect("mkdir");
}

fn seen(tree: &Path) -> String {
    let mut out = String::new();
    list_into(tree, Path::new(""), &mut out);
    // An archive does not say when a whiteout was made.
    let whiteout = |line: &&str| !line.ends_with("char 0:0");
    let (others, whiteouts): (Vec<_>, Vec<_>) = out.lines().partition(whiteout);
    let names = whiteouts.iter().filter_map(|line| line.split('"').nth(1));
    others.into_iter().chain(names).collect::<Vec<_>>().join("\n")
}

fn base() -> Vec<u8> {
    Archive::new()
        .dir("./")
        .dir("outside")
        .dir("dir")
        .file("dir/file", "below")
        .link("out", "../outside")
        .link("up", "../../../..")
        .link("dir/root", "/")
        .link("loop", "loop")
        .link("nowhere", "not/there")
        .file("gone", "")
        .done()
}

/// Of everything that an archive may hold something.
fn seed() -> Vec<u8> {
    let sparse: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"70000")];
    let map = [&b"1\n60000\n4\n"[..], &[0; 502], b"data"].concat();
    Archive::new()
        .dir("./")
        .dir("dir")
        .file("dir/file", "content")
        .file("dir/marker", "x")
        .link("dir/link", "../outside/marker")
        .link("l", "outside")
        .hard_link("hard", "dir/file")
        .file("out/marker", "by a link below")
        .file("dir/root/in", "by another")
        .records(&[("mtime", b"1234.5"), ("SCHILY.xattr.user.a", b"b\nc"), ("uid", b"7")])
        .file("attr", "x")
        .records(&[("path", &[b'p'; 150]), ("size", b"5")])
        .file("x", "12345")
        .long(b'L', &[b'q'; 180])
        .file("x", "y")
        .records(&sparse)
        .entry("sparse", EntryType::Regular, "", &map, |_| {})
        .device("fifo", EntryType::Fifo, 0, 0)
        .file(".wh.gone", "")
        .file("dir/.wh..wh..opq", "")
        .file(".wh.nowhere", "")
        .file("last", "z")
        .done()
}

/// xorshift64: the same row in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// What somebody might put where a name is.
const NAMES: [&[u8]; 14] = [
    b"..",
    b"../outside/marker",
    b"/",
    b"./",
    b"",
    b"out",
    b"out/marker",
    b"up/outside/marker",
    b"dir",
    b"dir/root/../../outside/marker",
    b"loop/x",
    b".wh...",
    b".wh..wh..opq",
    b"dir/.wh.file",
];

fn mutate(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(4) {
        let blocks = bytes.len() / 512;
        let at = random.below(blocks.max(1)) * 512;
        match random.below(8) {
            0 => bytes.truncate(random.below(bytes.len().max(1))),
            1 if blocks > 0 => {
                let block = bytes[at..at + 512].to_vec();
                let to = random.below(blocks) * 512;
                bytes.splice(to..to, block);
            }
            2 if blocks > 0 => drop(bytes.drain(at..at + 512)),
            3 => {
                let place = random.below(bytes.len().max(1));
                bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << random.below(8));
            }
            what => {
                let Some(block) = bytes.get_mut(at..at + 512) else { continue };
                change(block, what, random);
            }
        }
    }
    bytes
}

/// Another type, name, target or number in a header, whose checksum is right again.
fn change(block: &mut [u8], what: usize, random: &mut Random) {
    if &block[257..262] != b"ustar" {
        block[random.below(512)] = random.below(256) as u8;
        return;
    }
    match what {
        4 => block[156] = b"0123456LKxgSZ\0"[random.below(14)],
        5 => put(&mut block[..100], NAMES[random.below(NAMES.len())]),
        6 => put(&mut block[157..257], NAMES[random.below(NAMES.len())]),
        _ => {
            // Mode, owner, group, size, time; a device's numbers; what GNU says of holes.
            let place = [100, 108, 116, 124, 136, 329, 337, 386, 398, 482, 483][random.below(11)];
            let value = [b'7', b'0', 0xff, 0x80, b' ', 0, b'x'][random.below(7)];
            let length = 1 + random.below(12);
            block[place..place + length].fill(value);
        }
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    put(&mut block[148..156], format!("{sum:06o}\0 ").as_bytes());
}

fn put(field: &mut [u8], text: &[u8]) {
    field.fill(0);
    field[..text.len()].copy_from_slice(text);
}
