//! A real Debian: imported, and lived in.

use dockster_tests::{Failed, Need, Trial, debian, host, wait_until};

use crate::tools::{House, PATIENCE, beside, status_field, wait_for_process};

pub fn trials() -> Vec<Trial> {
    // An ordinary user gets Debian's owners only with ids of their own.
    let needs: &[Need] = if host().root { &[] } else { &[Need::IdRanges] };
    let needs = [&[Need::Debian], needs].concat();
    vec![beside("debian_feels_like_debian", &needs, debian_feels_like_debian)]
}

fn debian_feels_like_debian() -> Result<(), Failed> {
    let archive = debian().ok_or("there is no Debian")?;
    let house = House::empty();
    house.dockster(["import"]).arg(&archive).arg("debian").success()?;
    owners_and_links(&house)?;
    processes(&house)?;
    a_terminal(&house)?;
    house.nothing_left()
}

/// What a container cannot do without: set-uid programs, groups, merged /usr.
fn owners_and_links(house: &House) -> Result<(), Failed> {
    let script = "stat -c '%a %U:%G' /usr/bin/passwd /etc/shadow /tmp; readlink /bin; \
                  id -un; su nobody -s /bin/sh -c 'id -un; cat /etc/shadow' 2>&1; dpkg --audit";
    let done = house.run(["debian", "bash", "-c", script]).success()?;
    done.says("4755 root:root\n640 root:shadow\n1777 root:root\nusr/bin\nroot\nnobody\n")?;
    done.says("Permission denied")?;
    Ok(())
}

fn processes(house: &House) -> Result<(), Failed> {
    let done =
        house.run(["-h", "harbour", "debian", "bash", "-c", "ps -e -o pid=,comm=; hostname; true"]);
    let done = done.success()?;
    let lines: Vec<_> = done.stdout.lines().map(str::trim).collect();
    assert!(lines.len() == 3 && lines[0] == "1 bash" && lines[1].ends_with(" ps"), "{lines:?}");
    assert_eq!(lines[2], "harbour");
    Ok(())
}

/// Size, Ctrl-C, job control, exit status.
fn a_terminal(house: &House) -> Result<(), Failed> {
    let mut terminal = house.terminal(["-it", "debian", "bash"])?;
    terminal.wait_for("# ")?;
    terminal.type_keys("stty size; tty\r")?;
    terminal.wait_for("30 100\n/dev/pts/0\n")?;
    let runtime = terminal.pid() as i32;
    terminal.type_keys("sleep 1000\r")?;
    let sleep = wait_for_process(runtime, "sleep 1000")?;
    terminal.type_keys("\x1a")?;
    terminal.wait_for("Stopped")?;
    terminal.type_keys("fg\r")?;
    let state = |letter: char| status_field(sleep, "State").is_some_and(|s| s.starts_with(letter));
    wait_until("fg lets it go on", PATIENCE, || state('S'))?;
    terminal.type_keys("\x03")?;
    wait_until("Ctrl-C ends it", PATIENCE, || !state('S'))?;
    terminal.type_keys("exit 5\r")?;
    assert_eq!(terminal.finish()?.code(), Some(5));
    Ok(())
}
