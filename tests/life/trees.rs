//! What a container has written, taken out of it: `dockster export` and `dockster commit`.

use std::fs;

use dockster_tests::{Failed, Need, Run, Trial};

use crate::background::{field, wait_for_log};
use crate::tools::{House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("an_export_is_the_whole_tree", &[], an_export_is_the_whole_tree),
        beside("an_export_that_fails_leaves_nothing", &[], an_export_that_fails),
        beside("a_commit_is_what_was_written", &[], a_commit_is_what_was_written),
        beside("a_commit_says_what_the_container_was_told", &[], what_it_was_told),
        beside("a_commit_is_changed_by_instructions", &[], changed_by_instructions),
        beside("a_commit_of_nothing_has_no_layer", &[], a_commit_of_nothing),
        beside("a_commit_lets_it_stand_still", &[Need::Limits], stands_still),
        beside("what_cannot_be_committed_is_said", &[], what_cannot_be_committed),
    ]
}

/// Something of every kind, and something taken away.
const WRITE: &str = r#"
    mkdir /made && cd /made && mkdir -p -m 711 deep/er "$(printf 'new\nline')"
    echo one >file; ln file other; ln -s ../etc/passwd link; mkfifo -m 640 pipe
    cp file set; chown 1:2 set; chmod 4755 set; echo tick >deep/er/x; touch -d '2001-02-03 04:05:06' deep/er/x
    dd if=/dev/zero of=holes bs=1 count=0 seek=1000000 2>/dev/null
    rm /etc/group; rm -r /home; mkdir /home; echo new >/home/new; chmod 1700 /root; echo in >/data/in
"#;

/// All of it, as whoever is inside sees it; but for the files that are mounted there anew at
/// each start.
const LOOK: &str = "cd / && for f in $(find etc home root made -type f -o -type l -o -type p | grep -v -e line -e etc/host -e etc/resolv | sort); do \
     stat -c '%n %f %u %g %s %Y %h' $f; done; stat -c '%n %a %Y' etc home root made made/deep made/deep/er; \
     cat home/new made/file made/deep/er/x; ls made; test ! -e etc/group && test ! -e home/old";

/// `busybox` with something to be changed, and a container `it` of it that has written, and runs.
fn written(more: &[&str]) -> Result<House, Failed> {
    let house = House::with(|tree| Ok(fs::write(tree.join("home/old"), "old")?))?;
    let script = format!("{WRITE} echo ready; exec sleep 1000");
    let run = house.dockster(["run", "-d", "--name", "it", "-v", "/data"]).args(more);
    run.args(["busybox", "sh", "-ec", &script]).success()?;
    wait_for_log(&house, "it", "ready")?;
    Ok(house)
}

fn look(house: &House, run: &[&str]) -> Result<String, Failed> {
    Ok(house.dockster(run.iter().copied()).args(["sh", "-ec", LOOK]).success()?.stdout)
}

fn an_export_is_the_whole_tree() -> Result<(), Failed> {
    // Without ids for them files cannot be given away.
    let house = written(&["--tmpfs", "/tmp"])?;
    let seen = look(&house, &["exec", "it"])?;
    let (running, stopped) = (house.join("running.tar"), house.join("stopped.tar"));
    house.dockster(["export", "-o"]).arg(&running).arg("it").success()?;
    house.dockster(["kill", "it"]).success()?;
    house.dockster(["export", "it", "-o"]).arg(&stopped).success()?;
    assert!(fs::read(&running)? == fs::read(&stopped)?, "a running one has other files");
    // Of what was mounted in it only the places are there.
    let names = Run::new("tar").arg("-tf").arg(&running).success()?.stdout;
    let names: Vec<_> = names.lines().collect();
    for empty in ["data/", "proc/", "sys/", "dev/", "tmp/"] {
        let below: Vec<_> = names.iter().filter(|name| name.starts_with(empty)).collect();
        assert_eq!(below, [&empty]);
    }
    house.dockster(["import"]).arg(&running).arg("again").success()?;
    assert_eq!(look(&house, &["run", "--rm", "again"])?, seen);
    // One that has not started yet is its image.
    house.dockster(["create", "--name", "new", "busybox", "true"]).success()?;
    house.dockster(["export", "new", "-o"]).arg(&stopped).success()?;
    let names = Run::new("tar").arg("-tf").arg(&stopped).success()?.stdout;
    assert!(names.contains("home/old\n") && !names.contains("made"), "{names}");
    house.dockster(["rm", "-v", "it", "new"]).success()?;
    house.nothing_left()
}

