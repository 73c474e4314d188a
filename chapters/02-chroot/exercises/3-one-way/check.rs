use course::judge::*;
use nix::unistd::Pid;

/// Nothing of the job's mounts at the host, and the host's new mount at the job.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let job = run.until("mounted")?;
    if has(run.pid(), "/machine/scratch") {
        return Err(wrong(
            "leaks",
            "what the job mounted at machine/scratch is mounted for the host, too",
            "it is mounted for the job alone",
            "grep machine /proc/PID/mountinfo",
        ));
    }
    if !has(job.pid, "/machine/scratch") {
        return Err(Verdict::NotDone("nothing is mounted at the job's machine/scratch".into()));
    }
    run.go(&job);
    run.until("plugged in")?;
    if !has(job.pid, "/machine/disk") {
        return Err(wrong(
            "deaf",
            "the host has mounted a disk at machine/disk, and the job does not see it",
            "what the host mounts later comes to the job",
            "grep machine /proc/PID/mountinfo",
        ));
    }
    Ok("the job's mount stays with the job, and the host's disk comes to it".into())
}

/// Whether something is mounted at a place that ends so, for this process.
fn has(pid: Pid, place: &str) -> bool {
    let mounts = look::read(pid, "mountinfo");
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| point.ends_with(place))
}
