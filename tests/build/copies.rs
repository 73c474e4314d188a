//! `COPY` and `ADD`: what comes where, whose it is, and what stays out.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use dockster_tests::{Failed, Need, Run, Trial};

use crate::tools::beside;
use crate::workshop::Workshop;

pub fn trials() -> Vec<Trial> {
    vec![
        beside("files_and_directories_come_where_docker_puts_them", &[], places),
        beside("owners_and_modes", &[], owners),
        beside("links_on_the_way_stay_inside", &[], links),
        beside("ignored_files_are_not_there", &[], ignored),
        beside("add_unpacks_archives", &[Need::Program("tar")], archives),
        beside("here_documents_are_files", &[], documents),
        beside("from_other_stages_and_images", &[], stages),
    ]
}

fn places() -> Result<(), Failed> {
    let shop = Workshop::new(&[("a.c", "a"), ("b.c", "b"), ("d/x", "x"), ("d/e/y", "y")])?;
    shop.image(
        "FROM busybox\nWORKDIR /w\nCOPY a.c renamed\nCOPY a.c b.c into/\nCOPY *.c /patterns/
COPY d /contents\nCOPY d/ /contents/again/\nCOPY a.c /tmp\nCOPY d/e/../x ./\nCOPY . /all/\n",
    )?;
    let said = shop.says("cd /; find w contents patterns tmp all -type f | sort")?;
    let all = "all/Dockerfile all/a.c all/b.c all/d/e/y all/d/x contents/again/e/y \
               contents/again/x contents/e/y contents/x patterns/a.c patterns/b.c tmp/a.c \
               w/into/a.c w/into/b.c w/renamed w/x";
    assert_eq!(
        said.split_whitespace().collect::<Vec<_>>(),
        all.split_whitespace().collect::<Vec<_>>()
    );
    // What was there keeps what it had.
    assert_eq!(shop.says("stat -c %a /tmp")?, "1777\n");
    shop.house.nothing_left()
}

fn owners() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "1"), ("d/x", "x")])?;
    let mode = |name: &str, mode| {
        fs::set_permissions(shop.context().join(name), fs::Permissions::from_mode(mode))
    };
    mode("file", 0o750)?;
    mode("d", 0o711)?;
    mode("d/x", 0o600)?;
    shop.image(
        "FROM busybox\nCOPY file /plain\nCOPY --chown=user file /name\nCOPY --chown=7 file /number
COPY --chown=user:5 --chmod=4711 d /new/dir\nUSER user\nCOPY d /later\nWORKDIR /mine\n",
    )?;
    let said =
        shop.says("stat -c '%a %u:%g %n' /plain /name /number /new /new/dir/x /later/x /mine")?;
    assert_eq!(
        said,
        "750 0:0 /plain\n750 1000:1000 /name\n750 7:7 /number\n755 1000:5 /new\n\
         4711 1000:5 /new/dir/x\n600 0:0 /later/x\n755 1000:1000 /mine\n"
    );
    Ok(())
}

fn links() -> Result<(), Failed> {
    let shop = Workshop::new(&[("file", "1\n"), ("d/x", "x")])?;
    fs::write(shop.house.join("outside"), "secret")?;
    symlink("../outside", shop.context().join("d/out"))?;
    symlink("file", shop.context().join("link"))?;
    symlink(shop.house.join("outside"), shop.context().join("away"))?;
    shop.image(
        "FROM busybox\nRUN mkdir -p usr/lib/real; ln -s usr/lib lib; ln -s /usr/lib/real place
COPY file /lib/file\nCOPY file /place/\nCOPY link /followed\nCOPY d /d\n",
    )?;
    let said = shop.says(
        "for l in /lib /place /d/out; do readlink $l; done; cat /usr/lib/file /usr/lib/real/file; stat -c %F /followed",
    )?;
    assert_eq!(said, "usr/lib\n/usr/lib/real\n../outside\n1\n1\nregular file\n");
    let done = shop.fails("FROM busybox\nCOPY away /away\n")?;
    done.complains("Dockerfile:2: \"away\" not found")?;
    // A file cannot come in the place of a link that all else goes by.
    shop.write("tree/lib/x", "")?;
    let done =
        shop.fails("FROM busybox\nRUN mkdir -p usr/lib && ln -s usr/lib lib\nCOPY tree /\n")?;
    done.complains("Dockerfile:3: cannot copy to non-directory: \"/lib\"")?;
    Ok(())
}

