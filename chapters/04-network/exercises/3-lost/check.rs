use course::judge::*;
use nix::unistd::Pid;

/// The server stands at `called`: by whom, and over which link?
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let server = run.until("called")?;
    let links = links(server.pid);
    if links != ["eth0", "lo"] {
        let observed = format!("two has the links {links:?}");
        let look = "cat /proc/PID/net/dev";
        return Err(wrong("past", observed, "lo and eth0, as NETWORK has made them", look));
    }
    let callers = callers(server.pid);
    if callers != ["0201040A"] {
        let observed = format!("called by {callers:?}, which is to be read backwards");
        let look = "cat /proc/PID/net/tcp: the third column is who calls";
        return Err(wrong("masked", observed, "0201040A, which is 10.4.1.2", look));
    }
    run.go(&server);
    run.end()?;
    Ok("two was called by 10.4.1.2, through the router".into())
}

/// The addresses at the other ends of established connections, as the kernel writes them.
fn callers(pid: Pid) -> Vec<String> {
    let text = look::read(pid, "net/tcp");
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let established = lines.filter(|words| words.get(3) == Some(&"01"));
    established.map(|words| words[2].split(':').next().unwrap_or_default().to_owned()).collect()
}

fn links(pid: Pid) -> Vec<String> {
    let text = look::read(pid, "net/dev");
    let names = text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}
