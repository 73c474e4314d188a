//! Who `USER` is: looked up in the image's own files, whatever they are.

use std::fs;
use std::os::unix::fs::symlink;

use dockster_tests::{Failed, TempDir, Trial, trial};

use crate::tools::{helper_run, needs, outcome, sh};

pub fn trials() -> Vec<Trial> {
    let any = needs(&[]);
    vec![
        trial("users_are_those_of_the_image", &any, users),
        trial("hostile: passwd is a link, a fifo, a directory, endless", &any, odd_files),
    ]
}

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nbroken line\nweb:x:33:34::/srv:/bin/sh\n1234:x:77:78::/n:\n";
const GROUP: &str = "root:x:0:\nadm:x:4:web,root\nweb:x:34:\nstaff:x:50:web\n";

fn ask(dir: &TempDir, user: &str) -> Result<Result<String, String>, Failed> {
    outcome(helper_run("identity").arg(dir.path()).arg(user))
}

fn users() -> Result<(), Failed> {
    let dir = TempDir::new();
    let who = |uid, gid, groups: &[u32], home: &str| {
        format!("Identity {{ uid: {uid}, gid: {gid}, groups: {groups:?}, home: {home:?} }}\n")
    };
    // Without any files numbers are still numbers.
    assert_eq!(ask(&dir, "7:8")??, who(7, 8, &[], "/"));
    assert_eq!(ask(&dir, "")??, who(0, 0, &[], "/"));
    fs::create_dir(dir.join("etc"))?;
    fs::write(dir.join("etc/passwd"), PASSWD)?;
    fs::write(dir.join("etc/group"), GROUP)?;
    for (user, wanted) in [
        ("", who(0, 0, &[4], "/root")),
        ("web", who(33, 34, &[4, 50], "/srv")),
        ("33", who(33, 34, &[4, 50], "/srv")),
        ("33:7", who(33, 7, &[], "/srv")),
        ("web:adm", who(33, 4, &[], "/srv")),
        ("999", who(999, 0, &[], "/")),
        ("1234", who(77, 78, &[], "/n")),
    ] {
        assert_eq!(ask(&dir, user)??, wanted, "{user}");
    }
    for (user, error) in [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("web:no", "unable to find group no: no matching entries in group file"),
        ("4294967295", "range"),
        ("-1", "unable to find user -1"),
    ] {
        let said = ask(&dir, user)?.expect_err(user);
        assert!(said.contains(error), "{user}: {said}");
    }
    Ok(())
}

fn odd_files() -> Result<(), Failed> {
    let dir = TempDir::new();
    fs::create_dir(dir.join("etc"))?;
    let passwd = dir.join("etc/passwd");
    // The host's has a root too, but its own would be found if this led outside.
    symlink("../../../../../../etc/passwd", &passwd)?;
    assert!(ask(&dir, "root")?.is_err());
    fs::remove_file(&passwd)?;
    symlink("/proc/self/fd/0", &passwd)?;
    assert!(ask(&dir, "root")?.is_err());
    fs::remove_file(&passwd)?;
    sh(dir.path(), "mkfifo etc/passwd")?;
    assert!(ask(&dir, "root")?.expect_err("a fifo").contains("not a file"));
    fs::remove_file(&passwd)?;
    fs::create_dir(&passwd)?;
    assert!(ask(&dir, "0")?.expect_err("a directory").contains("not a file"));
    fs::remove_dir(&passwd)?;
    fs::File::create(&passwd)?.set_len(1 << 40)?;
    assert!(ask(&dir, "root")?.is_err());
    Ok(())
}
