//! Images whose own directories are links: of the host, or up and up to it. Whatever is done
//! with them stays in the container, or is refused in a sentence (CVE-2019-19921,
//! CVE-2022-23648, CVE-2024-1753 and their like).

use std::fs;
use std::os::unix::fs::symlink;

use dockster_tests::{Done, Failed, Run, Trial};

use crate::tools::{House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("links_to_the_host_lead_nowhere", &[], || hostile(Kind::Absolute)),
        beside("links_up_to_the_host_lead_nowhere", &[], || hostile(Kind::Dotted)),
        beside("links_to_where_the_host_has_something_lead_inside", &[], || hostile(Kind::Inside)),
        beside("what_the_kernel_mounts_stays_inside", &[], kernels),
    ]
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Absolute,
    Dotted,
    /// As `Absolute`, and the image has such a directory itself.
    Inside,
}

/// Links in the places of directories that are used by name.
const LINKS: [&str; 4] = ["etc", "tmp", "data", "home"];

struct Trap {
    kind: Kind,
    house: House,
    marked: String,
}

impl Trap {
    /// With the image `it`, in which the directories `names` are links to one of the host.
    fn new(kind: Kind, names: &[&str]) -> Result<Trap, Failed> {
        let house = House::empty();
        let marked = house.join("marked");
        fs::create_dir(&marked)?;
        fs::write(marked.join("marker"), "untouched")?;
        fs::write(house.join("file"), "from the host")?;
        let trap =
            Trap { kind, marked: marked.to_str().ok_or("a path in UTF-8")?.to_owned(), house };
        let tree = trap.house.tree()?;
        let target = match kind {
            Kind::Dotted => "../".repeat(20) + &trap.marked[1..],
            Kind::Absolute | Kind::Inside => trap.marked.clone(),
        };
        for name in names {
            if tree.join(name).exists() {
                fs::remove_dir_all(tree.join(name))?;
            }
            symlink(&target, tree.join(name))?;
        }
        if kind == Kind::Inside {
            fs::create_dir_all(tree.join(&trap.marked[1..]))?;
        }
        let import = trap.house.dockster(["import", "-c", "VOLUME /data", "-c", "WORKDIR /data"]);
        import.arg(&tree).arg("it").success()?;
        Ok(trap)
    }

    /// Does it; nothing of the host is seen or touched.
    fn safe(&self, run: Run) -> Result<Done, Failed> {
        let done = run.done()?;
        if done.stdout.contains("untouched") {
            return Err(done.failed("it shows the host's file"));
        }
        if done.status.code() == Some(125) {
            one_sentence(&done, "")?;
        }
        self.untouched().map_err(|error| done.failed(&format!("{error:?}")))?;
        Ok(done)
    }

    /// The same; and if the image has all that is needed, it works.
    fn works(&self, run: Run) -> Result<Done, Failed> {
        let done = self.safe(run)?;
        match self.kind == Kind::Inside && !done.status.success() {
            true => Err(done.failed("it should work inside")),
            false => Ok(done),
        }
    }

    fn untouched(&self) -> Result<(), Failed> {
        let found: Vec<_> = fs::read_dir(&self.marked)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()?;
        assert_eq!(found, ["marker"]);
        assert_eq!(fs::read_to_string(format!("{}/marker", self.marked))?, "untouched");
        Ok(())
    }
}

fn hostile(kind: Kind) -> Result<(), Failed> {
    let trap = Trap::new(kind, &LINKS)?;
    let house = &trap.house;
    let script = "for dir in /etc /tmp /data /home; do cat $dir/marker; echo x >$dir/new; done; \
                  ls -d /etc/new /tmp/new /data/new";
    // Its VOLUME and its WORKDIR are links.
    trap.works(house.run(["it", "sh", "-c", script]))?;
    for target in ["/etc", "/tmp/new/deep", "/data", "/home"] {
        let bind = format!("{}:{target}/file", house.join("file").display());
        let named = format!("named:{target}");
        for options in [["-v", &bind], ["-v", &named], ["--tmpfs", target], ["-w", target]] {
            trap.works(house.run(options).args(["it", "sh", "-c", script]))?;
        }
        house.dockster(["volume", "rm", "named"]).done()?;
    }
    copies(&trap)?;
    builds(&trap)?;
    house.nothing_left()
}

