//! `Root` under attack: whatever is done to the tree meanwhile, nothing outside is
//! opened or made.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use ch02_chroot::Root;
use ch02_chroot::root::{reopen, stat};
use dockster_tests::{Failed, TempDir, Trial, trial};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};

/// How often each attacked call is made, and for how long at most.
const ITERATIONS: u32 = 5000;
const LONGEST: Duration = Duration::from_secs(5);

pub fn trials() -> Vec<Trial> {
    vec![
        trial("dots_stay_inside", &[], dots_stay_inside),
        trial("links_stay_inside", &[], links_stay_inside),
        trial("magic_links_are_refused", &[], magic_links_are_refused),
        trial("what_does_not_end_in_a_name_is_refused", &[], no_name),
        trial("making_does_not_follow_a_dangling_link", &[], no_dangling_link),
        trial("a_file_in_the_way_is_an_error", &[], a_file_in_the_way),
        trial("lookups_beside_a_link_that_comes_and_goes", &[], swapped_lookup),
        trial("directories_made_beside_a_link_that_comes_and_goes", &[], swapped_make_dir),
        trial("files_made_beside_a_link_that_comes_and_goes", &[], swapped_make_file),
        trial("links_made_beside_a_link_that_comes_and_goes", &[], swapped_make_link),
        trial("lookups_beside_a_directory_that_moves_out", &[], moved_out),
    ]
}

/// A root, and beside it what must never be reached.
struct Place {
    dir: TempDir,
    root: Root,
}

impl Place {
    fn new() -> Result<Place, Failed> {
        let dir = TempDir::new();
        for name in ["root/a/b", "root/outside", "outside"] {
            fs::create_dir_all(dir.join(name))?;
        }
        fs::write(dir.join("root/a/b/file"), "inside")?;
        fs::write(dir.join("root/file"), "inside")?;
        fs::write(dir.join("outside/file"), "outside")?;
        fs::write(dir.join("file"), "outside")?;
        let root = Root::open(&dir.join("root"))?;
        Ok(Place { dir, root })
    }

    fn read(&self, path: impl AsRef<Path>) -> ch01_clone::Result<String> {
        let file = self.root.lookup(path, OFlag::O_RDONLY)?;
        Ok(std::io::read_to_string(fs::File::from(file)).unwrap_or_else(|e| e.to_string()))
    }

    /// Outside is as it was made.
    fn untouched(&self) -> Result<(), Failed> {
        let names = |path: &str| -> Result<Vec<_>, Failed> {
            let names = fs::read_dir(self.dir.join(path))?;
            let mut names: Vec<_> =
                names.flatten().map(|e| e.file_name().into_string().unwrap()).collect();
            names.sort();
            Ok(names)
        };
        assert_eq!(names("outside")?, ["file"]);
        let here = names(".")?;
        assert_eq!(
            here.iter().filter(|n| *n != "swap").collect::<Vec<_>>(),
            ["file", "outside", "root"]
        );
        assert_eq!(fs::read_to_string(self.dir.join("outside/file"))?, "outside");
        Ok(())
    }
}

fn dots_stay_inside() -> Result<(), Failed> {
    let place = Place::new()?;
    for path in ["file", "/file", "../file", "../../../file", "/../file", "a/../../file", "./file"]
    {
        assert_eq!(place.read(path)?, "inside", "{path}");
    }
    let root = fs::metadata(place.dir.join("root"))?;
    for path in ["", "/", ".", "..", "a/../..", "/../.."] {
        assert_eq!(stat(place.root.handle(path)?)?.st_ino, root.ino(), "{path:?}");
    }
    Ok(())
}

fn links_stay_inside() -> Result<(), Failed> {
    let place = Place::new()?;
    let outside = place.dir.join("outside");
    let links = [
        ("absolute", outside.clone()),
        ("dotted", "../outside".into()),
        ("many", "../../../../../../outside".into()),
        ("rooted", "/outside".into()),
    ];
    for (name, target) in &links {
        symlink(target, place.dir.join("root").join(name))?;
        // Inside there is an empty directory of that name, or nothing.
        let error = place.read(format!("{name}/file")).expect_err(name);
        assert_eq!(error.errno, Some(Errno::ENOENT), "{name}: {error}");
    }
    symlink("/a/b", place.dir.join("root/good"))?;
    assert_eq!(place.read("good/file")?, "inside");
    symlink("loop", place.dir.join("root/loop"))?;
    assert_eq!(place.read("loop").expect_err("a loop").errno, Some(Errno::ELOOP));
    // Made through them: inside, or not at all.
    for (name, _) in &links {
        let _ = place.root.make_dir(format!("{name}/new"), 0o755);
        let _ = place.root.make_file(format!("{name}/new-file"));
        let _ = place.root.make_link("x", format!("{name}/new-link"));
    }
    place.untouched()
}

fn magic_links_are_refused() -> Result<(), Failed> {
    let proc = Root::open(Path::new("/proc"))?;
    for path in ["self/root", "self/cwd", "self/exe", "self/root/etc/passwd", "self/fd/0"] {
        let error = proc.lookup(path, OFlag::O_PATH).expect_err(path);
        assert_eq!(error.errno, Some(Errno::ELOOP), "{path}: {error}");
    }
    Ok(())
}

fn no_name() -> Result<(), Failed> {
    let place = Place::new()?;
    for path in ["missing/..", "missing/../.."] {
        assert!(place.root.make_dir(path, 0o755).is_err(), "{path}");
        assert!(place.root.make_link("x", path).is_err(), "{path}");
    }
    for path in ["..", "/", ""] {
        assert!(place.root.make_link("x", path).is_err(), "{path}");
    }
    place.untouched()
}

