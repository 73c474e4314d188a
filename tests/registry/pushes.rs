//! What can go wrong on the way to a registry: the image gets there as it is, or its name does
//! not come to be there, in one sentence that says why.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dockster_tests::{Failed, Run, Trial, wait_until};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::hostile::{Act, Asked, Content, Registry, status, status_with};
use crate::tools::{Background, House, PATIENCE, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("what_is_cut_off_is_sent_again", &[], what_is_cut_off),
        beside("a_push_outlives_its_token", &[], a_push_outlives_its_token),
        beside("a_busy_registry_gets_it_later", &[], a_busy_registry),
        beside("uploads_go_where_they_are_sent", &[], uploads_go_where_they_are_sent),
        beside("a_password_stays_at_home", &[], a_password_stays_at_home),
        beside("another_digest_is_an_error", &[], another_digest),
        beside("a_deaf_registry_is_left", &[], a_deaf_registry),
        beside("what_a_registry_will_not_have", &[], what_a_registry_will_not_have),
        beside("what_is_there_is_not_sent", &[], what_is_there_is_not_sent),
        beside("what_another_repository_has_is_mounted", &[], what_another_repository_has),
        beside("a_killed_push_is_taken_up", &[], a_killed_push),
    ]
}

/// A house that has the image, from elsewhere, as `own:1` of a registry that does as planned.
fn with(
    plan: impl Fn(&Asked, &Content) -> Act + Send + Sync + 'static,
) -> Result<(House, Registry, Content), Failed> {
    let house = House::empty();
    let content = Content::new(&house)?;
    let elsewhere = Registry::new(content.clone(), |_| Act::Serve)?;
    house.dockster(["pull", "-q", &elsewhere.image()]).success()?;
    let known = content.clone();
    let registry = Registry::new(content.clone(), move |asked| plan(asked, &known))?;
    house.dockster(["tag", &elsewhere.image(), &own(&registry)]).success()?;
    Ok((house, registry, content))
}

fn own(registry: &Registry) -> String {
    format!("{}/own:1", registry.address)
}

fn push(house: &House, registry: &Registry) -> Run {
    house.dockster(["push", &own(registry)])
}

fn noise(content: &Content) -> &str {
    &content.layers[2]
}

/// Whether these are the bytes of a blob that come.
fn brings(asked: &Asked, id: &str) -> bool {
    asked.method == "PUT" && asked.path.ends_with(&format!("digest={id}"))
}

/// All attempts at it, also those at other addresses.
fn attempts(registry: &Registry, id: &str) -> usize {
    registry.asked(0).iter().filter(|asked| brings(asked, id)).count()
}

/// It is there, byte for byte.
fn arrived(house: &House, registry: &Registry, content: &Content) -> Result<(), Failed> {
    let taken = registry.taken();
    let key = |name: &str| ("own".to_owned(), name.to_owned());
    assert_eq!(taken.manifests.get(&key("1")), Some(&content.blobs[&content.tag].1));
    for id in content.layers.iter().chain([&content.config]) {
        assert!(taken.blobs.get(&key(id)) == Some(&content.blobs[id].1), "{id} is another");
    }
    house.nothing_left()
}

fn succeeds(house: &House, registry: &Registry, content: &Content) -> Result<(), Failed> {
    push(house, registry).success()?.says(&format!("1: digest: {} size: ", content.tag))?;
    arrived(house, registry, content)
}

/// It does not come to be there, and stays here.
fn fails(house: &House, registry: &Registry, words: &str) -> Result<(), Failed> {
    let done = push(house, registry).code(1)?;
    one_sentence(&done, words)?;
    assert!(!done.stdout.contains("digest: "), "{}", done.stdout);
    assert!(registry.taken().manifests.is_empty(), "it has the name");
    house.dockster(["image", "inspect", &own(registry)]).success()?;
    house.nothing_left()
}

