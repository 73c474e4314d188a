//! What is wrong with a Dockerfile is said in one sentence, with its line.

use dockster_tests::{Failed, Trial};

use crate::tools::beside;
use crate::workshop::Workshop;

pub fn trials() -> Vec<Trial> {
    vec![
        beside("wrong_lines_are_named", &[], lines),
        beside("wrong_words_on_the_command_line", &[], words),
    ]
}

fn lines() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "")])?;
    for (dockerfile, complaint) in [
        ("", "Dockerfile: the Dockerfile is empty"),
        ("RUN true\nFROM busybox\n", "Dockerfile: line 1: no build stage in current context: RUN"),
        ("FROM busybox\n\nRUNN x\n", "Dockerfile: line 3: unknown instruction: RUNN"),
        ("FROM busybox as\n", "Dockerfile: line 1: FROM requires"),
        ("FROM busybox\nENV\n", "Dockerfile: line 2: ENV requires at least one argument"),
        ("FROM busybox\nENV A\n", "Dockerfile: line 2: ENV must have two arguments"),
        ("FROM busybox\nCOPY file\n", "Dockerfile: line 2: COPY requires at least two"),
        ("FROM busybox\nCOPY a b c\n", "must be a directory and end with a /"),
        ("FROM busybox\nCOPY --what=x file /\n", "line 2: COPY does not know the flag --what"),
        ("FROM busybox\nRUN --security=insecure true\n", "RUN does not know the flag --security"),
        ("FROM busybox\nSHELL /bin/sh\n", "SHELL requires the arguments to be in JSON form"),
        ("FROM busybox\nHEALTHCHECK true\n", "HEALTHCHECK is followed by"),
        ("FROM busybox\nONBUILD FROM x\n", "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM busybox\nRUN <<EOF\ntrue\n", "Dockerfile: line 2: unterminated heredoc"),
        ("FROM busybox AS a\nFROM busybox AS a\n", "line 2: duplicate name a"),
        // These are found once it comes to them.
        ("FROM busybox\nCOPY none /\n", "Dockerfile:2: \"none\" not found"),
        ("FROM busybox\nCOPY no*e /\n", "Dockerfile:2: no source files were specified"),
        (
            "FROM busybox\nCOPY --chown=nobodys file /\n",
            "Dockerfile:2: unable to find user nobodys",
        ),
        ("FROM busybox\nCOPY --chmod=u+x file /\n", "Dockerfile:2: --chmod=u+x: only octal"),
        ("FROM busybox\nCOPY file /etc/passwd/\n", "Dockerfile:2: cannot copy to non-directory"),
        (
            "FROM busybox\nCOPY file /bin/\nCOPY --from=busybox /bin /file\nCOPY file /bin\nENV A=${A/x}\n",
            "Dockerfile:5: unsupported modifier",
        ),
        ("FROM busybox\nEXPOSE http\n", "Dockerfile:2: invalid containerPort: http"),
        ("FROM scratch\nRUN true\n", "Dockerfile:2: there is nothing to run"),
        ("ARG X\nFROM $X\n", "Dockerfile:2: base name ($X) should not be blank"),
        ("FROM UPPER\n", "Dockerfile:1: invalid reference format"),
    ] {
        shop.fails(dockerfile)?.complains(complaint)?;
    }
    shop.house.dockster(["image", "inspect", "it"]).code(1)?;
    shop.house.nothing_left()
}

fn words() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    shop.build([]).code(1)?.complains("failed to read dockerfile: open ")?;
    shop.write("Dockerfile", "FROM busybox\n")?;
    shop.build(["--target", "none"])
        .code(1)?
        .complains("target stage \"none\" could not be found")?;
    shop.build(["-t", "UPPER"]).code(1)?.complains("invalid reference format")?;
    let done = shop.house.dockster(["build", "/nowhere"]).code(1)?;
    done.complains("unable to prepare context: \"/nowhere\" is not a directory")?;
    shop.house.nothing_left()
}