fn no_dangling_link() -> Result<(), Failed> {
    let place = Place::new()?;
    symlink(place.dir.join("outside/new"), place.dir.join("root/dangling"))?;
    symlink("../outside/new", place.dir.join("root/dotted"))?;
    for name in ["dangling", "dotted"] {
        assert!(place.root.make_dir(name, 0o755).is_err(), "{name}");
        assert!(place.root.make_file(name).is_err(), "{name}");
    }
    place.root.make_link("elsewhere", "dangling")?;
    assert_eq!(fs::read_link(place.dir.join("root/dangling"))?, place.dir.join("outside/new"));
    place.untouched()
}

fn a_file_in_the_way() -> Result<(), Failed> {
    let place = Place::new()?;
    let error = place.root.make_dir("file/deeper", 0o755).expect_err("a file is no directory");
    assert_eq!(error.errno, Some(Errno::ENOTDIR));
    assert_eq!(place.root.make_dir("file", 0o755).expect_err("either").errno, Some(Errno::ENOTDIR));
    // What is there already stays what it is.
    place.root.make_file("file")?;
    assert_eq!(place.read("file")?, "inside");
    let again = place.root.make_dir("a/b", 0o700)?;
    assert_eq!(stat(again.as_fd())?.st_mode & 0o777, 0o755);
    Ok(())
}

/// Calls `attack` again and again, while `root/place`, a directory, and a link to the
/// outside change places. Both sides must have had their turns.
fn while_swapped(
    place: &Place,
    target: &Path,
    mut attack: impl FnMut(u32) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let (directory, link) = (place.dir.join("root/place"), place.dir.join("root/swap"));
    fs::create_dir(&directory)?;
    symlink(target, &link)?;
    let (stop, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                let swapped =
                    renameat2(AT_FDCWD, &directory, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE);
                swapped.expect("both are there");
                swaps.fetch_add(1, Relaxed);
            }
        });
        let start = Instant::now();
        let mut outcome = Ok(());
        for number in 0.. {
            outcome = attack(number);
            // On a busy machine the other side may need a while for its turns.
            let enough = number >= ITERATIONS && swaps.load(Relaxed) >= 100;
            if outcome.is_err() || enough || start.elapsed() > LONGEST {
                break;
            }
        }
        stop.store(true, Relaxed);
        outcome
    })?;
    assert!(swaps.load(Relaxed) > 0, "the other side had no turn");
    Ok(())
}

/// What may be answered while the tree changes: no, or try again later.
fn allowed(error: &ch01_clone::Error) -> bool {
    use Errno::{EAGAIN, EEXIST, ELOOP, ENOENT, ENOTDIR};
    matches!(error.errno, Some(ENOENT | EAGAIN | ENOTDIR | ELOOP | EEXIST))
}

fn each_target(
    attack: impl Fn(&Place, u32) -> Result<(), ch01_clone::Error>,
) -> Result<(), Failed> {
    for kind in ["absolute", "dotted", "one up"] {
        let place = Place::new()?;
        let target = match kind {
            "absolute" => place.dir.join("outside"),
            "dotted" => "../outside".into(),
            _ => "..".into(),
        };
        while_swapped(&place, &target, |number| match attack(&place, number) {
            Err(error) if !allowed(&error) => Err(format!("{kind}: {error}").into()),
            _ => Ok(()),
        })?;
        place.untouched()?;
    }
    Ok(())
}

fn swapped_lookup() -> Result<(), Failed> {
    each_target(|place, _| {
        for path in ["place/file", "place/../file", "place/../../file", "a/../place/file"] {
            let text = place.read(path)?;
            assert_eq!(text, "inside", "{path}");
        }
        Ok(())
    })
}

fn swapped_make_dir() -> Result<(), Failed> {
    each_target(|place, number| {
        place.root.make_dir(format!("place/new-{}/deeper", number % 50), 0o755).map(drop)
    })
}

fn swapped_make_file() -> Result<(), Failed> {
    each_target(|place, number| {
        let file = place.root.make_file(format!("place/new-{}", number % 50))?;
        // Opened again by descriptor, it is that file and no other.
        let again = reopen(file.as_fd(), OFlag::O_RDONLY)?;
        assert_eq!(stat(again)?.st_ino, stat(file)?.st_ino);
        Ok(())
    })
}

fn swapped_make_link() -> Result<(), Failed> {
    each_target(|place, number| place.root.make_link("x", format!("place/l-{}", number % 50)))
}

/// A directory inside is moved out and back while `..` is looked up from within it.
fn moved_out() -> Result<(), Failed> {
    let place = Place::new()?;
    let (inside, outside) = (place.dir.join("root/a/b"), place.dir.join("swap"));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| -> Result<(), Failed> {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                fs::rename(&inside, &outside).expect("it is inside");
                fs::rename(&outside, &inside).expect("it is outside");
            }
        });
        let start = Instant::now();
        let mut wrong = None;
        for _ in 0..ITERATIONS {
            match place.read("a/b/../../file") {
                Ok(text) if text != "inside" => wrong = Some(text),
                // EXDEV: where it got to is not below the root any more.
                Err(error) if !allowed(&error) && error.errno != Some(Errno::EXDEV) => {
                    wrong = Some(error.to_string());
                }
                _ => {}
            }
            if wrong.is_some() || start.elapsed() > LONGEST {
                break;
            }
        }
        stop.store(true, Relaxed);
        wrong.map_or(Ok(()), |wrong| Err(wrong.into()))
    })?;
    place.untouched()
}