fn what_is_cut_off() -> Result<(), Failed> {
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    let (house, registry, content) = with(move |asked, content| {
        // Each attempt has an address of its own.
        match brings(asked, noise(content)).then(|| counted.fetch_add(1, Ordering::SeqCst)) {
            Some(0) => Act::HangUp(1_000_000),
            Some(1) => Act::HangUp(0),
            _ => Act::Serve,
        }
    })?;
    succeeds(&house, &registry, &content)?;
    assert_eq!(attempts(&registry, noise(&content)), 3);
    // What came whole is not sent again.
    assert_eq!(attempts(&registry, &content.layers[1]), 1);

    let (house, registry, content) = with(|asked, content| match brings(asked, noise(content)) {
        true => Act::HangUp(500_000),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "PUT http://")?;
    assert_eq!(attempts(&registry, noise(&content)), 5);
    Ok(())
}

fn a_push_outlives_its_token() -> Result<(), Failed> {
    let age = Arc::new(AtomicUsize::new(1));
    let tokens = Arc::new(AtomicUsize::new(0));
    let (aged, given) = (Arc::clone(&age), Arc::clone(&tokens));
    let (house, registry, content) = with(move |asked, content| {
        if asked.path.starts_with("/token") {
            given.fetch_add(1, Ordering::SeqCst);
            let token = json!({"token": format!("key-{}", aged.load(Ordering::SeqCst))});
            return Act::Answer(200, vec![], token.to_string().into_bytes());
        }
        if brings(asked, noise(content)) {
            // All tokens that there were are too old from now on.
            let _ = aged.compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst);
        }
        let key = format!("Bearer key-{}", aged.load(Ordering::SeqCst));
        match asked.headers.get("authorization") == Some(&key) {
            true => Act::Serve,
            false => {
                let home = &asked.headers["host"];
                let ask = format!(r#"Bearer realm="http://{home}/token",service="us""#);
                status_with(401, "WWW-Authenticate", &ask)
            }
        }
    })?;
    succeeds(&house, &registry, &content)?;
    // Several blobs were on their way; one of them asked for all.
    assert_eq!(tokens.load(Ordering::SeqCst), 2);
    let all = registry.asked(0);
    let token = all.iter().find(|asked| asked.path.starts_with("/token")).expect("it was asked");
    assert!(token.path.contains("repository%3Aown%3Apull%2Cpush"), "{}", token.path);

    let (house, registry, _) = with(|asked, content| match brings(asked, noise(content)) {
        true => status_with(401, "WWW-Authenticate", "Basic realm=us"),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "no basic auth credentials")
}

fn a_busy_registry() -> Result<(), Failed> {
    let attempts_at_noise = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts_at_noise);
    let (house, registry, content) = with(move |asked, content| match asked.before {
        _ if brings(asked, noise(content)) => match counted.fetch_add(1, Ordering::SeqCst) {
            0 => status_with(429, "Retry-After", "0"),
            1 => status(500),
            _ => Act::Serve,
        },
        0 if asked.method == "HEAD" && asked.is(noise(content)) => status(502),
        0 if asked.method == "POST" => status_with(503, "Retry-After", "0"),
        0 if asked.path.ends_with("/manifests/1") => status_with(503, "Retry-After", "0"),
        1 if asked.path.ends_with("/manifests/1") => status(504),
        _ => Act::Serve,
    })?;
    succeeds(&house, &registry, &content)?;

    for busy in ["HEAD", "POST", "PUT"] {
        let (house, registry, _) = with(move |asked, _| match asked.method == busy {
            true => status_with(429, "Retry-After", "0"),
            false => Act::Serve,
        })?;
        fails(&house, &registry, "429")?;
        assert!(registry.asked(0).len() < 60, "it was asked too often");
    }
    Ok(())
}

/// A key that fits only at home.
fn key(house: &House, registry: &Registry) -> Result<String, Failed> {
    let dir = house.join("config");
    fs::create_dir(&dir)?;
    let auth = STANDARD.encode("someone:secret");
    let text = json!({"auths": {(&registry.address): {"auth": auth}}});
    fs::write(dir.join("config.json"), text.to_string())?;
    Ok(dir.to_str().expect("a path in UTF-8").to_owned())
}

/// Serves whoever has the key; all that goes to another host's name needs none.
fn guarded(asked: &Asked, act: impl FnOnce() -> Act) -> Act {
    let key = format!("Basic {}", STANDARD.encode("someone:secret"));
    match asked.headers.get("authorization") {
        Some(shown) if *shown == key => act(),
        None if asked.headers["host"].starts_with("localhost:") => act(),
        _ => status_with(401, "WWW-Authenticate", "Basic realm=us"),
    }
}

fn uploads_go_where_they_are_sent() -> Result<(), Failed> {
    for kind in ["relative", "absolute", "other host", "no scheme"] {
        let (house, registry, content) = with(move |asked, _| {
            let home = asked.headers["host"].clone();
            guarded(asked, || {
                Act::Locate(Box::new(move |path| match kind {
                    "relative" => path.replace("/v2/own/blobs/uploads/", ""),
                    "absolute" => format!("http://{home}{path}"),
                    "other host" => {
                        format!("http://{}{path}", home.replace("127.0.0.1", "localhost"))
                    }
                    _ => format!("//{home}{path}"),
                }))
            })
        })?;
        push(&house, &registry).env("DOCKER_CONFIG", key(&house, &registry)?).success()?;
        arrived(&house, &registry, &content)?;
        for asked in registry.asked(0) {
            let away = asked.headers["host"].starts_with("localhost:");
            assert_eq!(away, kind == "other host" && asked.path.contains("digest="), "{asked:?}");
            assert!(!away || !asked.headers.contains_key("authorization"), "{asked:?}");
        }
    }
    // Another place for all of it: with what is sent, where that is said to be safe.
    let (house, registry, content) = with(|asked, _| match asked.method.as_str() {
        "POST" | "PUT" if !asked.path.contains("again") => {
            let and = if asked.path.contains('?') { '&' } else { '?' };
            let again = asked.path.replace("digest=", "again=yes&digest=");
            let plain = format!("{}{and}again=yes", asked.path);
            let next = if again == asked.path { plain } else { again };
            status_with(308, "Location", &next)
        }
        _ => Act::Serve,
    })?;
    succeeds(&house, &registry, &content)?;
    let (house, registry, _) = with(|asked, _| match asked.method == "POST" {
        true => status_with(302, "Location", "/elsewhere"),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "302")?;
    let (house, registry, _) = with(|asked, _| match asked.method == "POST" {
        true => status(202),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "sent elsewhere, but not where")
}

/// Where the registry sends us to asks who we are, and where it would like to hear that.
fn a_password_stays_at_home() -> Result<(), Failed> {
    let house = House::empty();
    let thief = Registry::new(Content::new(&house)?, |asked| {
        let home = &asked.headers["host"];
        let ask = format!(r#"Bearer realm="http://{home}/token",service="us""#);
        status_with(401, "WWW-Authenticate", &ask)
    })?;
    let there = thief.address.clone();
    let (house, registry, _) = with(move |asked, _| {
        guarded(asked, || {
            let there = there.clone();
            Act::Locate(Box::new(move |path| format!("http://{there}{path}&signed=yes")))
        })
    })?;
    let config = key(&house, &registry)?;
    let done = push(&house, &registry).env("DOCKER_CONFIG", config).code(1)?;
    one_sentence(&done, "401")?;
    assert!(!done.stderr.contains("signed=yes"), "{}", done.stderr);
    let asked = thief.asked(0);
    assert!(!asked.is_empty());
    for asked in asked {
        assert!(!asked.path.starts_with("/token"), "{asked:?}");
        assert!(!asked.headers.contains_key("authorization"), "{asked:?}");
    }
    Ok(())
}

fn another_digest() -> Result<(), Failed> {
    let other = || format!("sha256:{}", "0".repeat(64));
    let (house, registry, _) = with(move |asked, content| match brings(asked, noise(content)) {
        true => Act::Header("Docker-Content-Digest", other()),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "the registry has something else: \"sha256:000")?;
    let (house, registry, _) = with(move |asked, _| match asked.path.ends_with("/manifests/1") {
        true => Act::Answer(201, vec![("Docker-Content-Digest".into(), other())], vec![]),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "the registry has something else: \"sha256:000")
}

fn a_deaf_registry() -> Result<(), Failed> {
    for forever in [false, true] {
        let first = AtomicBool::new(true);
        let (house, registry, content) = with(move |asked, content| {
            let bring = brings(asked, noise(content));
            match bring && (forever || first.swap(false, Ordering::SeqCst)) {
                true => Act::Deaf(100_000),
                false => Act::Serve,
            }
        })?;
        let config = house.join("daemon.json");
        fs::write(&config, r#"{"registry-timeout": 1}"#)?;
        let push = push(&house, &registry).env("DOCKSTER_CONFIG_FILE", &config);
        match forever {
            false => {
                push.success()?;
                arrived(&house, &registry, &content)?;
            }
            true => {
                one_sentence(&push.code(1)?, "the registry is silent")?;
                assert!(registry.taken().manifests.is_empty());
            }
        }
    }
    Ok(())
}

fn what_a_registry_will_not_have() -> Result<(), Failed> {
    let large = || br#"{"errors": [{"code": "SIZE_INVALID", "message": "too large"}]}"#.to_vec();
    let (house, registry, content) =
        with(move |asked, content| match brings(asked, noise(content)) {
            true => Act::Answer(413, vec![], large()),
            false => Act::Serve,
        })?;
    fails(&house, &registry, "size invalid: too large: 413")?;
    assert_eq!(attempts(&registry, noise(&content)), 1);
    // It says so, and hangs up before it has heard all.
    let (house, registry, content) =
        with(move |asked, content| match brings(asked, noise(content)) {
            true => Act::Early(413, large()),
            false => Act::Serve,
        })?;
    fails(&house, &registry, "size invalid: too large: 413")?;
    assert!(attempts(&registry, noise(&content)) <= 2);

    // It throws away what it has taken, and says so only at the end.
    let (house, registry, _) = with(|asked, content| match brings(asked, noise(content)) {
        true => status(201),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "manifest blob unknown: it is so: 404")?;
    for (method, what, code, words) in [
        ("PUT", "/manifests/1", 404, "404"),
        ("PUT", "/manifests/1", 400, "400"),
        ("POST", "/uploads/", 403, "403"),
        ("POST", "/uploads/", 404, "404"),
        ("HEAD", "/blobs/", 403, "403"),
    ] {
        let (house, registry, _) =
            with(move |asked, _| match asked.method == method && asked.path.contains(what) {
                true => status(code),
                false => Act::Serve,
            })?;
        fails(&house, &registry, words)?;
        assert!(registry.asked(0).len() < 20, "it was asked again");
    }
    Ok(())
}

fn what_is_there_is_not_sent() -> Result<(), Failed> {
    let (house, registry, content) = with(|_, _| Act::Serve)?;
    succeeds(&house, &registry, &content)?;
    let before = registry.asked(0).len();
    let done = push(&house, &registry).success()?;
    assert_eq!(done.stdout.matches("Layer already exists").count(), 3, "{}", done.stdout);
    let sent: Vec<_> = registry.asked(before).into_iter().filter(|a| a.method != "HEAD").collect();
    let paths: Vec<_> = sent.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(paths, ["/v2/", "/v2/own/manifests/1"]);
    Ok(())
}

fn what_another_repository_has() -> Result<(), Failed> {
    for (code, mounted) in [(201, true), (202, false), (401, false), (403, false), (500, false)] {
        let house = House::empty();
        let content = Content::new(&house)?;
        let registry = Registry::new(content.clone(), move |asked| {
            match asked.path.contains("mount=") && !mounted {
                true => status_with(code, "Location", "/v2/own/blobs/uploads/never"),
                false => Act::Serve,
            }
        })?;
        house.dockster(["pull", "-q", &registry.image()]).success()?;
        house.dockster(["tag", &registry.image(), &own(&registry)]).success()?;
        let done = push(&house, &registry).success()?;
        let said = done.stdout.matches("Mounted from another repository").count();
        assert_eq!(said, if mounted { 3 } else { 0 }, "{}", done.stdout);
        arrived(&house, &registry, &content)?;
        let all = registry.asked(0);
        let mount = all.iter().find(|asked| asked.path.contains("mount=")).expect("it was asked");
        assert!(mount.path.contains("&from=app"), "{mount:?}");
        for id in &content.layers {
            assert_eq!(attempts(&registry, id), usize::from(!mounted));
        }
    }
    Ok(())
}

fn a_killed_push() -> Result<(), Failed> {
    let first = AtomicBool::new(true);
    let (house, registry, content) = with(move |asked, content| {
        match brings(asked, noise(content)) && first.swap(false, Ordering::SeqCst) {
            true => Act::Deaf(1_000_000),
            false => Act::Serve,
        }
    })?;
    let sending = Background::start(push(&house, &registry))?;
    wait_until("all but one are there", PATIENCE, || {
        registry.taken().blobs.len() == 3 && attempts(&registry, noise(&content)) == 1
    })?;
    sending.signal(Signal::SIGKILL)?;
    drop(sending);
    assert!(registry.taken().manifests.is_empty());
    let before = registry.asked(0).len();
    succeeds(&house, &registry, &content)?;
    let sent: Vec<_> = registry.asked(before);
    let sent: Vec<_> = sent.iter().filter(|asked| asked.path.contains("digest=")).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(brings(sent[0], noise(&content)));
    Ok(())
}
