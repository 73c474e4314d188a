use course::judge::*;
use nix::unistd::Pid;

/// The maps of the child, as they are seen from outside of all of it.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let child = run.until("inside")?;
    let outside = |name| look::field(run.pid(), name).split_whitespace().nth(1).map(str::to_owned);
    for (file, id) in [("uid_map", outside("Uid")), ("gid_map", outside("Gid"))] {
        one_line(child.pid, file, &id.unwrap_or_default())?;
    }
    let setgroups = look::read(child.pid, "setgroups");
    if setgroups.trim() != "deny" {
        return Err(wrong(
            "setgroups",
            format!("/proc/PID/setgroups says {:?}", setgroups.trim()),
            "\"deny\": a group can take rights away, and must not be left",
            "cat /proc/PID/setgroups",
        ));
    }
    run.go(&child);
    run.end()?;
    Ok("user 1000 and group 1000 inside, the caller outside, and no setgroups".into())
}

fn one_line(child: Pid, file: &str, outside: &str) -> Result<(), Verdict> {
    let map = look::read(child, file);
    let numbers: Vec<_> = map.split_whitespace().collect();
    if numbers == ["1000", outside, "1"] {
        return Ok(());
    }
    Err(wrong(
        "map",
        format!("/proc/PID/{file} says {:?}", numbers.join(" ")),
        format!("\"1000 {outside} 1\": 1000 inside is the caller, {outside}, outside"),
        format!("cat /proc/PID/{file}"),
    ))
}
