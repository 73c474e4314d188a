//! What the commands print: columns, filters, templates, docker's JSON.

use dockster_tests::{Failed, Trial};

use crate::background::field;
use crate::tools::{House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("ps_can_be_narrowed_and_shaped", &[], ps_can_be_narrowed_and_shaped),
        beside("inspect_has_dockers_shape", &[], inspect_has_dockers_shape),
        beside("what_contradicts_itself_is_refused", &[], contradictions),
        beside("the_id_can_go_to_a_file", &[], the_id_can_go_to_a_file),
    ]
}

fn ps_can_be_narrowed_and_shaped() -> Result<(), Failed> {
    let house = House::new()?;
    let words = ["create", "--name", "first", "-l", "color=red", "-l", "plain", "busybox", "true"];
    house.dockster(words).success()?;
    house.dockster(["run", "--name", "second", "busybox", "sh", "-c", "exit 3"]).code(3)?;
    house.dockster(["run", "-d", "--name", "third", "busybox", "sleep", "1000"]).success()?;
    let names = |words: &[&str]| {
        let all = ["ps", "--format", "{{.Names}}"].iter().chain(words).copied();
        house.dockster(all).success().map(|done| done.stdout.replace('\n', " "))
    };
    assert_eq!(names(&[])?, "third ");
    assert_eq!(names(&["-a"])?, "third second first ");
    assert_eq!(names(&["-l"])?, "third ");
    assert_eq!(names(&["-n", "2"])?, "third second ");
    assert_eq!(names(&["-f", "status=exited"])?, "second ");
    assert_eq!(names(&["-f", "exited=3"])?, "second ");
    assert_eq!(names(&["-f", "status=created", "-f", "status=running"])?, "third first ");
    assert_eq!(names(&["-a", "-f", "label=color=red"])?, "first ");
    assert_eq!(names(&["-a", "-f", "label=plain"])?, "first ");
    assert_eq!(names(&["-a", "-f", "name=ir"])?, "third first ");
    assert_eq!(names(&["-a", "-f", "name=^/first$"])?, "first ");
    assert_eq!(names(&["-a", "-f", "ancestor=busybox", "-f", "status=exited"])?, "second ");
    one_sentence(&house.dockster(["ps", "-f", "nosuch=x"]).code(125)?, "invalid filter 'nosuch'")?;
    let words = ["ps", "-a", "--format", "table {{.Names}}\\t{{.State}}"];
    let table = house.dockster(words).success()?.stdout;
    let lines: Vec<Vec<_>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAMES", "STATE"]);
    assert_eq!(lines[3], ["first", "created"]);
    let sizes = house.dockster(["ps", "-a", "-s"]).success()?.stdout;
    assert!(sizes.lines().next().is_some_and(|head| head.trim_end().ends_with("SIZE")), "{sizes}");
    assert_eq!(sizes.matches("B (virtual ").count(), 3, "{sizes}");
    let json = house.dockster(["ps", "--format", "json"]).success()?.stdout;
    assert!(json.lines().count() == 1 && json.contains("\"Names\":\"third\""), "{json}");
    house.dockster(["rm", "-f", "first", "second", "third"]).success()?;
    house.nothing_left()
}

fn inspect_has_dockers_shape() -> Result<(), Failed> {
    let house = House::new()?;
    let words = [
        "create",
        "--name",
        "it",
        "-it",
        "-e",
        "A=b",
        "-w",
        "/tmp",
        "-l",
        "k=v",
        "--restart",
        "on-failure:4",
        "--init",
        "--stop-signal",
        "INT",
        "-h",
        "box",
        "busybox",
        "sh",
        "-c",
        "exit 1",
    ];
    house.dockster(words).success()?;
    let expected = [
        (".Name", "/it"),
        (".Path", "sh"),
        ("json .Args", "[\"-c\",\"exit 1\"]"),
        (".State.Status", "created"),
        (".State.Pid", "0"),
        (".State.StartedAt", "0001-01-01T00:00:00Z"),
        (".Config.Tty", "true"),
        (".Config.OpenStdin", "true"),
        (".Config.Hostname", "box"),
        (".Config.WorkingDir", "/tmp"),
        (".Config.StopSignal", "SIGINT"),
        (".Config.Image", "busybox:latest"),
        ("index .Config.Labels \"k\"", "v"),
        (".HostConfig.RestartPolicy.Name", "on-failure"),
        (".HostConfig.RestartPolicy.MaximumRetryCount", "4"),
        (".HostConfig.Init", "true"),
        (".HostConfig.LogConfig.Type", "json-file"),
        ("json .Config.Cmd", "[\"sh\",\"-c\",\"exit 1\"]"),
    ];
    for (path, value) in expected {
        assert_eq!(field(&house, "it", path)?, value, "{path}");
    }
    assert!(field(&house, "it", "json .Config.Env")?.contains("\"A=b\""));
    let whole = house.dockster(["inspect", "it"]).success()?.stdout;
    assert!(whole.starts_with("[\n    {\n") && whole.ends_with("]\n"), "{whole}");
    let done = house.dockster(["inspect", "nosuch", "-f", "{{.Id}}", "it"]).code(1)?;
    assert_eq!(done.stdout.trim_end().len(), 64);
    one_sentence(&done, "nosuch")?;
    house.dockster(["inspect", "-f", "{{.Nosuch}}", "it"]).code(1)?;
    house.dockster(["inspect", "-f", "{{range .Args}}", "it"]).code(1)?;
    house.dockster(["rm", "it"]).success()?;
    house.nothing_left()
}

fn contradictions() -> Result<(), Failed> {
    let house = House::new()?;
    let cases: [(&[&str], &str); 5] = [
        (&["run", "--rm", "--restart", "always", "busybox", "true"], "both --restart and --rm"),
        (&["run", "--restart", "sometimes", "busybox", "true"], "unknown policy 'sometimes'"),
        (&["run", "--log-driver", "syslog", "busybox", "true"], "no log driver named 'syslog'"),
        (&["run", "--log-opt", "max-sise=1m", "busybox", "true"], "unknown log opt 'max-sise'"),
        (&["run", "-d", "--stop-signal", "SIGNONE", "busybox", "true"], "invalid signal"),
    ];
    for (words, says) in cases {
        one_sentence(&house.dockster(words.iter().copied()).code(125)?, says)?;
    }
    for command in ["attach", "logs", "start", "stop", "wait", "inspect", "rm", "kill", "pause"] {
        let done = house.dockster([command, "nosuch"]).code(1)?;
        one_sentence(&done, "No such container: nosuch")?;
    }
    one_sentence(&house.dockster(["exec", "nosuch", "true"]).code(1)?, "No such container")?;
    house.nothing_left()
}

fn the_id_can_go_to_a_file() -> Result<(), Failed> {
    let house = House::new()?;
    let file = house.join("cid");
    let words = ["create", "--cidfile", file.to_str().ok_or("a path")?, "busybox", "true"];
    let done = house.dockster(words).success()?;
    assert_eq!(std::fs::read_to_string(&file)?, done.stdout.trim_end());
    one_sentence(&house.dockster(words).code(125)?, "container ID file found")?;
    house.dockster(["rm", done.stdout.trim_end()]).success()?;
    house.nothing_left()
}
