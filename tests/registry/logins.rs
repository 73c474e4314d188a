//! Who may come in: passwords, helpers, tokens.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dockster_tests::{Failed, Need, Run, Trial};

use crate::images::{copy, digest, layout, umoci};
use crate::server::{REGISTRY, Server};
use crate::tools::{House, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    let with = |more: &[Need]| [&REGISTRY, more].concat();
    let htpasswd = with(&[Need::Program("htpasswd")]);
    vec![
        beside("a_password_opens_the_door", &htpasswd, a_password_opens_the_door),
        beside("helpers_keep_passwords", &htpasswd, helpers_keep_passwords),
    ]
}

const USER: &str = "someone";
const SECRET: &str = "pass:word \"with\" all";

/// A registry that knows somebody, and an image in it.
fn guarded(house: &House) -> Result<(Server, String), Failed> {
    let file = house.join("htpasswd");
    let done = Run::new("htpasswd").args(["-nbB", USER, SECRET]).success()?;
    fs::write(&file, done.stdout)?;
    let auth = format!("auth: {{htpasswd: {{realm: here, path: {}}}}}", file.display());
    let server = Server::new(&auth)?;
    let image = format!("{}/app:1", server.address);
    let made = umoci(house)?;
    let creds = format!("{USER}:{SECRET}");
    copy(&layout(&made, "app"), &format!("docker://{image}"), &["--dest-creds", &creds])?;
    Ok((server, image))
}

/// `dockster WORDS`, with a `config.json` of its own.
fn as_user<'a>(house: &House, words: impl IntoIterator<Item = &'a str>) -> Run {
    house.dockster(words).env("DOCKER_CONFIG", house.join("config"))
}

fn a_password_opens_the_door() -> Result<(), Failed> {
    let house = House::empty();
    let (server, image) = guarded(&house)?;
    let done = as_user(&house, ["pull", &image]).code(1)?;
    one_sentence(&done, "no basic auth credentials")?;
    done.complains("dockster login")?;

    let login = ["login", "-u", USER, "--password-stdin", &server.address];
    let done = as_user(&house, login).input("wrong\n").code(1)?;
    one_sentence(&done, "incorrect username or password")?;
    assert!(!house.join("config").exists(), "a wrong password was kept");
    let done = as_user(&house, ["login", "--password-stdin", &server.address]).code(1)?;
    one_sentence(&done, "Must provide --username with --password-stdin")?;
    let done = as_user(&house, ["login", "-u", USER, &server.address]).code(1)?;
    one_sentence(&done, "non TTY")?;

    // What else stands in the file stays.
    fs::create_dir(house.join("config"))?;
    let config = house.join("config/config.json");
    fs::write(&config, r#"{"detachKeys":"ctrl-x","auths":{"other.example":{"auth":"YTpi"}}}"#)?;
    let done = as_user(&house, login).input(format!("{SECRET}\n")).success()?;
    assert_eq!(done.stdout, "Login Succeeded\n");
    done.complains("stored unencrypted")?;
    let text = fs::read_to_string(&config)?;
    assert!(text.contains("ctrl-x") && text.contains("other.example"), "{text}");
    assert!(text.contains(&server.address) && !text.contains(SECRET), "{text}");
    assert_eq!(fs::metadata(&config)?.permissions().mode() & 0o777, 0o600);

    as_user(&house, ["pull", &image]).success()?;
    as_user(&house, ["push", &image]).success()?;
    // Skopeo finds what was written.
    let authfile = format!("--authfile={}", config.display());
    digest(&format!("docker://{image}"), &[&authfile])?;

    let logout = ["logout", &server.address];
    let done = as_user(&house, logout).success()?;
    assert_eq!(done.stdout, format!("Removing login credentials for {}\n", server.address));
    let done = as_user(&house, logout).success()?;
    assert_eq!(done.stdout, format!("Not logged in to {}\n", server.address));
    assert!(fs::read_to_string(&config)?.contains("other.example"));
    as_user(&house, ["pull", &image]).code(1)?;
    house.nothing_left()
}

/// A helper that keeps what it is given in a file, and writes down what it is asked.
const HELPER: &str = r#"#!/bin/sh
echo "$1" >>"$KEEP/log"
case $1 in
store) cat >"$KEEP/kept" ;;
erase) rm -f "$KEEP/kept" ;;
get) cat "$KEEP/kept" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
esac
"#;

fn helpers_keep_passwords() -> Result<(), Failed> {
    let house = House::empty();
    let (server, image) = guarded(&house)?;
    for dir in ["bin", "keep", "config"] {
        fs::create_dir(house.join(dir))?;
    }
    let helper = house.join("bin/docker-credential-keeper");
    fs::write(&helper, HELPER)?;
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755))?;
    let config = house.join("config/config.json");
    fs::write(&config, format!(r#"{{"credHelpers":{{"{}":"keeper"}}}}"#, server.address))?;
    let path = format!("{}:{}", house.join("bin").display(), std::env::var("PATH")?);
    let user = |words: &[&str]| {
        let run = as_user(&house, words.iter().copied());
        run.env("PATH", &path).env("KEEP", house.join("keep"))
    };
    one_sentence(&user(&["pull", &image]).code(1)?, "no basic auth credentials")?;
    let login = ["login", "-u", USER, "--password-stdin", &server.address];
    let done = user(&login).input(SECRET).success()?;
    assert_eq!(done.stderr, "");
    assert!(!fs::read_to_string(&config)?.contains("auths"));
    user(&["pull", &image]).success()?;
    user(&["logout", &server.address]).success()?.says("Removing")?;
    user(&["logout", &server.address]).success()?.says("Not logged in")?;
    let log = fs::read_to_string(house.join("keep/log"))?;
    assert_eq!(log.split_whitespace().collect::<Vec<_>>().join(" "), "get store get get erase get");
    // One that is not there is named.
    fs::remove_file(helper)?;
    one_sentence(&user(&["pull", &image]).code(1)?, "docker-credential-keeper")?;
    house.nothing_left()
}
