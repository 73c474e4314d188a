use course::judge::*;
use nix::unistd::Pid;

/// Both mounts of the view are there and read-only, and the originals are as they were.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let pid = run.until("handed out")?.pid;
    let mounts = read(pid);
    let at = |place: &str| mounts.iter().rev().find(|mount| mount.place.ends_with(place));
    for place in ["/view", "/view/below"] {
        match at(place) {
            None => {
                return Err(verdict(
                    "hidden",
                    format!("nothing is mounted at {}", &place[1..]),
                    "the view has all that is mounted in data",
                ));
            }
            Some(mount) if !mount.read_only && !mount.file_system_read_only => {
                return Err(verdict(
                    "writable",
                    format!("the mount at {} can be written to", &place[1..]),
                    "every mount of the view is read-only",
                ));
            }
            Some(_) => {}
        }
    }
    for place in ["/data", "/data/below"] {
        let as_before = at(place).is_some_and(|m| !m.read_only && !m.file_system_read_only);
        if !as_before {
            return Err(verdict(
                "source",
                format!("{} cannot be written to any more", &place[1..]),
                "only the view is read-only",
            ));
        }
    }
    Ok("the view shows all, takes nothing, and data is as it was".into())
}

fn verdict(hint: &'static str, observed: String, expected: &str) -> Verdict {
    wrong(hint, observed, expected, "grep -E '/(data|view)' /proc/PID/mountinfo")
}

struct Mounted {
    place: String,
    read_only: bool,
    file_system_read_only: bool,
}

fn read(pid: Pid) -> Vec<Mounted> {
    let text = look::read(pid, "mountinfo");
    let ro = |options: Option<&str>| options.is_some_and(|o| o.split(',').any(|o| o == "ro"));
    let line = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        Some(Mounted {
            place: mount.split(' ').nth(4)?.to_owned(),
            read_only: ro(mount.split(' ').nth(5)),
            file_system_read_only: ro(file_system.split(' ').nth(2)),
        })
    };
    text.lines().filter_map(line).collect()
}
