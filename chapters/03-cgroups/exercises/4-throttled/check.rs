use course::judge::*;
use nix::unistd::Pid;

/// The cap of the loop's cgroup, and whether it was met.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let spinning = run.until("spinning")?;
    let observed = cap(spinning.pid);
    let text = format!("{observed:?} microseconds of a period, and its length");
    let fail = |hint, expected| {
        let look = "cat /proc/PID/cgroup, and cpu.max (version 1: cpu.cfs_*) in that directory";
        Err(wrong(hint, text.clone(), expected, look))
    };
    let Some((quota, period)) = observed else {
        return fail("weight", "a cap: it holds on an idle machine too");
    };
    if quota * 2 != period {
        return fail("ratio", "half a processor together: the quota is half of the period");
    }
    if period > 20_000 {
        return fail("period", "a period of 20000 or less, or they stand still for longer");
    }
    let throttled = || stat(spinning.pid, "nr_throttled");
    if !run.wait_until(|| throttled() >= 3) {
        return fail("weight", "a loop that meets its cap: cpu.stat counts no throttled period");
    }
    let periods = stat(spinning.pid, "nr_periods");
    run.go(&spinning);
    run.end()?;
    Ok(format!(
        "{quota} of {period} microseconds; throttled from the first of {periods} periods on"
    ))
}

/// Quota and period, in microseconds, on a host of either version.
fn cap(pid: Pid) -> Option<(u64, u64)> {
    let text = match v1(pid) {
        true => file(pid, "cpu.cfs_quota_us") + " " + &file(pid, "cpu.cfs_period_us"),
        false => file(pid, "cpu.max"),
    };
    let (quota, period) = text.split_once(' ')?;
    Some((quota.trim().parse().ok()?, period.trim().parse().ok()?))
}

fn stat(pid: Pid, name: &str) -> u64 {
    let text = file(pid, "cpu.stat");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

fn v1(pid: Pid) -> bool {
    look::read(pid, "cgroup").lines().any(|line| controllers(line).any(|name| name == "cpu"))
}

fn controllers(line: &str) -> impl Iterator<Item = &str> {
    line.split(':').nth(1).unwrap_or_default().split(',')
}

/// A file of the cgroup that limits its processor time.
fn file(pid: Pid, name: &str) -> String {
    let (top, wanted) =
        if v1(pid) { ("/sys/fs/cgroup/cpu", "cpu") } else { ("/sys/fs/cgroup", "") };
    let lines = look::read(pid, "cgroup");
    let line = lines.lines().find(|line| controllers(line).any(|name| name == wanted));
    let path = line.and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or_default();
    std::fs::read_to_string(format!("{top}{path}/{name}")).unwrap_or_default()
}
