//! What was changed over an image becomes one more layer, and the tree is the same.

use std::fs;

use dockster_tests::{Failed, Trial, trial};

use crate::layers::assert_same;
use crate::tools::{Place, Who, helper_run, needs, outcome, run_as, sh};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("changes_become_a_layer", &needs(&[]), changes),
        trial("a_base_that_went_away_is_missed", &needs(&[]), went_away),
        trial("a_file_called_like_a_whiteout_is_refused", &needs(&[]), like_a_whiteout),
    ]
}

/// The image `base`, and a directory for what is written over it.
fn prepare(tree: &str) -> Result<Place, Failed> {
    let place = Place::new();
    sh(place.path(), &format!("mkdir base kept again; cd base; {tree}"))?;
    outcome(helper_run("import").arg(place.join("store")).arg(place.join("base")).arg("base"))??;
    Ok(place)
}

/// The tree of an image after `script` has changed it, the root itself left out.
fn merged(place: &Place, name: &str, kept: &str, script: &str) -> Result<String, Failed> {
    let run = run_as(Who::Root, "unshare").arg("--mount").arg(std::env::current_exe()?);
    let run = run.args(["helper", "merged"]).arg(place.join("store")).arg(name);
    let tree = run.arg(place.join(kept)).arg(script).success()?.stdout;
    Ok(tree.lines().skip(1).map(|line| format!("{line}\n")).collect())
}

fn add_layer(place: &Place, name: &str) -> Result<Result<String, String>, Failed> {
    let run = helper_run("add-layer").arg(place.join("store")).arg("base");
    outcome(run.arg(place.join("kept/upper")).arg(name))
}

fn changes() -> Result<(), Failed> {
    let place = prepare(
        "mkdir -p etc opt/a/b var/empty; echo 1 >etc/one; echo 2 >etc/two; echo 3 >opt/a/b/three
         ln -s etc link; chmod 700 var/empty",
    )?;
    let script = "
        rm etc/one; echo more >>etc/two; chown 7:8 etc/two; chmod 4755 etc/two
        rm -r opt/a; mkdir opt/a; echo new >opt/a/new; ln opt/a/new opt/a/other; ln -s new opt/a/link
        rm link; mkdir link; mkfifo var/fifo; truncate -s 1M var/holes; touch -d @1.5 opt/a/new
        rmdir var/empty; setfattr -n user.k -v v etc/two || :";
    let ours = merged(&place, "base", "kept", script)?;
    let id = add_layer(&place, "new")??;
    assert_same(&ours, &merged(&place, "new", "again", "")?);
    // Nothing of the overlay's own notes is in it, and the same changes give the same image.
    assert!(!ours.contains("overlay"), "{ours}");
    assert_eq!(id, add_layer(&place, "same")??);
    assert_eq!(fs::read_dir(place.join("store/ingest"))?.count(), 0);
    Ok(())
}

/// Somebody removes it just before.
fn went_away() -> Result<(), Failed> {
    let place = prepare("mkdir etc; echo 1 >etc/one")?;
    sh(place.path(), "mkdir -p kept/upper/etc; echo 2 >kept/upper/etc/two")?;
    let error = add_layer(&place, "late")?.expect_err("its lower layer is gone");
    assert!(error.contains("the image was removed while it was built upon"), "{error}");
    assert_eq!(outcome(helper_run("images").arg(place.join("store")))??, "");
    Ok(())
}

fn like_a_whiteout() -> Result<(), Failed> {
    let place = prepare("mkdir etc")?;
    merged(&place, "base", "kept", "echo x >etc/.wh.passwd")?;
    let error = add_layer(&place, "new")?.expect_err("it would remove etc/passwd");
    assert!(error.contains("would be a whiteout"), "{error}");
    Ok(())
}
