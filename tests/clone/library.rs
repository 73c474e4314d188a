//! What the library promises beyond its program.
//!
//! A child is only ever made by a process with one thread, and the tests' own has
//! several. So each of these tests runs this program again, to play one part.

use std::convert::Infallible;
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use ch01_clone::{
    Context, Error, ExitStatus, Gate, IdMaps, Message, Namespace, Namespaces, Plan, Program,
    set_hostname, step,
};
use dockster_tests::{Failed, Need, Run, TempDir, Trial, trial, wait_until};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;

use crate::held::is_gone;

/// The variable that says which part this program plays.
pub const PART: &str = "DOCKSTER_TEST_PART";

pub fn trials() -> Vec<Trial> {
    let part = |name: &'static str, says: &'static str| {
        trial(&format!("library_{}", name.replace('-', "_")), &[], move || {
            let done = Run::new(std::env::current_exe()?).env(PART, name).success()?;
            if done.stdout == says { Ok(()) } else { Err(done.failed(&format!("not {says:?}"))) }
        })
    };
    vec![
        part(
            "two-threads",
            "clone3: clone3 from a process with 2 threads\n\
             a program that has threads starts another program for this\n",
        ),
        part("after-a-thread", "Exited(0)\n"),
        part("plain-child", "Exited(3)\n"),
        part("killed-child", "Signaled(9)\n"),
        part("error-crosses-the-gate", "made-up: open(\"/x\"): ENOTDIR (Not a directory), try y\n"),
        part("panic-is-an-error", "the child panicked\n"),
        part("waits-at-the-gate", "nothing before go\nExited(0)\n"),
        trial("library_parent_dies_at_the_gate", &[], the_parent_dies_at_the_gate),
        part("killed-at-the-gate", "the child died before execve: killed by SIGKILL\n"),
        trial("library_last_words_are_heard_after_a_reset", &[], last_words_after_a_reset),
        part("dropped-is-killed", "ECHILD\n"),
        part("a-long-error-is-cut", "1365\n"),
        part("memory-is-a-copy", "outside\n"),
        part("no-arguments", "no command given\n"),
        part("a-zero-byte", "a zero byte in [97, 0, 98]\n"),
        trial("library_a_plan_with_all_namespaces", &[Need::UserNamespaces], || {
            let done = Run::new(std::env::current_exe()?).env(PART, "all-namespaces").success()?;
            assert_eq!(done.stdout, "inside 1\nExited(0)\n");
            Ok(())
        }),
        trial("library_flags_are_spelled_as_in_the_manual", &[], flags_are_spelled),
    ]
}

/// Plays a part, and prints what came of it.
pub fn play(part: &str) {
    match part {
        "two-threads" => {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || stopped.recv());
            show(Plan::default().spawn(|_| unreachable!()).map(drop));
            drop(stop);
            let _ = thread.join();
        }
        "after-a-thread" => {
            std::thread::spawn(|| ()).join().expect("it does nothing");
            // Joined, it may still be counted for a moment.
            while fs::read_dir("/proc/self/task").map_or(0, Iterator::count) != 1 {}
            run("exit 0");
        }
        "plain-child" => run("exit 3"),
        "killed-child" => run("kill -9 $$"),
        "error-crosses-the-gate" => failing(|| {
            step!(
                "made-up",
                "",
                "",
                "never shown",
                Err::<Infallible, _>(Error::os("open(\"/x\")", Errno::ENOTDIR).hint("try y"))
            )
        }),
        "panic-is-an-error" => {
            std::panic::set_hook(Box::new(|_| ()));
            failing(|| panic!("on purpose"));
        }
        "waits-at-the-gate" => {
            let (reader, writer) = std::io::pipe().expect("a pipe");
            let child = Plan::default().spawn(|gate| {
                (&writer).write_all(b"x").expect("a reader");
                program("exit 0").find()?.exec(gate)
            });
            let mut said = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
            match poll(&mut said, 300u16).expect("poll") {
                0 => println!("nothing before go"),
                _ => println!("it did not wait"),
            }
            end(child);
        }
        "parent-dies-at-the-gate" => {
            let waiting = Plan::default().spawn(|_| {
                println!("it went on");
                Err(Error::new("it went on"))
            });
            println!("{}", waiting.as_ref().expect("a child").pid());
            // Not even destructors run, as if it were killed.
            std::process::exit(0);
        }
        "killed-at-the-gate" => {
            let waiting = Plan::default().spawn(|_| unreachable!()).expect("a child");
            nix::sys::signal::kill(waiting.pid(), nix::sys::signal::SIGKILL).expect("it is ours");
            // Its end of the gate is closed with it, and not before.
            while !crate::held::is_gone(waiting.pid().as_raw() as u32) {}
            match waiting.start() {
                Ok(_) => println!("it lives"),
                // Whether the gate was found closed by our word or by its silence.
                Err(error) => println!("{error}"),
            }
        }
        "dropped-is-killed" => {
            drop(Plan::default().spawn(|_| unreachable!()).expect("a child"));
            println!("{:?}", nix::sys::wait::wait().expect_err("no child is left"));
        }
        "a-long-error-is-cut" => {
            let waiting = Plan::default().spawn(|_| Err(Error::new("x".repeat(100_000))));
            let error = waiting.and_then(|w| w.start()).expect_err("it fails");
            println!("{}", error.call.len());
        }
        "memory-is-a-copy" => {
            let mut place = String::from("outside");
            let child = Plan::default().spawn(|gate| {
                place = "inside".to_owned();
                program("exit 0").find()?.exec(gate)
            });
            let (child, _) = child.and_then(|w| w.start()).expect("a child");
            child.wait().expect("its end");
            println!("{place}");
        }
        "no-arguments" => show(Program::new(Vec::<String>::new(), Vec::<String>::new())),
        "a-zero-byte" => show(Program::new(["a\0b"], Vec::<String>::new())),
        "all-namespaces" => {
            let plan = Plan {
                namespaces: Namespaces::of(Namespace::ALL),
                ids: Some(IdMaps::best()),
                cgroup: None,
            };
            let child = plan.spawn(|gate| {
                set_hostname("inside")?;
                program("echo $(uname -n) $$").find()?.exec(gate)
            });
            end(child);
        }
        "setgroups" => match nix::unistd::setgroups(&[]) {
            Ok(()) => println!("left them"),
            Err(errno) => println!("{errno:?}"),
        },
        other => panic!("no such part: {other}"),
    }
}

