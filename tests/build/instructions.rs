//! What each instruction means, seen from the image.

use dockster_tests::{Failed, Run, Trial};
use serde_json::json;

use crate::tools::beside;
use crate::workshop::Workshop;

pub fn trials() -> Vec<Trial> {
    vec![
        beside("instructions_are_in_the_configuration", &[], configuration),
        beside("a_base_passes_on_what_it_says", &[], inherited),
        beside("variables_are_replaced_as_docker_does", &[], variables),
        beside("arguments_come_from_where_they_are_given", &[], arguments),
        beside("triggers_wait_for_the_next_build", &[], triggers),
        beside("each_instruction_is_in_the_history", &[], history),
        beside("a_dockerfile_may_come_alone", &[], alone),
        beside("a_context_may_come_as_an_archive", &[], archives),
        beside("names_files_and_targets", &[], names),
    ]
}

fn configuration() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    shop.image(
        r#"# syntax=docker/dockerfile:1
FROM busybox
MAINTAINER somebody
ENV ONE=1 TWO="a b"
ENV three and four
LABEL version=1 "with space"="a value"
EXPOSE 80 53/udp 8000-8001
VOLUME ["/data", "/more"]
WORKDIR /made
WORKDIR below
USER user
STOPSIGNAL SIGINT
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT ["/bin/echo", "in"]
CMD echo by shell
HEALTHCHECK --interval=1m30s --retries=2 CMD ["true"]
"#,
    )?;
    let image = shop.inspect()?;
    let config = &image["Config"];
    assert_eq!(image["Author"], "somebody");
    assert_eq!(config["Env"], json!(["ONE=1", "TWO=a b", "three=and four"]));
    assert_eq!(config["Labels"], json!({ "version": "1", "with space": "a value" }));
    let ports = json!({ "53/udp": {}, "80/tcp": {}, "8000/tcp": {}, "8001/tcp": {} });
    assert_eq!(config["ExposedPorts"], ports);
    assert_eq!(config["Volumes"], json!({ "/data": {}, "/more": {} }));
    assert_eq!(config["WorkingDir"], "/made/below");
    assert_eq!(config["User"], "user");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["Entrypoint"], json!(["/bin/echo", "in"]));
    assert_eq!(config["Cmd"], json!(["/bin/sh", "-ec", "echo by shell"]));
    let check = json!({ "Test": ["CMD", "true"], "Interval": 90_000_000_000_u64, "Retries": 2 });
    assert_eq!(config["Healthcheck"], check);
    let said = shop.house.run(["it"]).success()?.stdout;
    assert_eq!(said, "in /bin/sh -ec echo by shell\n");
    let script = "pwd; id -u; echo $ONE $TWO $three; ls -d /data /more";
    let said = shop.house.run(["--entrypoint", "sh", "it", "-c", script]).success()?.stdout;
    assert_eq!(said, "/made/below\n1000\n1 a b and four\n/data\n/more\n");
    shop.house.nothing_left()
}

fn inherited() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    shop.image(
        "FROM busybox\nENV A=1\nWORKDIR /w\nUSER user\nENTRYPOINT [\"echo\"]\nCMD [\"x\"]
HEALTHCHECK CMD true\nSHELL [\"/bin/sh\", \"-xc\"]\nLABEL a=b\n",
    )?;
    shop.house.dockster(["tag", "it", "base"]).success()?;
    shop.image("FROM base\nENV B=2\nENTRYPOINT [\"printf\", \"new\"]\nRUN id -u\n")?;
    let config = shop.inspect()?["Config"].take();
    assert_eq!(config["Env"], json!(["A=1", "B=2"]));
    assert_eq!((&config["WorkingDir"], &config["User"]), (&json!("/w"), &json!("user")));
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD-SHELL", "true"]));
    assert_eq!(config["Labels"], json!({ "a": "b" }));
    // The base's words belonged to the base's way in.
    assert_eq!(config["Cmd"], json!(null));
    Ok(())
}

fn variables() -> Result<(), Failed> {
    let shop = Workshop::new(&[("with space", "1"), ("x.txt", "2")])?;
    shop.image(
        r#"FROM busybox
ARG dir=/place name=x
ENV a=1 b=$a
ENV b=$a c=${none:-else} d=${a:+set} e='$a' f="\$a $a" g=\$a
WORKDIR ${dir}/$a
COPY ${name}.txt $dir/copied
COPY ["with space", "/with space"]
LABEL l=$a
USER ${nobody:-user}
CMD echo $a
"#,
    )?;
    let config = shop.inspect()?["Config"].take();
    let env = json!(["a=1", "b=1", "c=else", "d=set", "e=$a", "f=$a 1", "g=$a"]);
    assert_eq!(config["Env"], env);
    assert_eq!(config["WorkingDir"], "/place/1");
    assert_eq!(config["Labels"], json!({ "l": "1" }));
    assert_eq!(config["User"], "user");
    // The shell's own variables are left to it.
    assert_eq!(config["Cmd"][2], "echo $a");
    assert_eq!(shop.says("cat /place/copied '/with space'")?, "21");
    Ok(())
}

