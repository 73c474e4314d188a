//! `--init`: a parent for the program, which reaps and forwards.

use dockster_tests::{Failed, Need, Trial, trial};

use crate::notes::{Made, create_as};

const NS: &[Need] = &[Need::UserNamespaces];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("init_reaps_orphans", NS, reaps_orphans),
        trial("init_passes_signals_on", NS, passes_signals_on),
        trial("init_ends_as_the_program_ends", NS, ends_as_the_program),
    ]
}

/// Three helpers come and go: then number 1 and the shell are alone, zombies counted.
fn reaps_orphans() -> Result<(), Failed> {
    let script = "(true &); (true &); (true &); i=0; while [ $i -lt 50 ]; do \
                  set -- /proc/[0-9]*; [ $# -eq 2 ] && exit 0; \
                  sleep 0.1; i=$((i+1)); done; echo $# are left; exit 1";
    let made = Made::new(script)?;
    made.runtime("run --init ID").success()?;
    made.end()
}

/// Nobody but number 1 is told.
fn passes_signals_on() -> Result<(), Failed> {
    let made = Made::new("trap 'exit 0' TERM; while :; do sleep 0.1; done")?;
    create_as(&made, "create --init ID")?;
    made.runtime("start ID").success()?;
    made.wait_for("running")?;
    // The shell may not have set its trap yet: then it ends by the signal. Either way it ends.
    made.runtime("kill ID TERM").success()?;
    made.wait_for("stopped")?;
    made.end()
}

fn ends_as_the_program() -> Result<(), Failed> {
    for (script, status) in [("exit 7", 7), ("kill -9 $$", 137)] {
        let made = Made::new(script)?;
        made.runtime("run --init ID").code(status)?;
        made.end()?;
    }
    Ok(())
}
