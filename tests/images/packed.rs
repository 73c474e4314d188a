//! How archives may be packed, and what unpacking them may cost.

use std::io::Write;

use dockster_tests::{Failed, Trial, trial};

use crate::tools::{Archive, Place, helper_run, needs, outcome};

pub fn trials() -> Vec<Trial> {
    let any = needs(&[]);
    vec![
        trial("packed_in_several_members_and_frames", &any, members),
        trial("packed_and_cut_or_followed_by_garbage", &any, damaged),
        trial("zstd_may_look_back_128_mib_and_no_further", &any, windows),
        trial("records_and_maps_take_little_memory", &any, records),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("into memory");
    packer.finish().expect("into memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("into memory")
}

fn archive() -> Vec<u8> {
    Archive::new().file("first", "1").file("second", &"2".repeat(3000)).done()
}

/// Imports it: what was said, its error.
fn import(place: &Place, bytes: &[u8]) -> Result<Result<String, String>, Failed> {
    let run = helper_run("import").arg(place.join("store")).args(["-", "x", "", "", "memory"]);
    outcome(run.input(bytes))
}

fn members() -> Result<(), Failed> {
    let place = Place::new();
    let whole = archive();
    let plain = import(&place, &whole)??;
    let id = plain.lines().next().expect("an id");
    let (one, two) = whole.split_at(700);
    // What a reader skips stands between its frames: here 4 bytes.
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0], &b"toc!"[..]].concat();
    for packed in [
        gzip(&whole),
        [gzip(one), gzip(two)].concat(),
        [gzip(b""), gzip(one), gzip(b""), gzip(two)].concat(),
        zstd(&whole),
        [zstd(one), zstd(two)].concat(),
        [&skipped[..], &zstd(one), &skipped, &zstd(two)].concat(),
    ] {
        // The same image, since its layer has the same content.
        let said = import(&place, &packed)??;
        assert_eq!(said.lines().nth(1), plain.lines().nth(1));
        assert!(!id.is_empty());
    }
    Ok(())
}

fn damaged() -> Result<(), Failed> {
    let place = Place::new();
    let whole = archive();
    for pack in [gzip, zstd] {
        let packed = pack(&whole);
        import(&place, &packed[..packed.len() / 2])?.expect_err("it is cut");
        import(&place, &[&packed[..], b"garbage"].concat())?.expect_err("garbage follows");
        let mut flipped = packed.clone();
        // Of the checksum at its end, which zstd has not by itself.
        let place_of_it = packed.len() - if packed[0] == 0x1f { 6 } else { 20 };
        flipped[place_of_it] ^= 0x40;
        import(&place, &flipped)?.expect_err("a bit is wrong");
    }
    Ok(())
}

/// A frame by hand (RFC 8878): its window is 2^`log` bytes; one block, raw, and the last.
fn frame(log: u8, content: &[u8]) -> Vec<u8> {
    let block = (content.len() as u32) << 3 | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3], &block.to_le_bytes()[..3], content].concat()
}

fn windows() -> Result<(), Failed> {
    let place = Place::new();
    let peak = |said: String| -> u64 {
        let line = said.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    let small = peak(import(&place, &frame(20, &archive()))??);
    // As much as is asked for, only as it is used.
    let large = peak(import(&place, &frame(27, &archive()))??);
    assert!(large < small + 4096, "{large} kB, and {small} kB with a small window");
    for log in [28, 31, 40] {
        let error = import(&place, &frame(log, &archive()))?.expect_err("a window too large");
        assert!(error.contains("memory"), "{error}");
    }
    Ok(())
}

/// What an archive makes us keep at once: no more than an image of any size may take.
fn records() -> Result<(), Failed> {
    let mut many = Vec::new();
    while many.len() < (1 << 20) - 8 {
        many.extend(b"5 a=\n");
    }
    let map = "0,0,".repeat(200_000);
    let long = |kind: u8, data: &[u8]| {
        Archive::new().entry("r", tar::EntryType::new(kind), "", data, |_| {}).file("x", "").done()
    };
    let pieces: String = std::iter::once("1048576\n".to_owned())
        .chain((0..1u32 << 20).map(|at| format!("{at}\n0\n")))
        .collect();
    let mut pieces = pieces.into_bytes();
    pieces.resize(pieces.len().next_multiple_of(512), 0);
    let holes = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"2000000"),
    ];
    let all = [
        long(b'x', &many),
        Archive::new()
            .records(&[
                ("GNU.sparse.size", b"9"),
                ("GNU.sparse.map", map.trim_end_matches(',').as_bytes()),
            ])
            .file("x", "")
            .done(),
        Archive::new()
            .records(&holes)
            .entry("x", tar::EntryType::Regular, "", &pieces, |_| {})
            .done(),
    ];
    for bytes in all {
        let place = Place::new();
        let said = import(&place, &gzip(&bytes))??;
        let line = said.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let peak: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(peak < 50 << 10, "{peak} kB");
    }
    for kind in [b'x', b'L', b'K'] {
        let place = Place::new();
        let error = import(&place, &long(kind, &vec![b'5'; (1 << 20) + 1]))?.expect_err("too long");
        assert!(error.contains("a tar header of 1048577 bytes"), "{error}");
    }
    Ok(())
}
