//! Where overlayfs is refused to an ordinary user: containers have copies of their images.

use std::fs;

use dockster_tests::{Failed, Need, Run, TempDir, Trial, busybox_rootfs};

use crate::tools::{DOCKSTER, PATIENCE, beside};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("without_overlayfs_containers_have_copies", &[Need::UserNamespaces], copies),
        beside("a_copy_of_many_layers", &[Need::UserNamespaces], layers),
    ]
}

/// Runs a script as root of a user namespace, whose DOCKSTER_ROOT lies on an overlay: no other
/// one can be laid over that. There is a root file system in `tree`.
fn on_an_overlay(script: &str) -> Result<String, Failed> {
    let dir = TempDir::new();
    fs::create_dir(dir.join("tree"))?;
    busybox_rootfs(&dir.join("tree"))?;
    fs::write(dir.join("script"), script)?;
    // What lies in there belongs to somebody who is nobody outside.
    let whole = "mkdir l u w m; mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w,userxattr m
        export DOCKSTER_ROOT=$PWD/m/root; status=0; sh -eu script || status=$?
        umount m; rm -rf l u w m; exit $status";
    let run =
        Run::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-ec", whole]);
    let run = run.dir(dir.path()).env("D", DOCKSTER).limit(4 * PATIENCE);
    let done = run.success()?;
    // It is said once, however many there are.
    let said = done.stderr.lines().filter(|line| line.contains("overlayfs says")).count();
    if said != 1 {
        return Err(done.failed("it should say once that there is no overlayfs"));
    }
    Ok(done.stdout)
}

fn copies() -> Result<(), Failed> {
    let said = on_an_overlay(
        r#"echo one >tree/etc/one; echo two >tree/etc/two; ln tree/etc/one tree/etc/linked
        $D import tree box >ids
        $D run --name first box sh -c '
            stat -c %h /etc/one; cat /etc/one; rm /etc/two; echo new >/etc/new; chmod 700 /home'
        # It goes on with what it has; the image, and another container, have all of it.
        $D start -a first 2>again
        $D run --rm box cat /etc/two
        $D diff first | grep -v -e /dev -e /proc -e /sys
        $D cp first:/etc/new out; cat out; $D cp out first:/home/in; $D export first | tar -xOf - home/in
        $D commit first second >ids
        $D run --rm second sh -c 'ls /etc/two 2>&1; cat /etc/new; stat -c "%h %a" /etc/one /home'
        mkdir context; printf 'FROM box\nRUN rm /etc/two && echo built >/etc/built\n' >context/Dockerfile
        $D build -t third context >ids; $D run --rm third sh -c 'ls /etc/two 2>&1; cat /etc/built'
        $D rm first >ids; ls -A m/root/containers"#,
    )?;
    let wanted = "2\none\n2\none\ntwo\nC /etc\nA /etc/new\nD /etc/two\nC /home\nnew\nnew\n\
                  ls: /etc/two: No such file or directory\nnew\n2 644\n2 700\n\
                  ls: /etc/two: No such file or directory\nbuilt\n";
    assert_eq!(said, wanted);
    Ok(())
}

fn layers() -> Result<(), Failed> {
    let said = on_an_overlay(
        r#"$D import tree box >ids; mkdir context
        { echo FROM box; for n in $(seq 30); do echo COPY file /$n/file; done; } >context/Dockerfile
        echo x >context/file; $D build -t many context >ids
        $D run --rm many sh -c 'cat /*/file' | wc -l"#,
    )?;
    assert_eq!(said.trim(), "30");
    Ok(())
}
