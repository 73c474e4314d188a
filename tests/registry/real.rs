//! The real registry, and images of other programs.

use std::fs;

use dockster_tests::{Failed, Trial};

use crate::images::{copy, digest, layout, store, umoci};
use crate::server::{REGISTRY, Server};
use crate::tools::{House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("images_come_whole_and_run", &REGISTRY, images_come_whole_and_run),
        beside("what_is_here_is_not_fetched_again", &REGISTRY, what_is_here),
        beside("run_pulls_what_is_missing", &REGISTRY, run_pulls_what_is_missing),
        beside("what_is_pushed_has_the_same_digest", &REGISTRY, what_is_pushed),
        beside("what_the_registry_lacks_is_said", &REGISTRY, what_the_registry_lacks),
    ]
}

/// Both formats of manifests, as they lie on the disk and as they run.
fn images_come_whole_and_run() -> Result<(), Failed> {
    let (house, server) = (House::empty(), Server::plain()?);
    let made = umoci(&house)?;
    for (name, format) in [("oci", "oci"), ("docker", "v2s2")] {
        let image = format!("{}/team/{name}:1", server.address);
        let remote = format!("docker://{image}");
        copy(&layout(&made, "app"), &remote, &["--format", format])?;
        let done = house.dockster(["pull", &image]).success()?;
        let wanted = digest(&remote, &[])?;
        done.says(&format!("1: Pulling from team/{name}\n"))?
            .says(if name == "oci" { ": Pull complete\n" } else { ": Already exists\n" })?
            .says(&format!("Digest: {wanted}\n"))?
            .says(&format!("Status: Downloaded newer image for {image}\n{image}\n"))?;
        assert_eq!(house.run([&*image]).success()?.stdout, "marked\n");
        let script = "test ! -e /etc/gone && wc -c </etc/noise";
        assert_eq!(house.run([&*image, "sh", "-c", script]).success()?.stdout, "300000\n");
        // Others read the store as it lies there.
        let copied = format!("dir:{}", house.join(name).display());
        copy(&store(&house, &image), &copied, &["--preserve-digests"])?;
        assert_eq!(digest(&copied, &[])?, wanted);
        // By digest, too.
        let exact = format!("{}/team/{name}@{wanted}", server.address);
        house.dockster(["pull", &exact]).success()?.says("Image is up to date")?;
        house.dockster(["rmi", &image]).success()?;
        let done = house.dockster(["pull", &exact]).success()?;
        done.says(&format!("Status: Downloaded newer image for {exact}\n"))?;
        assert_eq!(house.run(["--pull", "never", &exact]).success()?.stdout, "marked\n");
        // As docker shows it: its repository, and no tag.
        let repository = format!("{}/team/{name}", server.address);
        let format = "{{.Repository}} {{.Tag}} {{.Digest}}";
        let listed = house.dockster(["images", "--format", format, &repository]).success()?;
        assert_eq!(listed.stdout, format!("{repository} <none> {wanted}\n"));
        let inspect =
            ["image", "inspect", "-f", "{{json .RepoTags}} {{json .RepoDigests}}", &exact];
        let inspected = house.dockster(inspect).success()?.stdout;
        assert!(inspected.starts_with("[] [\"") && inspected.contains(&exact), "{inspected}");
    }
    assert_eq!(fs::read_dir(house.root().join("downloads"))?.count(), 0);
    house.nothing_left()
}

fn what_is_here() -> Result<(), Failed> {
    let (house, server) = (House::empty(), Server::plain()?);
    let made = umoci(&house)?;
    let image = format!("{}/app", server.address);
    let remote = format!("docker://{image}");
    copy(&layout(&made, "app"), &remote, &[])?;
    let first = house.dockster(["pull", &image]).success()?;
    first.says("Using default tag: latest\n")?;
    assert!(!first.stdout.contains("Already exists"), "{}", first.stdout);
    let again = house.dockster(["pull", &image]).success()?;
    again.says(&format!("Status: Image is up to date for {image}:latest\n"))?;
    assert!(!again.stdout.contains("Download complete"), "{}", again.stdout);
    // A newer one, of which most is here.
    let script = "umoci config --image layout:app --config.env NEW=1";
    dockster_tests::Run::new("sh").args(["-euc", script]).dir(house.join("")).success()?;
    copy(&layout(&made, "app"), &remote, &[])?;
    let newer = house.dockster(["pull", &image]).success()?;
    newer.says("Already exists")?.says("Downloaded newer image")?;
    assert!(!newer.stdout.contains("Download complete"), "{}", newer.stdout);
    assert_eq!(house.run([&*image, "sh", "-c", "echo $NEW"]).success()?.stdout, "1\n");
    let quiet = house.dockster(["pull", "-q", &image]).success()?;
    assert_eq!((quiet.stdout, quiet.stderr), (format!("{image}:latest\n"), String::new()));
    house.nothing_left()
}

