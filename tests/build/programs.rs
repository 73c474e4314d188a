//! `RUN`: what a program finds, what stays of it, and how it ends.

use dockster_tests::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::tools::{Background, House, beside, wait_for_process};
use crate::workshop::Workshop;

pub fn trials() -> Vec<Trial> {
    vec![
        beside("programs_find_what_was_said_before_them", &[], found),
        beside("changes_and_removals_are_in_the_layer", &[], changes),
        beside("what_is_mounted_is_not_in_the_layer", &[], mounted),
        beside("caches_are_kept_and_leave_no_trace", &[], caches),
        beside("secrets_stay_secret", &[], secrets),
        beside("programs_reach_others", &[], fetched),
        beside("programs_get_the_network_that_was_said", &[], networks),
        beside("here_documents_are_run", &[], documents),
        beside("a_program_that_fails_ends_the_build", &[], failing),
        beside("a_quiet_build_says_only_the_id", &[], quiet),
        beside("a_build_that_is_interrupted_leaves_nothing", &[], interrupted),
    ]
}

fn found() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    shop.image(
        "FROM busybox\nENV A=\"a b\"\nWORKDIR /w\nUSER user\nRUN id -u >/tmp/said; pwd >>/tmp/said
RUN [\"sh\", \"-c\", \"echo $A, $0 >>/tmp/said\", \"zero\"]\nUSER root\nSHELL [\"/bin/sh\", \"-euc\"]
RUN echo $- >>/tmp/said; hostname >>/tmp/said\nRUN echo one \\\n  # between\n  two >>/tmp/said\n",
    )?;
    let said = shop.says("cat /tmp/said")?;
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[..3], ["1000", "/w", "a b, zero"]);
    assert!(lines[3].contains('e') && lines[3].contains('u'), "{said}");
    assert_eq!(lines[4..], ["dockster-build", "one two"]);
    shop.house.nothing_left()
}

fn changes() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    shop.image(
        "FROM busybox\nRUN mkdir -p /d/e; echo 1 >/d/one; echo 2 >/d/e/two
RUN rm -r /d/e /etc/group; mkdir /d/e; echo 3 >/d/e/three; ln /d/one /d/same; chown 5:6 /d/same; chmod 4755 /d/one
VOLUME /v\nRUN mkdir -p /v; echo kept >/v/file\n",
    )?;
    let said = shop
        .says("ls /d/e; test -e /etc/group || echo gone; stat -c '%a %u:%g %h' /d/one /d/same")?;
    assert_eq!(said, "three\ngone\n4755 5:6 2\n4755 5:6 2\n");
    let words = ["run", "--rm", "--entrypoint", "cat", "it", "/v/file"];
    assert_eq!(shop.house.dockster(words).success()?.stdout, "kept\n");
    // What the image was made of is as it was.
    shop.house.sh([], "test -e /etc/group && test ! -e /d").success()?;
    Ok(())
}

/// In a root that has no place for it, either.
fn mounted() -> Result<(), Failed> {
    let house = House::with(|tree| {
        Ok(["dev", "proc", "sys"]
            .iter()
            .try_for_each(|name| std::fs::remove_dir(tree.join(name)))?)
    })?;
    let shop = Workshop::in_house(house, &[])?;
    shop.image("FROM busybox\nRUN test -e /proc/self/exe && echo 1 >/made\n")?;
    shop.write("Dockerfile", "FROM busybox\nCOPY --from=it / /found/\n")?;
    shop.build(["-t", "seen"]).success()?;
    let words = ["seen", "sh", "-c", "cat /found/made; ls -A /found"];
    let seen = shop.house.run(words).success()?.stdout;
    let names: Vec<_> = seen.lines().collect();
    assert!(names.contains(&"1") && names.contains(&"bin"), "{seen}");
    assert!(!names.iter().any(|name| ["dev", "proc", "sys"].contains(name)), "{seen}");
    shop.house.nothing_left()
}