fn an_export_that_fails() -> Result<(), Failed> {
    let house = House::new()?;
    let file = house.join("file");
    let done = house.dockster(["export", "none", "-o"]).arg(&file).code(1)?;
    one_sentence(&done, "No such container: none")?;
    house.dockster(["create", "--name", "it", "busybox", "true"]).success()?;
    one_sentence(&house.dockster(["export", "it", "-o", "/none/file"]).code(1)?, "/none")?;
    // Who reads may end early.
    let mut command = house.dockster(["export", "it"]).into_command();
    let mut child = command.stdout(std::process::Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    assert_eq!(child.wait()?.code(), Some(1));
    assert!(!file.exists());
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn a_commit_is_what_was_written() -> Result<(), Failed> {
    let house = written(&[])?;
    let seen = look(&house, &["exec", "it"])?;
    let id = house.dockster(["commit", "it", "team/new:1"]).success()?.stdout;
    assert!(id.starts_with("sha256:") && id.trim_end().len() == 71, "{id}");
    assert_eq!(field(&house, "it", ".State.Status")?, "running");
    assert_eq!(look(&house, &["run", "--rm", "team/new:1"])?, seen);
    // What is in a volume is not written into the container.
    house.dockster(["run", "--rm", "team/new:1", "test", "!", "-e", "/data/in"]).success()?;
    // The layers of the image below are the same ones, and one more lies over them.
    let layers = |name: &str| -> Result<Vec<String>, Failed> {
        let format = "{{join .RootFS.Layers \" \"}}";
        let done = house.dockster(["image", "inspect", "-f", format, name]).success()?;
        Ok(done.stdout.split_whitespace().map(str::to_owned).collect())
    };
    let (below, all) = (layers("busybox")?, layers("team/new:1")?);
    assert_eq!((all.len(), &all[..1]), (2, &below[..]));
    // A commit of a commit; of a container that has ended, and without a name.
    house.dockster(["rm", "-f", "-v", "it"]).success()?;
    let run = ["run", "--name", "it", "team/new:1", "sh", "-ec"];
    house.dockster(run).arg("rm -r /made; mkdir /made; echo third >/made/third").success()?;
    let id = house.dockster(["commit", "it"]).success()?.stdout;
    house.dockster(["rm", "it"]).success()?;
    house.dockster(["rmi", "team/new:1"]).success()?;
    let done = house.run([id.trim(), "sh", "-c", "ls /made; cat /home/new"]).success()?;
    assert_eq!(done.stdout, "third\nnew\n");
    let listed = house.dockster(["images", "-f", "dangling=true", "-q", "--no-trunc"]).success()?;
    assert_eq!(listed.stdout, id);
    house.nothing_left()
}

/// A field of an image.
fn of(house: &House, image: &str, path: &str) -> Result<String, Failed> {
    let format = format!("{{{{json {path}}}}}");
    let done = house.dockster(["image", "inspect", "-f", &format, image]).success()?;
    Ok(done.stdout.trim_end().to_owned())
}

fn what_it_was_told() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    let changes = [
        "CMD [\"true\"]",
        "ENV A=image B=\"two words\"",
        "LABEL a=image",
        "VOLUME /kept",
        "STOPSIGNAL SIGUSR1",
        "HEALTHCHECK --retries=2 CMD true",
        "EXPOSE 80",
    ];
    let changes = changes.into_iter().flat_map(|change| ["-c", change]);
    house.dockster(["import"]).args(changes).arg(&tree).arg("busybox").success()?;
    let words = ["-e", "A=user", "-e", "C=c", "-w", "/etc", "-u", "user", "-l", "b=user"];
    let more = ["-v", "/more", "--entrypoint", "echo", "--stop-signal", "INT", "--no-healthcheck"];
    let create = house.dockster(["create", "--name", "it"]).args(words).args(more);
    create.args(["busybox", "hello", "you"]).success()?;
    let commit = ["commit", "--author", "Ada <a@b>", "-m", "by hand", "it", "new"];
    house.dockster(commit).success()?;
    for (path, wanted) in [
        (".Config.Env", r#"["A=user","B=two words","C=c"]"#),
        (".Config.Labels", r#"{"a":"image","b":"user"}"#),
        (".Config.Volumes", r#"{"/kept":{},"/more":{}}"#),
        (".Config.Entrypoint", r#"["echo"]"#),
        (".Config.Cmd", r#"["hello","you"]"#),
        (".Config.User", r#""user""#),
        (".Config.WorkingDir", r#""/etc""#),
        (".Config.StopSignal", r#""SIGINT""#),
        (".Config.Healthcheck.Test", r#"["NONE"]"#),
        (".Config.ExposedPorts", r#"{"80/tcp":{}}"#),
        (".Author", r#""Ada <a@b>""#),
        (".Comment", r#""by hand""#),
    ] {
        assert_eq!(of(&house, "new", path)?, wanted, "{path}");
    }
    assert_eq!(house.run(["new"]).success()?.stdout, "hello you\n");
    let history = house.dockster(["history", "--no-trunc", "new"]).success()?;
    history.says("echo hello you")?.says("by hand")?;
    house.dockster(["rm", "-v", "it"]).success()?;
    house.nothing_left()
}

fn changed_by_instructions() -> Result<(), Failed> {
    let house = House::new()?;
    let make = ["create", "--name", "it", "-e", "DIR=/etc", "busybox", "echo", "old"];
    house.dockster(make).success()?;
    let changes = [
        "ENTRYPOINT [\"sh\", \"-c\"]",
        "env PATH=/bin:$DIR 'X'=a\\ b Y=\"<${DIR}>\" Z='$DIR'",
        "ENV OLD the old form",
        "LABEL one=1 two=\"second one\"",
        "EXPOSE 53/udp 8000-8002",
        "ONBUILD RUN make all",
        "USER 1000:1000",
        "VOLUME [\"/a b\"]",
        "VOLUME /c /d",
        "WORKDIR /usr",
        "WORKDIR lib",
        "STOPSIGNAL SIGQUIT",
        "HEALTHCHECK --interval=1m30s --start-period=2s CMD [\"true\", \"x\"]",
    ];
    let changes = changes.into_iter().flat_map(|change| ["--change", change]);
    house.dockster(["commit"]).args(changes).args(["it", "new"]).success()?;
    for (path, wanted) in [
        (".Config.Entrypoint", r#"["sh","-c"]"#),
        (
            ".Config.Env",
            r#"["DIR=/etc","PATH=/bin:/etc","X=a b","Y=</etc>","Z=$DIR","OLD=the old form"]"#,
        ),
        (".Config.Labels", r#"{"one":"1","two":"second one"}"#),
        (".Config.ExposedPorts", r#"{"53/udp":{},"8000/tcp":{},"8001/tcp":{},"8002/tcp":{}}"#),
        (".Config.OnBuild", r#"["RUN make all"]"#),
        (".Config.User", r#""1000:1000""#),
        (".Config.Volumes", r#"{"/a b":{},"/c":{},"/d":{}}"#),
        (".Config.WorkingDir", r#""/usr/lib""#),
        (".Config.StopSignal", r#""SIGQUIT""#),
        (
            ".Config.Healthcheck",
            r#"{"Interval":90000000000,"StartPeriod":2000000000,"Test":["CMD","true","x"]}"#,
        ),
    ] {
        let seen = of(&house, "new", path)?.replace("\\u003c", "<").replace("\\u003e", ">");
        assert_eq!(seen, wanted, "{path}");
    }
    // Of another program the old words make no sense.
    assert!(!of(&house, "new", ".Config")?.contains("Cmd"));
    for (change, why) in [
        ("RUN true", "is not a valid change command"),
        ("FROM x", "is not a valid change command"),
        ("CMD", "requires at least one argument"),
        ("CMD [1]", "is not a list of strings"),
        ("ENV x", "ENV must have two arguments"),
        ("ENV =x", "it must be name=value"),
        ("LABEL a=\"b", "is not closed"),
        ("EXPOSE x", "invalid containerPort: x"),
        ("EXPOSE 80/icmp", "invalid containerPort"),
        ("ONBUILD FROM x", "isn't allowed as an ONBUILD trigger"),
        ("STOPSIGNAL NOTHING", "invalid signal"),
        ("HEALTHCHECK --retries=x CMD true", "--retries=x"),
        ("HEALTHCHECK --often CMD true", "HEALTHCHECK does not know the flag --often"),
        ("HEALTHCHECK true", "HEALTHCHECK is followed by NONE, or by CMD"),
    ] {
        let done = house.dockster(["commit", "-c", change, "it", "bad"]).code(1)?;
        one_sentence(&done, why)?;
    }
    house.dockster(["rm", "it"]).success()?;
    assert_eq!(house.dockster(["images", "-q"]).success()?.stdout.lines().count(), 2);
    house.nothing_left()
}

fn a_commit_of_nothing() -> Result<(), Failed> {
    let house = House::new()?;
    house.dockster(["create", "--name", "it", "busybox", "echo", "as", "before"]).success()?;
    house.dockster(["commit", "it", "new"]).success()?;
    let layers = |name: &str| of(&house, name, ".RootFS.Layers");
    assert_eq!(layers("new")?, layers("busybox")?);
    assert_eq!(house.run(["new"]).success()?.stdout, "as before\n");
    assert_eq!(house.dockster(["history", "-q", "new"]).success()?.stdout.lines().count(), 2);
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

/// Of two files that are written in turn neither is ahead by more than one in the image, either.
fn stands_still() -> Result<(), Failed> {
    let house = House::new()?;
    let script = "i=0; echo 0 >/a; echo 0 >/b; echo ready; while :; do i=$((i+1)); \
         for f in a b; do echo $i >/new; mv /new /$f; done; done";
    house.dockster(["run", "-d", "--name", "it", "busybox", "sh", "-c", script]).success()?;
    wait_for_log(&house, "it", "ready")?;
    house.dockster(["commit", "--pause", "it", "new"]).success()?;
    assert_eq!(field(&house, "it", ".State.Paused")?, "false");
    let done = house.run(["new", "sh", "-c", "echo $(($(cat /a) - $(cat /b)))"]).success()?;
    assert!(["0\n", "1\n"].contains(&&*done.stdout), "{}", done.stdout);
    // Who stands still already goes on standing still.
    house.dockster(["pause", "it"]).success()?;
    house.dockster(["commit", "it", "new"]).success()?;
    assert_eq!(field(&house, "it", ".State.Paused")?, "true");
    house.dockster(["unpause", "it"]).success()?;
    let events = house.dockster(["events", "--since", "1h", "--until", "0s"]).success()?.stdout;
    let count = |word: &str| events.lines().filter(|line| line.contains(word)).count();
    assert_eq!((count(" pause "), count(" unpause ")), (2, 2), "{events}");
    // What goes away while others are read is not missed.
    for _ in 0..10 {
        house.dockster(["commit", "--pause=false", "it", "new"]).success()?;
        house.dockster(["export", "-o"]).arg(house.join("it.tar")).arg("it").success()?;
    }
    house.dockster(["rm", "-f", "it"]).success()?;
    house.nothing_left()
}

fn what_cannot_be_committed() -> Result<(), Failed> {
    let house = House::new()?;
    one_sentence(&house.dockster(["commit", "none", "x"]).code(1)?, "No such container: none")?;
    house.dockster(["run", "--name", "it", "busybox", "touch", "/etc/.wh.passwd"]).success()?;
    one_sentence(&house.dockster(["commit", "it", "x"]).code(1)?, "would be a whiteout")?;
    one_sentence(&house.dockster(["commit", "it", "X"]).code(1)?, "must be lowercase")?;
    house.dockster(["rm", "it"]).success()?;
    assert_eq!(house.dockster(["images", "-q"]).success()?.stdout.lines().count(), 1);
    house.nothing_left()
}
