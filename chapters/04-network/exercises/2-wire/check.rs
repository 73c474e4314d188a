use course::judge::*;
use nix::unistd::Pid;

/// The caller stands at `connected`; all three namespaces are looked at.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let caller = run.until("connected")?;
    let (one, host) = (caller.pid, run.pid());
    let look = "cat /proc/PID/net/tcp, net/fib_trie and net/dev, with each PID";
    let connections = connections(one);
    if connections != ["0100040A to 0200040A:0050"] {
        let observed = format!("connected: {connections:?}, to be read backwards");
        return Err(wrong("address", observed, "from 10.4.0.1 to 10.4.0.2", look));
    }
    let others = links(host);
    if others != ["lo"] {
        let observed = format!("the program's own namespace has the links {others:?}");
        return Err(wrong("elsewhere", observed, "lo alone: both ends lie inside", look));
    }
    let trie = look::read(one, "net/fib_trie");
    if !trie.contains("127.0.0.1\n") {
        let observed = "127.0.0.1 is no address in the caller's namespace";
        return Err(wrong("lo", observed, "lo is up in there as well", look));
    }
    if !trie.contains("10.4.0.0/24") {
        let expected = "a subnet 10.4.0.0/24 on the wire";
        return Err(wrong("address", "no such subnet is known to the caller", expected, look));
    }
    run.go(&caller);
    run.end()?;
    Ok("one has called two over a wire of their own, and each reaches itself".into())
}

/// The established ones: our address, and theirs with its port, as the kernel writes them.
fn connections(pid: Pid) -> Vec<String> {
    let text = look::read(pid, "net/tcp");
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let established = lines.filter(|words| words.get(3) == Some(&"01"));
    let ends = established.map(|words| (words[1].split(':').next().unwrap_or_default(), words[2]));
    ends.map(|(ours, theirs)| format!("{ours} to {theirs}")).collect()
}

fn links(pid: Pid) -> Vec<String> {
    let text = look::read(pid, "net/dev");
    let names = text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    names.collect()
}
