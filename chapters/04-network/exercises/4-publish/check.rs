use course::judge::*;
use nix::unistd::Pid;

/// The port of the host, and that of the server, as the kernel writes them.
const PUBLISHED: &str = "010200C0:1F90";
const SERVER: &str = "0300040A:0050";
/// 192.0.2.2.
const WORLD: &str = "020200C0";

/// Each caller stands after its attempt: is it connected, and whom does the server see?
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let server = run.until("serving")?;
    run.go(&server);
    for (from, hint) in [("world", "world"), ("host", "host"), ("one", "hairpin")] {
        let caller = run.until(from)?;
        if !connections(caller.pid).iter().any(|(_, to)| to == PUBLISHED) {
            return Err(not_connected(from, hint));
        }
        let seen = |found: &(String, String)| found.0 == SERVER && found.1.starts_with(WORLD);
        if from == "world" && !run.wait_until(|| connections(server.pid).iter().any(seen)) {
            let observed = format!("{:?}, to be read backwards", connections(server.pid));
            let look = "cat /proc/PID/net/tcp of the server: the third column is who calls";
            return Err(wrong("masked", observed, "called by 020200C0: 192.0.2.2", look));
        }
        run.go(&caller);
    }
    run.end()?;
    Ok("the world, the host and the neighbour are answered, and the world is seen as it is".into())
}

fn not_connected(from: &str, hint: &'static str) -> Verdict {
    let observed = format!("the call from {from} is not connected");
    let expected = "a connection to 192.0.2.1:8080 (010200C0:1F90)";
    let look = "cat /proc/PID/net/tcp of the caller: 01 is an established connection";
    // The sections are named here for who looks for them in the hints.
    match hint {
        "world" => wrong("world", observed, expected, look),
        "host" => wrong("host", observed, expected, look),
        _ => wrong("hairpin", observed, expected, look),
    }
}

/// The established ones: this end and the other, as the kernel writes them.
fn connections(pid: Pid) -> Vec<(String, String)> {
    let text = look::read(pid, "net/tcp");
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let established = lines.filter(|words| words.get(3) == Some(&"01"));
    established.map(|words| (words[1].to_owned(), words[2].to_owned())).collect()
}
