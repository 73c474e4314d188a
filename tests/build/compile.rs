//! What a build is for: a program is compiled in one stage, and the image has only the program.

use std::fs;
use std::path::Path;

use dockster_tests::{Failed, Need, Run, Trial, copy_program, debian, find_program};

use crate::server::{REGISTRY, Server};
use crate::tools::{House, beside};
use crate::workshop::Workshop;

pub fn trials() -> Vec<Trial> {
    let tcc = Need::Program("tcc");
    vec![
        beside("a_program_is_compiled_and_run", &[tcc], compiled),
        beside("what_was_built_goes_round", &[&REGISTRY[..], &[tcc]].concat(), goes_round),
        beside("a_program_is_compiled_in_debian", &[Need::Debian, tcc], in_debian),
    ]
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

/// A house that has the image `compiler`, and what is to be compiled.
fn workshop() -> Result<Workshop, Failed> {
    let house = House::empty();
    let tree = house.tree()?;
    compiler(&tree)?;
    house.dockster(["import"]).arg(&tree).arg("compiler").success()?;
    fs::remove_dir_all(&tree)?;
    Workshop::in_house(house, &[("hello.c", PROGRAM), ("Dockerfile", DOCKERFILE)])
}

fn compiled() -> Result<(), Failed> {
    let shop = workshop()?;
    let done = shop.build(["-t", "it", "--build-arg", "GREETING=compiled"]).success()?;
    done.complains("compiled, by 0\n")?;
    assert_eq!(shop.house.run(["it"]).success()?.stdout, "compiled, by 1000\n");
    // The compiler stays behind.
    let done = shop.house.run(["--entrypoint", "/usr/bin/tcc", "it"]).code(127)?;
    done.complains("/usr/bin/tcc")?;
    shop.house.nothing_left()
}

/// Built, pushed, seen by others, and run where nothing of it was.
fn goes_round() -> Result<(), Failed> {
    let (shop, server) = (workshop()?, Server::plain()?);
    let image = format!("{}/team/hello:1", server.address);
    shop.build(["-t", &image, "--build-arg", "GREETING=here"]).success()?;
    let pushed = shop.house.dockster(["push", &image]).success()?;
    let seen = digest(&format!("docker://{image}"))?;
    pushed.says(&format!("1: digest: {seen} size: "))?;
    let store = shop.house.root().join("images");
    assert_eq!(digest(&format!("oci:{}:{image}", store.display()))?, seen);
    let other = House::empty();
    other.dockster(["pull", &image]).success()?.says(&format!("Digest: {seen}\n"))?;
    assert_eq!(other.run(["--pull", "never", &image]).success()?.stdout, "here, by 1000\n");
    other.nothing_left()?;
    shop.house.nothing_left()
}

/// The digest that skopeo sees.
fn digest(image: &str) -> Result<String, Failed> {
    let mut words = vec!["inspect", "--no-tags", "--format", "{{.Digest}}"];
    words.extend(image.starts_with("docker:").then_some("--tls-verify=false"));
    Ok(Run::new("skopeo").args(words).arg(image).success()?.stdout.trim().to_owned())
}

/// Debian has the C library and no headers for it: they come beside the program's source.
const IN_DEBIAN: &str = r#"FROM debian AS build
ADD compiler.tar /
WORKDIR /src
COPY hello.c .
RUN tcc -DGREETING='"in Debian"' -o /usr/local/bin/hello hello.c && hello

FROM debian
RUN useradd --create-home --uid 1234 someone
COPY --from=build /usr/local/bin/hello /usr/local/bin/
USER someone
CMD ["hello"]
"#;

fn in_debian() -> Result<(), Failed> {
    let house = House::empty();
    let archive = debian().ok_or("there is no Debian")?;
    house.dockster(["import"]).arg(&archive).arg("debian").success()?;
    let shop = Workshop::in_house(house, &[("hello.c", PROGRAM), ("Dockerfile", IN_DEBIAN)])?;
    let script = r#"cd /; l=usr/lib/$1-linux-gnu i=usr/include/$1-linux-gnu
        libs=$(ldd /usr/bin/tcc | sed -n 's|.*=> /\(.*libtcc[^ ]*\) .*|\1|p')
        tar -chf "$0" usr/bin/tcc $libs "$l/tcc" "$l"/crt[1in].o "$l/libc.so" \
            "$l/libc_nonshared.a" usr/include/*.h "$i/bits" "$i/gnu" "$i/sys" "$i/asm" \
            usr/include/linux usr/include/asm-generic"#;
    let tar = shop.context().join("compiler.tar");
    Run::new("sh").args(["-ec", script]).arg(&tar).arg(std::env::consts::ARCH).success()?;
    shop.build(["-t", "it"]).success()?.complains("in Debian, by 0\n")?;
    assert_eq!(shop.house.run(["it"]).success()?.stdout, "in Debian, by 1234\n");
    shop.house.run(["it", "sh", "-c", "! command -v tcc"]).success()?;
    shop.house.nothing_left()
}