fn caches() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    let dockerfile = |what: &str| {
        format!(
            "FROM busybox\nARG DIR=/a/b\nRUN --mount=type=cache,target=$DIR/c --mount=type=tmpfs,dst=/t/u \\
 echo {what} >>/a/b/c/all; touch /t/u/file; stat -f -c %T /t/u >/said; cat /a/b/c/all >>/said\n"
        )
    };
    shop.image(&dockerfile("one"))?;
    shop.image(&dockerfile("two"))?;
    assert_eq!(
        shop.says("cat /said; ls -d /a /t 2>/dev/null || echo none")?,
        "tmpfs\none\ntwo\nnone\n"
    );
    // The same directory by its id, elsewhere; what was there before stays there.
    shop.image(
        "FROM busybox\nRUN mkdir /d && echo below >/d/file
RUN --mount=type=cache,id=/a/b/c,target=/d,ro cat /d/all >/said; touch /d/x 2>/dev/null || echo ro >>/said\n",
    )?;
    assert_eq!(shop.says("cat /said; ls /d")?, "one\ntwo\nro\nfile\n");
    shop.house.dockster(["builder", "prune", "-f"]).success()?;
    shop.image(&dockerfile("three"))?;
    assert_eq!(shop.says("cat /said")?, "tmpfs\nthree\n");
    for (flag, why) in [
        ("type=bind,target=/x", "RUN --mount=type=bind is not known here"),
        ("type=secret", "wants an id"),
        ("type=secret,id=x,required", "secret \"x\" was not given"),
        ("type=cache", "there is no target"),
        ("type=cache,target=/x,uid=1", "does not know \"uid=1\""),
        ("type=tmpfs,target=/x,id=y", "has only a target"),
    ] {
        shop.fails(&format!("FROM busybox\nRUN --mount={flag} true\n"))?.complains(why)?;
    }
    shop.house.nothing_left()
}

fn secrets() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    let key = shop.house.join("key");
    std::fs::write(&key, "open sesame")?;
    let run = "RUN --mount=type=secret,id=key --mount=type=secret,id=key,target=/k/ey";
    let more = "--mount=type=secret,id=none";
    shop.write(
        "Dockerfile",
        &format!(
            "FROM busybox\n{run} {more} wc -c </run/secrets/key >/said; wc -c </k/ey >>/said; \\
 echo x 2>/dev/null >/k/ey || ls /run/secrets >>/said\n"
        ),
    )?;
    let secret = format!("id=key,src={}", key.display());
    shop.build(["-t", "it", "--secret", &secret]).success()?;
    assert_eq!(
        shop.says("cat /said; ls -d /run/secrets /k 2>/dev/null || echo none")?,
        "11\n11\nkey\nnone\n"
    );
    assert_eq!(std::fs::read_to_string(&key)?, "open sesame");
    // Nothing of it is anywhere in the store.
    let find = dockster_tests::Run::new("grep").args(["-r", "sesame"]).arg(shop.house.root());
    find.code(1)?;
    shop.build(["--secret", "id=key,src=/no/file"]).code(1)?.complains("secret key: open")?;
    shop.build(["--secret", "key"]).code(1)?.complains("invalid secret")?;
    shop.house.nothing_left()
}

fn documents() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    shop.image(
        "FROM busybox\nENV A=1\nRUN <<EOF\necho first $A >/said\nB=2\necho $B >>/said\nEOF
RUN cat <<ONE >>/said && cat <<'TWO' >>/said\n$A\nONE\n$A\nTWO\n",
    )?;
    assert_eq!(shop.says("cat /said")?, "first 1\n2\n1\n$A\n");
    let done = shop.fails("FROM busybox\nRUN <<EOF\n#!/bin/sh\nEOF\n")?;
    done.complains("Dockerfile:2: a here-document with an interpreter")?;
    Ok(())
}

