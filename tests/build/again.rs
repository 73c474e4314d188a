//! The same once more: found again where nothing has changed, and the same if made anew.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use dockster_tests::{Done, Failed, Need, Run, Trial};

use crate::tools::{House, beside};
use crate::workshop::Workshop;

pub fn trials() -> Vec<Trial> {
    vec![
        beside("what_was_built_is_found_again", &[], cache),
        beside("the_same_input_gives_the_same_image", &[Need::Program("tar")], reproducible),
        beside("source_date_epoch_says_when", &[], epoch),
        beside("pruning_forgets_what_was_built", &[], pruned),
        beside("two_builds_at_once", &[], at_once),
    ]
}

const DOCKERFILE: &str = "FROM busybox\nENV A=1\nCOPY file /copied/\nRUN cat /proc/sys/kernel/random/uuid >/made\nWORKDIR /new\n";

fn cached(done: &Done) -> usize {
    done.stderr.matches(" ---> Using cache").count()
}

fn touch(shop: &Workshop, name: &str, seconds: u64) -> Result<(), Failed> {
    let file = File::options().append(true).open(shop.context().join(name))?;
    Ok(file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))?)
}

fn cache() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "1")])?;
    assert_eq!(cached(&shop.image(DOCKERFILE)?), 0);
    let first = shop.says("cat /made")?;
    assert_eq!(cached(&shop.image(DOCKERFILE)?), 3);
    // Times do not count, nor do instructions that change no files.
    touch(&shop, "file", 1_000_000_000)?;
    assert_eq!(cached(&shop.image(DOCKERFILE)?), 3);
    assert_eq!(cached(&shop.image(&format!("{DOCKERFILE}LABEL a=b\n"))?), 3);
    assert_eq!(shop.says("cat /made")?, first);
    // Content does, and modes, and what a program sees; all that follows is made anew.
    assert_eq!(cached(&shop.image(&DOCKERFILE.replace("A=1", "A=2"))?), 1);
    shop.write("file", "2")?;
    assert_eq!(cached(&shop.image(DOCKERFILE)?), 0);
    assert_ne!(shop.says("cat /made")?, first);
    fs::set_permissions(shop.context().join("file"), fs::Permissions::from_mode(0o700))?;
    assert_eq!(cached(&shop.image(DOCKERFILE)?), 0);
    assert_eq!(cached(&shop.build(["--no-cache", "-t", "it"]).success()?), 0);
    // An argument counts from where it is declared.
    let dockerfile = "FROM busybox\nRUN echo 1 >/one\nARG X\nRUN echo $X >/two\n";
    shop.image(dockerfile)?;
    let done = shop.build(["--build-arg", "X=1", "-t", "it"]).success()?;
    assert_eq!(cached(&done), 1);
    assert_eq!(shop.says("cat /two")?, "1\n");
    Ok(())
}

/// Its programs write files, at whatever time, and remove some.
const MAKES: &str = "FROM scratch AS base\nADD base.tar /\nFROM base AS one\nCOPY file /src/
RUN mkdir /out && cat /src/file >/out/made && rm /etc/group && ln /out/made /out/same
FROM base\nCOPY --from=one /out /\nWORKDIR /w\n";

fn reproducible() -> Result<(), Failed> {
    let shops = [Workshop::new(&[("file", "1")])?, Workshop::new(&[("file", "1")])?];
    let tar = Run::new("tar").arg("-C").arg(shops[0].house.join("tree"));
    let archive = shops[0].context().join("base.tar");
    tar.args(["--owner=0", "--group=0", "-cf"]).arg(&archive).arg(".").success()?;
    fs::copy(&archive, shops[1].context().join("base.tar"))?;
    let mut digests = Vec::new();
    for shop in &shops {
        shop.write("Dockerfile", MAKES)?;
        for (number, name) in ["file", "Dockerfile", "base.tar"].into_iter().enumerate() {
            touch(shop, name, 1_700_000_000 + number as u64)?;
        }
        // Nothing says when: it is the newest of what goes into it.
        for _ in 0..2 {
            shop.build(["--no-cache", "-q", "-t", "it"]).success()?;
            assert_eq!(shop.inspect()?["Created"], "2023-11-14T22:13:22Z");
            digests.push(shop.inspect()?["RepoDigests"][0].to_string());
        }
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
    assert_eq!(shops[1].says("cat /same; stat -c %Y /made")?, "11700000002\n");
    shops[1].house.nothing_left()
}

fn epoch() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "1"), ("old", "2")])?;
    touch(&shop, "old", 1_000_000_000)?;
    shop.write("Dockerfile", "FROM scratch\nCOPY . /\nCOPY --from=busybox /bin /bin\n")?;
    shop.build(["-t", "it"]).env("SOURCE_DATE_EPOCH", "1600000000").success()?;
    assert_eq!(shop.inspect()?["Created"], "2020-09-13T12:26:40Z");
    assert_eq!(shop.says("stat -c %Y /file /old")?, "1600000000\n1000000000\n");
    let done = shop.build([]).env("SOURCE_DATE_EPOCH", "yesterday").code(1)?;
    done.complains("SOURCE_DATE_EPOCH=\"yesterday\" is no number")?;
    Ok(())
}

fn layers(house: &House) -> Result<usize, Failed> {
    Ok(fs::read_dir(house.root().join("layers"))?.count())
}

fn pruned() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "1")])?;
    shop.image(DOCKERFILE)?;
    shop.image("FROM busybox\nRUN echo other >/other\n")?;
    // The base's, three, one.
    assert_eq!(layers(&shop.house)?, 5);
    let said = shop.house.dockster(["builder", "prune", "--force"]).success()?.stdout;
    assert!(said.starts_with("Total reclaimed space: ") && !said.contains(": 0B"), "{said}");
    // What an image has stays; the first lost its name, not its layers.
    assert_eq!(layers(&shop.house)?, 5);
    shop.house.dockster(["image", "prune", "--force"]).success()?;
    assert_eq!(layers(&shop.house)?, 2);
    assert_eq!(shop.says("cat /other")?, "other\n");
    assert_eq!(cached(&shop.image("FROM busybox\nRUN echo other >/other\n")?), 0);
    // What only was on the way to an image goes with all the rest.
    shop.image("FROM busybox AS a\nRUN echo 1 >/1\nFROM busybox\nCOPY --from=a /1 /2\n")?;
    shop.house.dockster(["system", "prune", "--force"]).success()?;
    assert_eq!(layers(&shop.house)?, 2);
    shop.house.nothing_left()
}

fn at_once() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "1"), ("Dockerfile", DOCKERFILE)])?;
    let builds: Vec<_> = (0..3)
        .map(|number| {
            let tag = format!("it:{number}");
            shop.build(["-t", &*tag]).into_command().spawn()
        })
        .collect::<Result<_, _>>()?;
    for mut build in builds {
        assert!(build.wait()?.success());
    }
    for number in 0..3 {
        let image = format!("it:{number}");
        shop.house.run([&*image, "cat", "/copied/file"]).success()?.says("1")?;
    }
    shop.house.nothing_left()
}
