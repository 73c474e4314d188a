//! What a build is for: a program is compiled in one stage, and the image has only the program.

use std::fs;
use std::path::Path;

use dockster_tests::{Failed, Need, Run, Trial, copy_program, find_program};

use crate::tools::{House, beside};
use crate::workshop::Workshop;

pub fn trials() -> Vec<Trial> {
    vec![beside("a_program_is_compiled_and_run", &[Need::Program("tcc")], compiled)]
}

const PROGRAM: &str = r#"#include <stdio.h>
#include <unistd.h>
int main(void) { printf("%s, by %d\n", GREETING, (int)getuid()); return 0; }
"#;

const DOCKERFILE: &str = r#"FROM compiler AS build
ARG GREETING=none
WORKDIR /src
COPY *.c .
RUN tcc -DGREETING="\"$GREETING\"" -o /out hello.c && /out

FROM scratch
COPY --from=build /lib/ /lib/
COPY --from=build /lib64/ /lib64/
COPY --from=build /out /bin/hello
USER 1000
ENTRYPOINT ["/bin/hello"]
"#;

/// A small root with tcc, and with what it needs of libc6-dev.
fn compiler(tree: &Path) -> Result<(), Failed> {
    let tcc = find_program("tcc").ok_or("tcc was there")?;
    copy_program(tree, &tcc, "/usr/bin/tcc")?;
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let headers = format!("usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let script = r#"cd /; mkdir -p "$0/$1" "$0/$2" "$0/lib64"
        cp -r "$1/tcc" "$1"/crt[1in].o "$1"/ld-linux* "$1/libc.so" "$1/libc_nonshared.a" "$0/$1/"
        cp usr/include/*.h "$0/usr/include/"; cp -r "$2/bits" "$2/gnu" "$2/sys" "$0/$2/""#;
    Run::new("sh").args(["-ec", script]).arg(tree).args([libraries, headers]).success()?;
    Ok(())
}

fn compiled() -> Result<(), Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    compiler(&tree)?;
    house.dockster(["import"]).arg(&tree).arg("compiler").success()?;
    fs::remove_dir_all(&tree)?;
    let shop = Workshop::in_house(house, &[("hello.c", PROGRAM), ("Dockerfile", DOCKERFILE)])?;
    let done = shop.build(["-t", "it", "--build-arg", "GREETING=compiled"]).success()?;
    done.complains("compiled, by 0\n")?;
    assert_eq!(shop.house.run(["it"]).success()?.stdout, "compiled, by 1000\n");
    // The compiler stays behind.
    let done = shop.house.run(["--entrypoint", "/usr/bin/tcc", "it"]).code(127)?;
    done.complains("/usr/bin/tcc")?;
    shop.house.nothing_left()
}
