//! Attached to a container: terminals, pipes, and leaving it to itself.

use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

use dockster_tests::{Failed, Run, Terminal, Trial, host, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};

use crate::background::{field, wait_for_log};
use crate::tools::{Background, House, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("keys_leave_it_to_itself_and_attach_comes_back", &[], leave_and_come_back),
        beside("other_keys_if_one_wants_them", &[], other_keys),
        beside("start_attaches_from_the_first_byte", &[], start_attaches),
        beside("attach_passes_signals_on", &[], attach_passes_signals_on),
        beside("two_see_the_same", &[], two_see_the_same),
        beside("megabytes_pass_through_a_shim", &[], megabytes_pass_through),
        beside("a_killed_client_does_not_stop_it", &[], a_killed_client),
        beside("a_client_that_stalls_slows_it_until_it_is_gone", &[], a_client_that_stalls),
        beside("a_terminal_under_a_shim_has_all_it_needs", &[], a_terminal_under_a_shim),
    ]
}

fn on_a_terminal(run: Run) -> Result<Terminal, Failed> {
    Ok(Terminal::spawn(run.into_command(), 30, 100)?)
}

fn leave_and_come_back() -> Result<(), Failed> {
    let house = House::new()?;
    let mut terminal =
        on_a_terminal(house.dockster(["run", "-it", "--name", "it", "busybox", "sh"]))?;
    terminal.wait_for("# ")?;
    terminal.type_keys("x=kept; stty size; echo a^b\r")?;
    terminal.wait_for("30 100")?;
    terminal.type_keys("\x10\x11")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    assert_eq!(field(&house, "it", ".State.Status")?, "running");
    let mut terminal = Terminal::spawn(house.dockster(["attach", "it"]).into_command(), 40, 90)?;
    terminal.type_keys("echo still $x; stty size\r")?;
    terminal.wait_for("still kept\n40 90")?;
    // Ctrl-P alone is a key for the shell.
    terminal.type_keys("\x10")?;
    terminal.type_keys("\r")?;
    terminal.wait_for_times("still kept", 2)?;
    terminal.type_keys("exit 6\r")?;
    assert_eq!(terminal.finish()?.code(), Some(6));
    assert_eq!(field(&house, "it", ".State.ExitCode")?, "6");
    house.dockster(["logs", "it"]).success()?.says("still kept")?;
    let mut terminal = on_a_terminal(house.dockster(["start", "-ai", "it"]))?;
    terminal.wait_for("# ")?;
    terminal.type_keys("exit 7\r")?;
    assert_eq!(terminal.finish()?.code(), Some(7));
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn other_keys() -> Result<(), Failed> {
    let house = House::new()?;
    let words =
        ["run", "-it", "--rm", "--detach-keys", "ctrl-a,d", "--name", "it", "busybox", "sh"];
    let mut terminal = on_a_terminal(house.dockster(words))?;
    terminal.wait_for("# ")?;
    terminal.type_keys("\x01d")?;
    assert_eq!(terminal.finish()?.code(), Some(0));
    house.dockster(["ps"]).success()?.says(" it\n")?;
    house.dockster(["attach", "--detach-keys", "nonsense", "it"]).code(1)?;
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn start_attaches() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "echo first; cat; echo bad >&2; exit 8";
    house.dockster(["create", "-i", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    let done = house.dockster(["start", "-ai", "it"]).input("input\n").code(8)?;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("first\ninput\n", "bad\n"));
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn attach_passes_signals_on() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "trap 'exit 9' TERM; while :; do echo ready; sleep 0.05; done";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    wait_for_log(&house, "it", "ready")?;
    let mut attached = Background::ready(house.dockster(["attach", "--no-stdin", "it"]))?;
    attached.signal(Signal::SIGTERM)?;
    assert_eq!(attached.status()?.code(), Some(9));
    house.dockster(["start", "it"]).success()?;
    let words = ["attach", "--sig-proxy=false", "it"];
    let mut attached = Background::ready(house.dockster(words))?;
    attached.signal(Signal::SIGTERM)?;
    attached.status()?;
    assert_eq!(field(&house, "it", ".State.Status")?, "running");
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn two_see_the_same() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "while read line; do echo \"said $line\"; done; sleep 0.1; exit 3";
    house.dockster(["create", "-i", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    let mut first = house
        .dockster(["start", "-ai", "it"])
        .into_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = first.stdin.take().ok_or("a pipe")?;
    input.write_all(b"one\n")?;
    wait_for_log(&house, "it", "said one\n")?;
    let mut second = Background::start(house.dockster(["attach", "--no-stdin", "it"]))?;
    let mut seen = String::new();
    // Until both are there.
    for number in 0.. {
        input.write_all(format!("{number}\n").as_bytes())?;
        let mut byte = [0; 64];
        let ready = {
            use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
            use std::os::fd::AsFd;
            let out = second.stdout();
            poll(&mut [PollFd::new(out.as_fd(), PollFlags::POLLIN)], PollTimeout::from(50u8))? > 0
        };
        if ready {
            let count = second.stdout().read(&mut byte)?;
            seen += &String::from_utf8_lossy(&byte[..count]);
            break;
        }
    }
    input.write_all(b"both\n")?;
    drop(input);
    second.stdout().read_to_string(&mut seen)?;
    assert!(seen.ends_with("said both\n"), "{seen}");
    assert_eq!(second.status()?.code(), Some(3));
    let mut all = String::new();
    first.stdout.take().ok_or("a pipe")?.read_to_string(&mut all)?;
    assert!(all.starts_with("said one\n") && all.ends_with("said both\n"));
    assert_eq!(first.wait()?.code(), Some(3));
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn megabytes_pass_through() -> Result<(), Failed> {
    let house = House::new()?;
    let megabytes = if host().is_slow() { 5 } else { 100 };
    let words = ["create", "-i", "--rm", "--log-opt", "max-size=10m", "busybox", "cat"];
    let id = house.dockster(words).success()?.stdout;
    let mut child = house
        .dockster(["start", "-ai", id.trim_end()])
        .into_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("a pipe")?;
    let writer = thread::spawn(move || {
        let (mut sent, mut state) = (Sha256::new(), 7u64);
        let mut block = vec![0; 1 << 20];
        for _ in 0..megabytes {
            for word in block.chunks_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            sent.update(&block);
            input.write_all(&block)?;
        }
        Ok::<_, std::io::Error>(sent.finalize())
    });
    let (mut received, mut count, mut block) = (Sha256::new(), 0, vec![0; 1 << 16]);
    let mut output = child.stdout.take().ok_or("a pipe")?;
    while let read @ 1.. = output.read(&mut block)? {
        received.update(&block[..read]);
        count += read;
    }
    assert!(child.wait()?.success());
    assert_eq!(count, megabytes << 20);
    assert_eq!(received.finalize(), writer.join().expect("the writer")?);
    house.nothing_left()
}

fn a_killed_client() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "i=0; while :; do i=$((i+1)); echo $i; done";
    house
        .dockster([
            "create",
            "--name",
            "it",
            "--log-opt",
            "max-size=1m",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .success()?;
    // Nobody reads what it prints.
    let client = Background::start(house.dockster(["start", "-a", "it"]))?;
    wait_for_log(&house, "it", "1\n")?;
    drop(client);
    let lines = || house.dockster(["logs", "-n", "1", "it"]).success().map(|done| done.stdout);
    let before = lines()?;
    wait_until("it goes on", PATIENCE, || lines().is_ok_and(|now| now != before))?;
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn a_client_that_stalls() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "seq 200000; echo end";
    house.dockster(["create", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    let mut client = Background::start(house.dockster(["start", "-a", "it"]))?;
    wait_for_log(&house, "it", "1\n")?;
    thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(field(&house, "it", ".State.Status")?, "running", "nobody has read that");
    // Whoever asks for other things meanwhile is served.
    house.dockster(["logs", "-n", "1", "it"]).success()?;
    let mut all = String::new();
    client.stdout().read_to_string(&mut all)?;
    assert_eq!(all.lines().count(), 200_001);
    assert!(all.ends_with("200000\nend\n"));
    assert!(client.status()?.success());
    // One that is stopped for ever and then killed.
    let client = Background::start(house.dockster(["start", "-a", "it"]))?;
    let pid = [vec![client.pid()], crate::tools::descendants(client.pid())].concat();
    kill(Pid::from_raw(pid[0]), Signal::SIGSTOP)?;
    drop(client);
    house.dockster(["wait", "it"]).success()?;
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn a_terminal_under_a_shim() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "trap 'stty size; exit 7' WINCH; tty; echo ready; while :; do sleep 0.05; done";
    house.dockster(["run", "-dt", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    wait_for_log(&house, "it", "ready")?;
    house.dockster(["logs", "it"]).success()?.says("/dev/pts/0\r\n")?;
    let mut terminal = Terminal::spawn(house.dockster(["attach", "it"]).into_command(), 50, 132)?;
    terminal.wait_for("50 132")?;
    assert_eq!(terminal.finish()?.code(), Some(7));
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}
