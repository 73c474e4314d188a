//! Signals for the runtime are meant for the container.

use std::fs;
use std::thread;
use std::time::Duration;

use dockster_tests::{Failed, Trial, host, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::tools::{Background, House, PATIENCE, beside, descendants, init_of, status_field};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("signals_reach_the_first_process", &[], signals_reach_the_first_process),
        beside("a_first_process_that_is_killed", &[], a_first_process_that_is_killed),
        beside("init_reaps_whoever_lost_their_parent", &[], init_reaps),
        beside("init_forwards_and_ends_with_the_status", &[], init_forwards),
        beside("three_interrupts_end_whoever_ignores_them", &[], three_interrupts),
        beside("an_interrupt_at_any_moment_leaves_nothing", &[], an_interrupt_at_any_moment),
        beside("an_interrupt_at_a_step_leaves_nothing", &[], an_interrupt_at_a_step),
    ]
}

/// A shell that waits for a signal and has a word for it.
fn waiting(house: &House, trap: &str) -> Result<Background, Failed> {
    let script = format!("trap {trap}; echo ready; while :; do sleep 0.05; done");
    Background::ready(house.sh([], &script))
}

fn signals_reach_the_first_process() -> Result<(), Failed> {
    let house = House::new()?;
    let signals = [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGQUIT, "QUIT"),
        (Signal::SIGUSR1, "USR1"),
        (Signal::SIGUSR2, "USR2"),
    ];
    for (signal, name) in signals {
        let mut run = waiting(&house, &format!("'exit 7' {name}"))?;
        run.signal(signal)?;
        assert_eq!(run.status()?.code(), Some(7), "{name}");
    }
    house.nothing_left()
}

fn a_first_process_that_is_killed() -> Result<(), Failed> {
    let house = House::new()?;
    let mut run = waiting(&house, "- INT")?;
    let init = init_of(run.pid()).ok_or("no first process")?;
    // From outside of its namespace even number 1 can be killed.
    kill(Pid::from_raw(init), Signal::SIGKILL)?;
    assert_eq!(run.status()?.code(), Some(137));
    house.nothing_left()
}

/// Whether none of the runtime's processes still has the signal to read.
fn received(run: &Background, signal: Signal) -> bool {
    let init = init_of(run.pid());
    let mut runtime = descendants(run.pid());
    runtime.retain(|pid| {
        Some(*pid) != init && init.is_none_or(|init| !descendants(init).contains(pid))
    });
    runtime.push(run.pid());
    runtime.iter().all(|pid| {
        let bits = status_field(*pid, "ShdPnd").and_then(|b| u64::from_str_radix(&b, 16).ok());
        bits.is_none_or(|bits| bits >> (signal as u32 - 1) & 1 == 0)
    })
}

fn three_interrupts() -> Result<(), Failed> {
    let house = House::new()?;
    let mut run = waiting(&house, "'' INT")?;
    for number in 1..=2 {
        run.signal(Signal::SIGINT)?;
        wait_until("it has received the interrupt", PATIENCE, || received(&run, Signal::SIGINT))?;
        assert!(!run.ended(), "it has ended after interrupt {number}");
    }
    // An ordinary user's runtime is two processes, and on the way from one to the other
    // two interrupts may become one: so here the third, and more if need be.
    wait_until("interrupts end it", PATIENCE, || {
        let sent = run.signal(Signal::SIGINT);
        sent.is_err() || run.ended()
    })?;
    assert_eq!(run.status()?.code(), Some(137));
    house.nothing_left()
}

/// Wherever it is just then: it ends, and nothing is left.
fn an_interrupt_at_any_moment() -> Result<(), Failed> {
    let house = House::new()?;
    for round in 0..20 {
        let mut run = Background::start(house.run(["--name", "again", "busybox", "true"]))?;
        thread::sleep(Duration::from_micros(700 * round) * host().scale);
        run.signal(Signal::SIGINT)?;
        // The runtime itself dies of it, or reports it, or the container was faster.
        run.status()?;
    }
    house.dockster(["ps"]).success()?;
    house.nothing_left()
}

/// The same at moments that are known, and without a next command that clears away.
fn an_interrupt_at_a_step() -> Result<(), Failed> {
    let house = House::new()?;
    for step in ["record", "clone3", "rootfs", "pivot_root", "credentials", "execve"] {
        let option = format!("--pause={step}");
        let mut terminal = house.terminal(["--name", "again", &option, "busybox", "true"])?;
        terminal.wait_for(&format!("Paused before `{step}`"))?;
        terminal.type_keys("\x03")?;
        let status = terminal.finish()?;
        assert!(matches!(status.code(), Some(125 | 126 | 130)), "{step}: {status}");
        let left = fs::read_dir(house.root().join("containers"))?.count();
        assert_eq!(left, 0, "after Ctrl-C at {step} a container is left");
        house.nothing_left()?;
    }
    Ok(())
}

/// The orphans of a PID 1 that does not know its duties stay zombies; those of init go.
fn init_reaps() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "for i in 1 2 3; do sh -c 'sleep 0 & exec true'; done; \
        z() { for f in /proc/[0-9]*/stat; do read -r l 2>/dev/null <$f; \
            case $l in *') Z '*) return 0;; esac; done; return 1; }; \
        n=0; while z; do n=$((n + 1)); [ $n -gt 200 ] && exit 9; sleep 0.05; done; \
        cat /proc/1/comm; echo $$";
    let done = house.sh(["--init"], script).success()?;
    assert_eq!(done.stdout, "init\n2\n");
    // What the runtime was started with is not for the container to read.
    let peek = "cat /proc/1/environ /proc/1/cmdline | tr -d '\\0'";
    assert_eq!(house.sh(["--init"], peek).env("SECRET", "sesame").success()?.stdout, "");
    house.nothing_left()
}

fn init_forwards() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = Background::ready(house.sh(["--init"], script))?;
    run.signal(Signal::SIGTERM)?;
    assert_eq!(run.status()?.code(), Some(7));
    // Without a handler: PID 1 would not notice, PID 2 does.
    let mut run = Background::ready(house.sh(["--init"], "echo ready; exec sleep 1000"))?;
    run.signal(Signal::SIGTERM)?;
    assert_eq!(run.status()?.code(), Some(143));
    house.sh(["--init"], "kill -9 $$").code(137)?;
    house.run(["--init", "busybox", "missing"]).code(127)?;
    house.nothing_left()
}