fn failing() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    shop.write("Dockerfile", "FROM busybox\nRUN echo before\nRUN echo why >&2; exit 42\n")?;
    let done = shop.build(["-t", "it"]).code(42)?;
    let text =
        "Dockerfile:3: The command '/bin/sh -c echo why >&2; exit 42' returned a non-zero code: 42";
    done.complains(text)?.complains("before\n")?.complains("why\n")?;
    shop.write("Dockerfile", "FROM busybox\nRUN [\"/no/program\"]\n")?;
    shop.build(["-t", "it"]).code(127)?.complains("Dockerfile:2: execve: ")?;
    // In quiet, too, it is heard why.
    shop.write("Dockerfile", "FROM busybox\nRUN echo why >&2; exit 42\n")?;
    let done = shop.build(["-q"]).code(42)?;
    done.complains("why\n")?;
    assert_eq!(done.stdout, "");
    shop.house.dockster(["image", "inspect", "it"]).code(1)?;
    shop.house.nothing_left()
}

fn quiet() -> Result<(), Failed> {
    let shop = Workshop::new(&[("Dockerfile", "FROM busybox\nRUN echo said\n")])?;
    let done = shop.build(["-q", "-t", "it"]).success()?;
    assert_eq!(done.stderr, "");
    assert_eq!(done.stdout.trim_end(), shop.inspect()?["Id"]);
    Ok(())
}

fn interrupted() -> Result<(), Failed> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let shop = Workshop::new(&[("Dockerfile", "FROM busybox\nRUN sleep 1000\n")])?;
        let mut build = Background::start(shop.build(["-t", "it"]))?;
        wait_for_process(build.pid(), "sleep 1000")?;
        build.signal(signal)?;
        assert_eq!(build.status()?.code(), Some(128 + signal as i32));
        shop.house.nothing_left()?;
    }
    Ok(())
}

/// A server on the network of the test; an ordinary user's bridge is elsewhere, so there it
/// is a container's.
fn fetched() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    let serve = "mkdir /w; echo served >/w/page; exec httpd -f -p 8000 -h /w";
    let words = ["run", "-d", "--name", "server", "busybox", "sh", "-c", serve];
    shop.house.dockster(words).success()?;
    let look = ["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "server"];
    let address = shop.house.dockster(look).success()?.stdout.trim().to_owned();
    let get = "until wget -q -O /got http://server.test:8000/page; do sleep 0.1; done";
    shop.write("Dockerfile", &format!("FROM busybox\nRUN {get}\n"))?;
    let host = format!("server.test:{address}");
    shop.build(["-t", "it", "--add-host", &host]).success()?;
    assert_eq!(shop.says("cat /got")?, "served\n");
    shop.house.dockster(["rm", "-f", "server"]).success()?;
    shop.house.nothing_left()
}

fn networks() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    let dockerfile = |flag: &str| {
        format!(
            "FROM busybox\nRUN {flag} ls /sys/class/net >/links; readlink /proc/self/ns/net >/ns\n"
        )
    };
    let ours = std::fs::read_link("/proc/self/ns/net")?;
    let built = |flag: &str, options: &[&str]| -> Result<String, Failed> {
        shop.write("Dockerfile", &dockerfile(flag))?;
        shop.build(options.iter().copied().chain(["-t", "it"])).success()?;
        shop.says("cat /links /ns")
    };
    assert!(built("", &[])?.starts_with("eth0\nlo\n"));
    assert!(built("--network=none", &[])?.starts_with("lo\nnet:"));
    assert!(built("", &["--network", "none"])?.starts_with("lo\nnet:"));
    let host = ours.to_string_lossy();
    assert!(built("", &["--network", "host"])?.contains(&*host));
    assert!(built("--network=host", &["--allow", "network.host"])?.contains(&*host));
    shop.fails(&dockerfile("--network=host"))?.complains("RUN --network=host is not allowed")?;
    shop.fails(&dockerfile("--network=moon"))?.complains("a build has no network \"moon\"")?;
    shop.house.nothing_left()
}