fn run_pulls_what_is_missing() -> Result<(), Failed> {
    let (house, server) = (House::empty(), Server::plain()?);
    let made = umoci(&house)?;
    let image = format!("{}/app:1", server.address);
    let remote = format!("docker://{image}");
    copy(&layout(&made, "app"), &remote, &[])?;
    let done = house.run(["--pull=never", &image]).code(125)?;
    one_sentence(&done, "Unable to find image")?;
    let done = house.run([&*image]).success()?;
    assert_eq!(done.stdout, "marked\n");
    done.complains(&format!("Unable to find image '{image}' locally\n"))?
        .complains("Pulling from app")?;
    let done = house.run([&*image]).success()?;
    assert_eq!(done.stderr, "");
    let done = house.run(["--pull=always", &image]).success()?;
    done.complains("Image is up to date")?;
    let done = house.run(["--pull=always", "--quiet", &image]).success()?;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("marked\n", ""));
    // Not for another machine.
    let done = house.run(["--platform", "linux/s390x", &image]).code(125)?;
    done.complains("the image is for linux/")?.complains("not for linux/s390x")?;
    house.nothing_left()
}

fn what_is_pushed() -> Result<(), Failed> {
    let (house, server) = (House::empty(), Server::plain()?);
    let made = umoci(&house)?;
    let name = |path: &str| format!("{}/{path}", server.address);
    copy(&layout(&made, "app"), &format!("docker://{}", name("from:1")), &["--format", "v2s2"])?;
    house.dockster(["pull", &name("from:1")]).success()?;
    let wanted = digest(&format!("docker://{}", name("from:1")), &[])?;
    // To where it is from, everything is there.
    let done = house.dockster(["push", &name("from:1")]).success()?;
    done.says("Layer already exists\n")?.says(&format!("1: digest: {wanted} size: "))?;
    assert!(!done.stdout.contains("Pushed"), "{}", done.stdout);
    // To a new place, from an image of our own.
    let tree = house.join("tree");
    house.dockster(["import"]).arg(&tree).arg(name("own")).success()?;
    let done = house.dockster(["push", &name("own")]).success()?;
    done.says("Using default tag: latest\n")?
        .says(&format!("The push refers to repository [{}]\n", name("own")))?
        .says(": Pushed\n")?;
    let remote = digest(&format!("docker://{}", name("own")), &[])?;
    assert_eq!(remote, digest(&store(&house, &name("own:latest")), &[])?);
    house.dockster(["rmi", &name("own")]).success()?;
    assert_eq!(house.run([&*name("own"), "echo", "back"]).success()?.stdout, "back\n");
    let done = house.dockster(["push", &name("nothing")]).code(1)?;
    one_sentence(&done, "An image does not exist locally with the tag: ")?;
    house.nothing_left()
}

fn what_the_registry_lacks() -> Result<(), Failed> {
    let (house, server) = (House::empty(), Server::plain()?);
    let image = format!("{}/nothing:1", server.address);
    let done = house.dockster(["pull", &image]).code(1)?;
    one_sentence(&done, &format!("manifest for {image} not found: manifest unknown"))?;
    let done = house.run([&*image]).code(125)?;
    done.complains("manifest unknown")?;
    drop(server);
    let done = house.dockster(["pull", &image]).code(1)?;
    one_sentence(&done, "ECONNREFUSED")?;
    assert_eq!(house.dockster(["images", "-q"]).success()?.stdout, "");
    house.nothing_left()
}
