use course::judge::*;
use nix::unistd::Pid;

/// What the service writes: 100 lines on one, 200 on the other.
const OUT: u64 = 100_000;
const ERR: u64 = 200_000;

/// The service at its begin, while it writes, and at its end.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let scratch = attempt.scratch().to_owned();
    let mut run = attempt.start(&[])?;
    let service = run.until("begin")?;
    let before = written(service.pid);
    run.go(&service);
    let all = |now: u64| now >= before.unwrap_or(0) + OUT + ERR;
    // A kernel that does not count: then the point `done` has to tell.
    run.wait_until(|| written(service.pid).is_none_or(all));
    if let Some(now) = written(service.pid).filter(|&now| !all(now)) {
        return Err(wrong(
            "blocked",
            format!("the service has written {now} of {} bytes, and sleeps", OUT + ERR),
            "all of it",
            "cat /proc/PID/io, /proc/PID/wchan and ls -l /proc/PID/fd of the service",
        ));
    }
    let done = run.until("done")?;
    for (name, expected) in [("out.log", OUT), ("err.log", ERR)] {
        let size = || std::fs::metadata(scratch.join(name)).map_or(0, |file| file.len());
        if !run.wait_until(|| size() == expected) {
            return Err(wrong(
                "lost",
                format!("{name} has {} bytes, and the service waits at its end", size()),
                format!("{expected}: each line as soon as it was written"),
                "wc -c out.log err.log",
            ));
        }
    }
    run.go(&done);
    run.end()?;
    Ok(format!("the service wrote {OUT} and {ERR} bytes, and all of it is in the logs"))
}

/// How many bytes it has written, if the kernel counts that.
fn written(pid: Pid) -> Option<u64> {
    let io = look::read(pid, "io");
    io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()
}
