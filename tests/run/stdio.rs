//! Bytes between the user and the container: all of them, in order, and no faster than
//! they are wanted.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use dockster_tests::{Failed, Run, Trial, host, scaled, wait_until};
use sha2::{Digest, Sha256};

use crate::tools::{Background, DOCKSTER, House, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("megabytes_pass_through_unchanged", &[], megabytes_pass_through_unchanged),
        beside("output_and_errors_stay_apart", &[], output_and_errors_stay_apart),
        beside("a_reader_that_stops_slows_the_writer", &[], a_reader_that_stops_slows_the_writer),
        beside("a_reader_that_leaves_ends_the_writer", &[], a_reader_that_leaves_ends_the_writer),
        beside("without_interactive_input_is_empty", &[], without_interactive_input_is_empty),
        beside("closed_streams_are_no_obstacle", &[], closed_streams_are_no_obstacle),
    ]
}

/// Bytes that do not repeat, quickly made (xorshift).
fn noise(block: &mut [u8], state: &mut u64) {
    for word in block.chunks_mut(8) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
}

fn megabytes_pass_through_unchanged() -> Result<(), Failed> {
    let house = House::new()?;
    let megabytes = if host().is_slow() { 5 } else { 200 };
    let mut child = house
        .run(["-i", "busybox", "cat"])
        .into_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().expect("stdin is a pipe");
    let writer = thread::spawn(move || {
        let (mut sent, mut state, mut block) = (Sha256::new(), 1, vec![0; 1 << 20]);
        for _ in 0..megabytes {
            noise(&mut block, &mut state);
            sent.update(&block);
            input.write_all(&block)?;
        }
        Ok::<_, std::io::Error>(sent.finalize())
    });
    let (mut received, mut count, mut block) = (Sha256::new(), 0, vec![0; 1 << 16]);
    let mut output = child.stdout.take().expect("stdout is a pipe");
    loop {
        match output.read(&mut block)? {
            0 => break,
            n => {
                received.update(&block[..n]);
                count += n;
            }
        }
    }
    assert!(child.wait()?.success());
    let sent = writer.join().expect("the writer")?;
    assert_eq!(count, megabytes << 20);
    assert_eq!(received.finalize(), sent, "other bytes came out");
    house.nothing_left()
}

fn output_and_errors_stay_apart() -> Result<(), Failed> {
    let house = House::new()?;
    let script =
        "for i in $(seq 100); do echo out$i; echo err$i >&2; done; printf end; printf end >&2";
    let done = house.sh([], script).success()?;
    let expected =
        |word: &str| (1..=100).map(|i| format!("{word}{i}\n")).collect::<String>() + "end";
    assert_eq!(done.stdout, expected("out"));
    assert_eq!(done.stderr, expected("err"));
    // What is written last, and by children that outlive their parent, is not lost.
    let done = house.sh([], "head -c 100000 /dev/zero | tr '\\0' x & wait; exit 9").code(9)?;
    assert_eq!(done.stdout.len(), 100_000);
    house.nothing_left()
}

fn a_reader_that_stops_slows_the_writer() -> Result<(), Failed> {
    let house = House::new()?;
    fs::create_dir(house.join("mark"))?;
    let volume = format!("{}:/mark", house.join("mark").display());
    let script =
        "i=0; while [ $i -lt 200 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i >/mark/i; done";
    let mut writer = Background::start(house.sh(["-v", &volume], script))?;
    let progress = || {
        let text = fs::read_to_string(house.join("mark/i")).unwrap_or_default();
        text.trim().parse::<u32>().unwrap_or(0)
    };
    wait_until("it writes", PATIENCE, || progress() > 0)?;
    // It has come to a stop once there is no progress for a while.
    let (mut last, mut since) = (progress(), Instant::now());
    while since.elapsed() < scaled(Duration::from_millis(300)) {
        thread::sleep(Duration::from_millis(10));
        if progress() != last {
            (last, since) = (progress(), Instant::now());
        }
    }
    assert!(last < 200, "nobody reads, and it has written all");
    assert!(!writer.ended());
    let mut all = Vec::new();
    writer.stdout().read_to_end(&mut all)?;
    assert_eq!(all.len(), 200 * 65536);
    assert!(writer.status()?.success());
    house.nothing_left()
}

fn a_reader_that_leaves_ends_the_writer() -> Result<(), Failed> {
    let house = House::new()?;
    let mut run = Background::start(house.run(["busybox", "yes", "still here"]))?;
    let mut line = String::new();
    BufReader::new(run.stdout()).read_line(&mut line)?;
    assert_eq!(line, "still here\n");
    run.close_stdout();
    // Its own word for it differs; who is PID 1 and does not care is killed.
    let status = run.status()?;
    assert!(matches!(status.code(), Some(0 | 1 | 137 | 141)), "{status}");
    let said = run.stderr();
    assert!(!said.contains("panicked") && !said.contains("dockster:"), "{said}");
    house.nothing_left()
}

fn without_interactive_input_is_empty() -> Result<(), Failed> {
    let house = House::new()?;
    let done = house.run(["busybox", "cat"]).input("not for you").success()?;
    assert_eq!(done.stdout, "");
    let done = house.sh([], "readlink /proc/self/fd/0").success()?;
    assert_eq!(done.stdout, "/dev/null\n");
    let done = house.run(["-i", "busybox", "cat"]).input("for you").success()?;
    assert_eq!(done.stdout, "for you");
    // A program that does not read its input is not waited for.
    house.run(["-i", "busybox", "true"]).input(vec![b'x'; 1 << 20]).success()?;
    house.nothing_left()
}

fn closed_streams_are_no_obstacle() -> Result<(), Failed> {
    let house = House::new()?;
    for (closed, expected) in
        [("<&-", "said\n"), ("2>&-", "said\n"), (">&-", ""), ("<&- 2>&- 9</etc/passwd", "said\n")]
    {
        let script = format!("exec \"$DOCKSTER\" run --rm -i busybox echo said {closed}");
        let done = Run::new("sh")
            .args(["-c", &script])
            .env("DOCKSTER", DOCKSTER)
            .env("DOCKSTER_ROOT", house.root())
            .done()?;
        assert_eq!(done.stdout, expected, "{closed}: {}", done.stderr);
    }
    house.nothing_left()
}