/// `cp`, in and out of a container that was only created, and of one that has run.
fn copies(trap: &Trap) -> Result<(), Failed> {
    let house = &trap.house;
    for run in [false, true] {
        let verb = if run { "run" } else { "create" };
        trap.safe(house.dockster([verb, "--name", "box", "it", "true"]))?;
        assert_eq!(house.containers()?.len(), 1);
        let file = house.join("file");
        let file = file.to_str().ok_or("a path in UTF-8")?;
        for name in LINKS {
            let inside = format!("box:/{name}");
            for place in [format!("{inside}/x"), format!("{inside}/")] {
                trap.works(house.dockster(["cp", file, &place]))?;
            }
            for place in [format!("{inside}/marker"), format!("{inside}/."), inside] {
                let out = house.join("out");
                trap.safe(house.dockster(["cp", "-L", &place]).arg(&out))?;
                let seen = Run::new("grep").args(["-rq", "untouched"]).arg(&out).done()?;
                assert!(!seen.status.success(), "cp {place} shows the host's file");
                Run::new("rm").arg("-rf").arg(&out).success()?;
            }
        }
        house.dockster(["rm", "-f", "-v", "box"]).done()?;
    }
    Ok(())
}

/// What a Dockerfile does in such an image, and takes out of it.
fn builds(trap: &Trap) -> Result<(), Failed> {
    let context = trap.house.join("context");
    fs::create_dir_all(context.join("dir"))?;
    fs::write(context.join("dir/file"), "x")?;
    for name in ["etc", "data"] {
        for line in [
            format!("COPY dir /{name}"),
            format!("COPY dir/file /{name}/marker"),
            format!("ADD dir/file /{name}/"),
            format!("WORKDIR /{name}/deep"),
            format!("WORKDIR /{name}\nCOPY dir .\nRUN cat marker; echo x >marker; ls"),
            format!("RUN cat /{name}/marker; echo x >/{name}/marker; true"),
            format!("VOLUME /{name}\nRUN true"),
        ] {
            fs::write(context.join("Dockerfile"), format!("FROM it\n{line}\n"))?;
            trap.works(trap.house.dockster(["build", "-t", "built"]).arg(&context))?;
        }
        for line in [format!("/{name}/"), format!("/{name}/marker"), format!("/{name}")] {
            let text = format!(
                "FROM it AS one\nFROM it\nCOPY --from=one {line} /found/\n\
                                RUN ! grep -r untouched /found\n"
            );
            fs::write(context.join("Dockerfile"), text)?;
            let done = trap.safe(trap.house.dockster(["build", "-t", "built"]).arg(&context))?;
            if done.stderr.contains("non-zero code") {
                return Err(done.failed("it took the host's file"));
            }
        }
    }
    Ok(())
}

/// In the places of what every container has mounted.
fn kernels() -> Result<(), Failed> {
    for kind in [Kind::Absolute, Kind::Dotted, Kind::Inside] {
        for name in ["proc", "sys", "dev"] {
            let trap = Trap::new(kind, &[name])?;
            let script = format!("cat /{name}/marker; echo x >/{name}/new; test -c /dev/null");
            let done = trap.safe(trap.house.run(["it", "sh", "-c", &script]))?;
            if name != "dev" {
                let refused = format!("\"/{name}\" is a symbolic link in this root");
                assert_eq!(done.status.code(), Some(125), "{done:?}");
                one_sentence(&done, &refused)?;
            }
            let bind = format!("{}:/{name}/x", trap.house.join("file").display());
            trap.safe(trap.house.run(["-v", &bind, "it", "true"]))?;
            trap.house.nothing_left()?;
        }
    }
    Ok(())
}