/// It must end, and must not take a step: nobody is left who would know of it.
fn the_parent_dies_at_the_gate() -> Result<(), Failed> {
    let dir = TempDir::new();
    let said = || fs::read_to_string(dir.join("said"));
    let mut parent = Command::new(std::env::current_exe()?);
    parent.env(PART, "parent-dies-at-the-gate").stdout(fs::File::create(dir.join("said"))?);
    assert!(parent.status()?.success());
    let child: u32 = said()?.lines().next().unwrap_or("").parse()?;
    let gone = wait_until("the child is gone", Duration::from_secs(3), || is_gone(child));
    if gone.is_err() {
        // Still there, so the number is still its own.
        kill(Pid::from_raw(child as i32), SIGKILL)?;
    }
    gone?;
    assert_eq!(said()?, format!("{child}\n"));
    Ok(())
}

/// Whoever dies with packets unread resets the connection. What it said before still counts.
fn last_words_after_a_reset() -> Result<(), Failed> {
    let (parent, child) = Gate::pair()?;
    parent.send(&Message::Go)?;
    child.send(&Message::Failed(Error::new("last words")))?;
    drop(child);
    match parent.receive()? {
        Some(Message::Failed(error)) => assert_eq!(error.to_string(), "last words"),
        other => return Err(format!("{other:?}").into()),
    }
    assert!(parent.receive()?.is_none(), "and then the end of file");
    Ok(())
}

fn program(script: &str) -> Program {
    Program::new(["sh", "-c", script], ["PATH=/usr/bin:/bin"]).expect("good arguments")
}

fn run(script: &str) {
    end(Plan::default().spawn(|gate| program(script).find()?.exec(gate)));
}

fn end(child: ch01_clone::Result<ch01_clone::Waiting>) {
    let status: ch01_clone::Result<ExitStatus> =
        child.and_then(|waiting| waiting.start()).and_then(|(child, _)| child.wait());
    println!("{:?}", status.expect("a child that ends"));
}

fn failing(body: impl FnOnce() -> ch01_clone::Result<Infallible>) {
    let child = Plan::default().spawn(|_| body()).and_then(|waiting| waiting.start());
    let error = child.map(drop).expect_err("it fails");
    match error.hint.clone() {
        Some(hint) => println!("{error}, {hint}"),
        None => println!("{error}"),
    }
}

fn show<T>(result: ch01_clone::Result<T>) {
    match result {
        Ok(_) => println!("it worked"),
        Err(error) => {
            println!("{error}");
            error.hint.iter().for_each(|hint| println!("{hint}"));
        }
    }
}

fn flags_are_spelled() -> Result<(), Failed> {
    let set = Namespaces::of([Namespace::Pid, Namespace::Mount]);
    assert_eq!(set.to_string(), "CLONE_NEWNS|CLONE_NEWPID");
    assert_eq!(Namespaces::NONE.to_string(), "0");
    assert!(set.has(Namespace::Pid) && !set.without(Namespace::Pid).has(Namespace::Pid));
    let missing = fs::read("/no/such/file").call(|| "read(/no/such/file)").expect_err("it fails");
    assert_eq!(missing.to_string(), "read(/no/such/file): ENOENT (No such file or directory)");
    assert_eq!((missing.exit_status(), missing.during("execve").exit_status()), (125, 127));
    Ok(())
}