fn ignored() -> Result<(), Failed> {
    let files = [
        "a.txt",
        "keep.txt",
        "logs/1.log",
        "logs/deep/2.log",
        "out/bin/x",
        "out/keep",
        "src/main.o",
        "src/main.c",
    ];
    let files: Vec<_> = files.iter().map(|name| (*name, "")).collect();
    let shop = Workshop::new(&files)?;
    let patterns = "# all texts but one\n*.txt\n!keep.txt\n**/*.log\n/out/\n!out/keep\nsrc/*.o\nDockerfile\n.dockerignore\n";
    shop.write(".dockerignore", patterns)?;
    shop.image("FROM busybox\nCOPY . /all\n")?;
    let said = shop.says("cd /all; find . -type f | sort")?;
    assert_eq!(said, "./keep.txt\n./out/keep\n./src/main.c\n");
    let done = shop.fails("FROM busybox\nCOPY a.txt /\n")?;
    done.complains("Dockerfile:2: \"a.txt\" not found")?.complains(".dockerignore")?;
    // Patterns of a Dockerfile's own come before those.
    shop.write("Dockerfile.dockerignore", "*\n!a.txt\n")?;
    shop.image("FROM busybox\nCOPY . /all\n")?;
    assert_eq!(shop.says("cd /all; find . -type f | sort")?, "./a.txt\n");
    Ok(())
}

fn archives() -> Result<(), Failed> {
    let shop = Workshop::new(&[("t/in/file", "1\n"), ("plain.gz", "no archive")])?;
    symlink("file", shop.context().join("t/in/link"))?;
    let tar = |words: &[&str]| Run::new("tar").args(words).dir(shop.context()).success();
    tar(&["-C", "t", "-cf", "t.tar", "."])?;
    tar(&["-C", "t", "-czf", "t.tgz", "in"])?;
    shop.image("FROM busybox\nADD t.tar /one/\nADD t.tgz plain.gz /two/\nCOPY t.tar /t.tar\n")?;
    let said = shop.says("cat /one/in/link /two/in/file; readlink /two/in/link; ls /two /t.tar")?;
    assert_eq!(said, "1\n1\nfile\n/t.tar\n\n/two:\nin\nplain.gz\n");
    let done = shop.fails("FROM busybox\nADD https://example.org/x /x\n")?;
    done.complains("Dockerfile: line 2: ")?.complains("only local files can be added")?;
    Ok(())
}

fn documents() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    shop.image(
        "FROM busybox\nENV WHO=me\nCOPY <<EOF /one\nit is $WHO\nEOF
COPY --chmod=700 <<\"A\" <<-B /two/\nit is $WHO\nA\n\tin tabs\n\tB\n",
    )?;
    let said = shop.says("cat /one /two/A /two/B; stat -c %a /one /two/A")?;
    assert_eq!(said, "it is me\nit is $WHO\nin tabs\n644\n700\n");
    Ok(())
}

fn stages() -> Result<(), Failed> {
    let shop = Workshop::new(&[])?;
    shop.image(
        "FROM busybox AS unused\nRUN false\nFROM busybox AS made\nRUN echo 1 >/file; chown 5:6 /file
FROM scratch AS small\nCOPY --from=made /file /\nFROM busybox\nCOPY --from=small /file /one
COPY --from=2 /file /two\nCOPY --from=busybox /etc/passwd /three\nCOPY --from=made --chown=0:0 /file /four\n",
    )?;
    let said = shop.says("stat -c %u:%g /one /two /four; test \"$(cat /three)\" = \"$(cat /etc/passwd)\" && cat /one")?;
    assert_eq!(said, "5:6\n5:6\n0:0\n1\n");
    Ok(())
}
