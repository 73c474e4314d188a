use course::judge::*;
use std::fs::metadata;
use std::os::unix::fs::MetadataExt;

/// After the prisoner has tried: his root is the cell, and there is no other mount.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let cell = attempt.rootfs()?;
    let mut run = attempt.start(&["rootfs"])?;
    let prisoner = run.until("tried")?.pid;
    let root = format!("/proc/{prisoner}/root");
    let place = |path: &str| metadata(path).map(|m| (m.dev(), m.ino())).ok();
    let inside = place(&root).is_some() && place(&root) == place(&cell.to_string_lossy());
    if !inside {
        return Err(wrong(
            "out",
            format!("the prisoner's root directory is {}", look::link(prisoner, "root")),
            "it is still the cell",
            "ls /proc/PID/root/",
        ));
    }
    let mounts = look::read(prisoner, "mountinfo");
    let points: Vec<_> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    match points[..] {
        ["/"] => Ok("he has tried, and is in the cell: there is nothing else".into()),
        // After a chroot it need not be a mount: then even / is missing.
        [] => Err(wrong("out", "his root is no mount", "one mount, /", "cat /proc/PID/mountinfo")),
        _ => Err(wrong(
            "kept",
            format!("he is in the cell, with {} mounts, such as {}", points.len(), points[1]),
            "one mount, and that is /",
            "cat /proc/PID/mountinfo",
        )),
    }
}
