use std::fs;
use std::path::{Path, PathBuf};

use course::judge::*;

/// Both layers as they lie there, and the tree that overlayfs makes of them.
pub fn check(attempt: &mut Attempt) -> Judgement {
    let mut run = attempt.start(&[])?;
    let pid = run.until("stacked")?.pid;
    let mounts = look::read(pid, "mountinfo");
    let tree =
        mounts.lines().find(|line| line.split(' ').nth(4).is_some_and(|p| p.ends_with("/tree")));
    if !tree.is_some_and(|line| line.contains(" - overlay ") && line.contains("above:")) {
        return Err(Verdict::NotDone("no overlay of above and below is mounted at tree".into()));
    }
    let here = PathBuf::from(format!("/proc/{pid}/cwd"));
    let below = names(&here.join("below"));
    if below != ["cache/old", "etc/motd", "etc/passwd"] {
        return Err(wrong(
            "shared",
            format!("below has {}", below.join(" ")),
            "all that it had: other images lie over it, too",
            "find below -type f",
        ));
    }
    let tree = names(&here.join("tree"));
    let has = |name: &str| tree.iter().any(|path| path == name);
    if let Some(name) = tree.iter().find(|path| path.contains(".wh.")) {
        let expected = "no name that only an archive understands";
        return Err(wrong("names", format!("tree has {name}"), expected, "find tree"));
    }
    if has("etc/motd") {
        let expected = "no etc/motd: the upper layer has taken it away";
        return Err(wrong(
            "still-there",
            "tree has etc/motd",
            expected,
            "ls -l above/etc tree/etc",
        ));
    }
    if has("cache/old") {
        let expected = "cache has only what the upper layer put there";
        let look = "getfattr -d above/cache; ls tree/cache";
        return Err(wrong("shines-through", "tree has cache/old", expected, look));
    }
    match tree.join(" ") == "cache/new etc/passwd" {
        true => Ok("gone in the tree, and still there for all other images".into()),
        false => {
            let observed = format!("tree has {}", tree.join(" "));
            Err(wrong("too-much", observed, "cache/new and etc/passwd", "find tree -type f"))
        }
    }
}

/// The files below a directory, in order.
fn names(top: &Path) -> Vec<String> {
    let (mut names, mut open) = (Vec::new(), vec![top.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => open.push(entry.path()),
                false => {
                    names.extend(entry.path().strip_prefix(top).map(|p| p.display().to_string()))
                }
            }
        }
    }
    names.sort();
    names
}