fn arguments() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    let dockerfile = "ARG BASE=none\nARG GLOBAL=g\nFROM $BASE
ARG GLOBAL\nARG A=default B\nARG TARGETOS\nENV KEPT=$A
RUN echo \"$A,$B,$GLOBAL,$TARGETOS,$HTTP_PROXY\" >/said\nENV A=env\nRUN echo $A >>/said
FROM busybox\nCOPY --from=0 /said /\nRUN echo \"[$A]\" >>/said\n";
    shop.write("Dockerfile", dockerfile)?;
    let words = ["-t", "it", "--build-arg", "BASE=busybox", "--build-arg", "B"];
    let more = ["--build-arg", "HTTP_PROXY=p", "--build-arg", "UNUSED=1"];
    let done = shop.build(words.into_iter().chain(more)).env("B", "from outside").success()?;
    done.complains("[Warning] One or more build-args [\"UNUSED\"] were not consumed")?;
    assert_eq!(shop.says("cat /said")?, "default,from outside,g,linux,p\nenv\n[]\n");
    // What a build was given is no variable of its image.
    assert_eq!(shop.inspect()?["Config"]["Env"], json!(null));
    Ok(())
}

fn triggers() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "1\n")])?;
    shop.image("FROM busybox\nONBUILD COPY file /copied\nONBUILD RUN cat /copied >/again\n")?;
    assert_eq!(shop.says("ls /copied /again 2>/dev/null || echo none")?, "none\n");
    shop.house.dockster(["tag", "it", "base"]).success()?;
    shop.image("FROM base\n")?;
    assert_eq!(shop.says("cat /copied /again")?, "1\n1\n");
    assert_eq!(shop.inspect()?["Config"]["OnBuild"], json!(null));
    Ok(())
}

fn history() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "1\n")])?;
    shop.image("FROM busybox\nENV A=1\nCOPY file /\nRUN true\nWORKDIR /tmp\n")?;
    let words = ["history", "--no-trunc", "--format", "{{.CreatedBy}}", "it"];
    let said = shop.house.dockster(words).success()?.stdout;
    let lines: Vec<_> = said.lines().take(4).collect();
    assert_eq!(lines, ["WORKDIR /tmp", "RUN /bin/sh -c true", "COPY file /", "ENV A=1"]);
    // One layer each of the base's, of COPY, and of RUN.
    assert_eq!(shop.inspect()?["RootFS"]["Layers"].as_array().map(Vec::len), Some(3));
    Ok(())
}

fn alone() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "1")])?;
    let run = || shop.house.dockster(["build", "-q", "-t", "it", "-"]);
    let id = run().input("FROM busybox\nRUN echo made >/made\n").success()?.stdout;
    assert_eq!(shop.inspect()?["Id"], id.trim_end());
    assert_eq!(shop.says("cat /made")?, "made\n");
    let done = run().input("FROM busybox\nCOPY file /\n").code(1)?;
    done.complains("Dockerfile:2: there is no build context")?;
    // Only the Dockerfile comes from there.
    let done = shop.build(["-t", "it", "-f", "-"]).input("FROM busybox\nCOPY file /\n");
    done.success()?;
    assert_eq!(shop.says("cat /file")?, "1");
    Ok(())
}

/// The context is an archive, packed or not; no link in it leads out of it.
fn archives() -> Result<(), Failed> {
    let dockerfile = "FROM busybox\nCOPY . /all/\n";
    let files = [("Dockerfile", dockerfile), ("file", "1"), ("more/Other", "FROM busybox\n")];
    let shop = Workshop::new(&files)?;
    shop.write(".dockerignore", "more\n")?;
    std::os::unix::fs::symlink("/etc/passwd", shop.context().join("link"))?;
    for pack in ["", "z"] {
        let archive = shop.house.join("context.tar");
        let tar = Run::new("tar").arg(format!("-c{pack}f")).arg(&archive);
        tar.arg("-C").arg(shop.context()).arg(".").success()?;
        let build = |words: &[&str]| {
            let words = ["build", "-t", "it"].iter().chain(words).copied();
            Ok::<_, Failed>(shop.house.dockster(words).input(std::fs::read(&archive)?))
        };
        build(&["-"])?.success()?;
        assert_eq!(
            shop.says("cat /all/file; ls -A /all")?,
            "1.dockerignore\nDockerfile\nfile\nlink\n"
        );
        build(&["-f", "more/Other", "-"])?.success()?.complains("Step 1/1 : FROM busybox")?;
        let done = build(&["-f", "link", "-"])?.code(1)?;
        done.complains("the archive has no \"link\"")?;
        build(&["-f", "none", "-"])?.code(1)?.complains("the archive has no \"none\"")?;
    }
    let done = shop.house.dockster(["build", "-"]).input("FROM busybox\n\u{1}").code(1)?;
    done.complains("neither a tar archive, nor one packed by gzip or zstd")?;
    shop.house.nothing_left()
}

fn names() -> Result<(), Failed> {
    let dockerfile = "FROM busybox AS First\nLABEL stage=1\nFROM first\nLABEL stage=2\nRUN false\n";
    let shop = Workshop::new(&[("other/File", dockerfile)])?;
    let file = shop.context().join("other/File");
    let ids = shop.house.join("id");
    let words = ["--target", "first", "--label", "more=x", "-t", "it", "-t", "this:too"];
    let build = shop.build(words).arg("-f").arg(&file).arg("--iidfile").arg(&ids);
    let done = build.success()?;
    done.complains("Successfully tagged this:too")?;
    let image = shop.inspect()?;
    // The stage that fails was not wanted.
    assert_eq!(image["Config"]["Labels"], json!({ "stage": "1", "more": "x" }));
    assert_eq!(image["Id"], std::fs::read_to_string(ids)?);
    assert_eq!(image["RepoTags"], json!(["it:latest", "this:too"]));
    Ok(())
}
