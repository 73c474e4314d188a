//! What can go wrong on the way, and what somebody may do to us on purpose: each gives a
//! clear error or a whole image, and never half of one.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dockster_tests::{Failed, Trial, wait_until};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::hostile::{Act, Asked, Content, INDEX, MANIFEST, Registry, digest, status, status_with};
use crate::tools::{Background, House, PATIENCE, beside, one_sentence};

pub fn trials() -> Vec<Trial> {
    vec![
        beside("a_cut_is_taken_up_where_it_was", &[], a_cut_is_taken_up),
        beside("ranges_may_be_unknown_or_wrong", &[], ranges_may_be_unknown),
        beside("a_damaged_layer_is_never_kept", &[], a_damaged_layer),
        beside("lengths_are_not_believed", &[], lengths_are_not_believed),
        beside("a_busy_registry_is_asked_again", &[], a_busy_registry),
        beside("a_silent_registry_is_left", &[], a_silent_registry),
        beside("refusals_are_final", &[], refusals_are_final),
        beside("a_token_stays_at_home", &[], a_token_stays_at_home),
        beside("redirects_end", &[], redirects_end),
        beside("manifests_say_one_thing", &[], manifests_say_one_thing),
        beside("the_right_platform_is_chosen", &[], the_right_platform),
        beside("a_killed_pull_is_taken_up", &[], a_killed_pull),
        beside("pulls_killed_anywhere_leave_a_whole_store", &[], killed_anywhere),
        beside("two_pulls_fetch_once", &[], two_pulls_fetch_once),
        beside("a_mirror_is_asked_first", &[], a_mirror_is_asked_first),
    ]
}

/// A house, and a registry that does as planned with what `is` says of its image.
fn with(
    plan: impl Fn(&Asked, &Content) -> Act + Send + Sync + 'static,
) -> Result<(House, Registry), Failed> {
    let house = House::empty();
    let content = Content::new(&house)?;
    let known = content.clone();
    let registry = Registry::new(content, move |asked| plan(asked, &known))?;
    Ok((house, registry))
}

fn noise(content: &Content) -> &str {
    &content.layers[2]
}

/// It comes, and runs; nothing is left of the way.
fn succeeds(house: &House, registry: &Registry) -> Result<(), Failed> {
    house.dockster(["pull", &registry.image()]).success()?;
    runs(house, registry)
}

fn runs(house: &House, registry: &Registry) -> Result<(), Failed> {
    let done = house.run(["--pull", "never", &registry.image()]).success()?;
    assert_eq!(done.stdout, "marked\n");
    assert_eq!(downloads(house), 0);
    house.nothing_left()
}

fn downloads(house: &House) -> usize {
    fs::read_dir(house.root().join("downloads")).map_or(0, Iterator::count)
}

/// It does not come, in one sentence; the store is as it was.
fn fails(house: &House, registry: &Registry, words: &str) -> Result<(), Failed> {
    let done = house.dockster(["pull", &registry.image()]).code(1)?;
    one_sentence(&done, words)?;
    empty(house)
}

fn empty(house: &House) -> Result<(), Failed> {
    assert_eq!(house.dockster(["images", "-q", "-a"]).success()?.stdout, "");
    for dir in ["images/blobs/sha256", "layers"] {
        assert_eq!(fs::read_dir(house.root().join(dir))?.count(), 0, "{dir}");
    }
    house.nothing_left()
}

fn a_cut_is_taken_up() -> Result<(), Failed> {
    let (house, registry) = with(|asked, content| match asked.before {
        // More often than one is patient with what gets nowhere.
        0..7 if asked.is(noise(content)) => Act::Cut(300_000),
        _ => Act::Serve,
    })?;
    succeeds(&house, &registry)?;
    let asked = registry.asked(0);
    let starts: Vec<_> =
        asked.iter().filter(|a| a.path.contains("/blobs/")).filter_map(Asked::start).collect();
    assert_eq!(starts, (1..=7).map(|n| n * 300_000).collect::<Vec<_>>());
    Ok(())
}

fn ranges_may_be_unknown() -> Result<(), Failed> {
    for kind in ["ignored", "refused", "another"] {
        let (house, registry) = with(move |asked, content| match (asked.before, kind) {
            (0, _) if asked.is(noise(content)) => Act::Cut(100_000),
            (1, "ignored") if asked.is(noise(content)) => Act::IgnoreRange,
            (1, "refused") if asked.is(noise(content)) => status(416),
            (1, _) if asked.is(noise(content)) => {
                let range = ("Content-Range".to_owned(), "bytes 5-3000000/3000001".to_owned());
                Act::Answer(206, vec![range], vec![1; 100])
            }
            _ => Act::Serve,
        })?;
        succeeds(&house, &registry)?;
    }
    Ok(())
}

fn a_damaged_layer() -> Result<(), Failed> {
    let (house, registry) = with(|asked, content| match asked.before {
        0 if asked.is(noise(content)) => Act::Flip(2_000_000),
        0 if asked.is(&content.config) => Act::Flip(3),
        0 if asked.path.contains("/manifests/") => Act::Flip(20),
        _ => Act::Serve,
    })?;
    succeeds(&house, &registry)?;
    let (house, registry) = with(|asked, content| match asked.is(noise(content)) {
        true => Act::Flip(2_000_000),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "the registry sent something else: sha256:")?;
    let (house, registry) = with(|asked, _| match asked.path.contains("/manifests/") {
        true => Act::Flip(20),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "is damaged: sha256:")
}

fn lengths_are_not_believed() -> Result<(), Failed> {
    for longer in [false, true] {
        let (house, registry) = with(move |asked, content| {
            let right = content.blobs[noise(content)].1.len();
            match asked.is(noise(content)) {
                true => Act::Length(if longer { right + 100 } else { right - 100 }),
                false => Act::Serve,
            }
        })?;
        fails(&house, &registry, "length of a layer is not that of the manifest")?;
    }
    // Without any length, for ever.
    let (house, registry) = with(|asked, content| match asked.is(&content.layers[1]) {
        true => Act::Body(vec![0; 100 << 10]),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "length of a layer is not that of the manifest")?;
    // The manifest lies.
    let house = House::empty();
    let mut content = Content::new(&house)?;
    let mut manifest = content.manifest();
    manifest["layers"][2]["size"] = json!(1000);
    content.tag = content.add(MANIFEST, &manifest);
    let registry = Registry::new(content, |_| Act::Serve)?;
    fails(&house, &registry, "length of a layer is not that of the manifest")
}

fn a_busy_registry() -> Result<(), Failed> {
    let (house, registry) = with(|asked, content| match asked.before {
        0 if asked.path == "/v2/" => status_with(503, "Retry-After", "0"),
        0 if asked.path.contains("/manifests/") => status_with(429, "Retry-After", "0"),
        0 | 1 if asked.is(noise(content)) => status_with(503, "Retry-After", "0"),
        0 if asked.is(&content.layers[1]) => status(502),
        _ => Act::Serve,
    })?;
    succeeds(&house, &registry)?;
    let (house, registry) = with(|asked, content| match asked.is(noise(content)) {
        true => status_with(429, "Retry-After", "0"),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "429")?;
    assert!(registry.asked(0).len() < 20, "it was asked too often");
    Ok(())
}

fn a_silent_registry() -> Result<(), Failed> {
    let (house, registry) = with(|asked, content| match asked.before {
        0 if asked.is(noise(content)) => Act::Stall(500_000),
        _ => Act::Serve,
    })?;
    let config = house.join("daemon.json");
    fs::write(&config, r#"{"registry-timeout": 1}"#)?;
    let done = house.dockster(["pull", &registry.image()]).env("DOCKSTER_CONFIG_FILE", &config);
    done.success()?;
    runs(&house, &registry)?;
    let ranges: Vec<_> = registry.asked(0).iter().filter_map(Asked::start).collect();
    assert_eq!(ranges, [500_000]);
    Ok(())
}

fn refusals_are_final() -> Result<(), Failed> {
    for (code, words) in [(404, "404"), (403, "403"), (400, "400"), (401, "does not say how")] {
        let (house, registry) = with(move |asked, content| match asked.is(noise(content)) {
            true => status(code),
            false => Act::Serve,
        })?;
        fails(&house, &registry, words)?;
        assert!(registry.gets(&registry.asked(0).last().expect("one").path) <= 2);
    }
    // What it says is shown, and nothing of it reaches the terminal's own language.
    let (house, registry) = with(|asked, _| match asked.path.contains("/manifests/") {
        true => {
            let text = json!({"errors": [{"code": "DENIED", "message": "go \u{1b}[31maway"}]});
            Act::Answer(403, vec![], text.to_string().into_bytes())
        }
        false => Act::Serve,
    })?;
    fails(&house, &registry, "denied: go [31maway: 403")
}

fn a_token_stays_at_home() -> Result<(), Failed> {
    let house = House::empty();
    let content = Content::new(&house)?;
    let elsewhere = Registry::new(content.clone(), |_| Act::Serve)?;
    let (other, layer) = (elsewhere.address.clone(), content.layers[2].clone());
    let registry = Registry::new(content, move |asked| {
        let token = asked.headers.get("authorization").map(String::as_str);
        match token {
            _ if asked.path.starts_with("/token") => {
                Act::Answer(200, vec![], br#"{"token":"key-to-the-door"}"#.to_vec())
            }
            Some("Bearer key-to-the-door") if asked.is(&layer) => {
                status_with(307, "Location", &format!("http://{other}{}?signed=yes", asked.path))
            }
            Some("Bearer key-to-the-door") => Act::Serve,
            _ => {
                let home = &asked.headers["host"];
                let ask = format!(r#"Bearer realm="http://{home}/token",service="us""#);
                status_with(401, "WWW-Authenticate", &ask)
            }
        }
    })?;
    succeeds(&house, &registry)?;
    let asked = elsewhere.asked(0);
    assert!(asked.iter().any(|asked| asked.path.contains("signed=yes")), "{asked:?}");
    assert!(asked.iter().all(|asked| !asked.headers.contains_key("authorization")), "{asked:?}");
    let tokens: Vec<_> =
        registry.asked(0).into_iter().filter(|asked| asked.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1);
    let path = &tokens[0].path;
    assert!(path.contains("service=us") && path.contains("repository%3Aapp%3Apull"), "{path}");

    // Where it was sent to says no: what is signed is not shown.
    let (house, registry) = with(|asked, content| match asked.is(noise(content)) {
        true => status_with(307, "Location", "/gone?signed=yes"),
        false => Act::Serve,
    })?;
    let done = house.dockster(["pull", &registry.image()]).code(1)?;
    assert!(!done.stderr.contains("signed=yes"), "{}", done.stderr);
    Ok(())
}

fn redirects_end() -> Result<(), Failed> {
    let (house, registry) = with(|asked, content| match asked.is(noise(content)) {
        true => status_with(302, "Location", &asked.path),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "redirected too often")?;
    let (house, registry) = with(|asked, content| match asked.is(noise(content)) {
        true => status(302),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "sent elsewhere, but not where")?;
    let (house, registry) = with(|asked, content| match asked.is(noise(content)) {
        true => status_with(302, "Location", "file:///etc/passwd"),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "file:///etc/passwd")
}

/// A text that may be read in two ways, or in none.
fn manifests_say_one_thing() -> Result<(), Failed> {
    let manifest = |change: &dyn Fn(&mut serde_json::Value, &Content), kind: &str, words: &str| {
        let house = House::empty();
        let mut content = Content::new(&house)?;
        let mut text = content.manifest();
        change(&mut text, &content);
        content.tag = content.add(kind, &text);
        let registry = Registry::new(content, |_| Act::Serve)?;
        fails(&house, &registry, words)
    };
    let both: &dyn Fn(&mut serde_json::Value, &Content) = &|text, _| text["manifests"] = json!([]);
    manifest(both, MANIFEST, "an index and an image at once")?;
    manifest(&|_, _| {}, INDEX, "it calls itself")?;
    manifest(&|text, _| text["schemaVersion"] = json!(1), MANIFEST, "schema version 1")?;
    manifest(&|text, _| text["config"]["mediaType"] = json!("a/b"), MANIFEST, "no container's")?;
    manifest(&|text, _| text["layers"][0]["mediaType"] = json!("a/b"), MANIFEST, "cannot be")?;
    manifest(&|text, _| text["layers"] = json!([]), MANIFEST, "other layers than its manifest")?;
    let outside = format!("sha256:{}", "../".repeat(21) + "x");
    manifest(&|text, _| text["layers"][0]["digest"] = json!(outside), MANIFEST, "the manifest")?;
    let strange = |text: &mut serde_json::Value, _: &Content| {
        text["layers"][0]["digest"] = json!("sha512:".to_owned() + &"a".repeat(128));
    };
    manifest(&strange, MANIFEST, "is not a sha256 digest")?;
    // Larger than anything that is one.
    let large = |text: &mut serde_json::Value, _: &Content| {
        text["annotations"] = json!({"a": "b".repeat(5 << 20)});
    };
    manifest(&large, MANIFEST, "")
}

fn the_right_platform() -> Result<(), Failed> {
    let house = House::empty();
    let mut content = Content::new(&house)?;
    let own = content.descriptor(&content.tag.clone());
    let mut entries = Vec::new();
    for (os, arch, variant) in
        [("linux", "s390x", ""), ("linux", "arm", "v6"), ("linux", "arm", "v7")]
    {
        let mut config = content.text(&content.config.clone());
        config["architecture"] = json!(arch);
        config["config"]["Labels"] = json!({"variant": variant});
        let config = content.add("application/vnd.oci.image.config.v1+json", &config);
        let mut manifest = content.manifest();
        manifest["config"] = content.descriptor(&config);
        let id = content.add(MANIFEST, &manifest);
        let mut entry = content.descriptor(&id);
        entry["platform"] = json!({"os": os, "architecture": arch});
        if !variant.is_empty() {
            entry["platform"]["variant"] = json!(variant);
        }
        entries.push(entry);
    }
    let mut ours = own;
    let arch = content.text(&content.config.clone())["architecture"].clone();
    ours["platform"] = json!({"os": "linux", "architecture": arch});
    entries.push(ours);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    content.tag = content.add(INDEX, &index);
    let wanted = content.tag.clone();
    let v7 = entries_digest(&index, 2);
    let registry = Registry::new(content, |_| Act::Serve)?;
    let done = house.dockster(["pull", &registry.image()]).success()?;
    done.says(&format!("Digest: {wanted}\n"))?;
    // By which others can ask for it, too.
    let done = house.dockster(["image", "inspect", &registry.image()]).success()?;
    done.says(&format!("/app@{wanted}\""))?;
    runs(&house, &registry)?;
    let done = house.dockster(["pull", &registry.image()]).success()?;
    done.says("Image is up to date")?;
    house.dockster(["pull", "--platform", "linux/arm/v7", &registry.image()]).success()?;
    assert_eq!(registry.gets(&v7), 1);
    let done = house.dockster(["pull", "--platform", "linux/mips64", &registry.image()]).code(1)?;
    one_sentence(&done, "no matching manifest for linux/mips64 in the manifest list entries")?;
    done.complains("linux/arm/v6")?;
    house.nothing_left()
}

fn entries_digest(index: &serde_json::Value, number: usize) -> String {
    index["manifests"][number]["digest"].as_str().unwrap_or_default().to_owned()
}

fn a_killed_pull() -> Result<(), Failed> {
    let stalled = Arc::new(AtomicBool::new(false));
    let stall = Arc::clone(&stalled);
    let (house, registry) = with(move |asked, content| match asked.before {
        0 if asked.is(noise(content)) => {
            stall.store(true, Ordering::SeqCst);
            Act::Stall(1_000_000)
        }
        _ => Act::Serve,
    })?;
    let pull = Background::start(house.dockster(["pull", &registry.image()]))?;
    let part = |name: String| fs::metadata(house.root().join("downloads").join(name));
    wait_until("it has all but the end of a layer", PATIENCE, || {
        let all = fs::read_dir(house.root().join("downloads")).into_iter().flatten().flatten();
        let names: Vec<_> =
            all.map(|entry| entry.file_name().into_string().unwrap_or_default()).collect();
        let parts: Vec<_> = names.iter().filter(|name| name.ends_with(".part")).collect();
        // The configuration and two layers are whole.
        stalled.load(Ordering::SeqCst)
            && names.len() == 4
            && parts.len() == 1
            && part(parts[0].clone()).is_ok_and(|about| about.len() == 1_000_000)
    })?;
    pull.signal(Signal::SIGKILL)?;
    drop(pull);
    assert_eq!(house.dockster(["images", "-q"]).success()?.stdout, "");
    let before = registry.asked(0).len();
    succeeds(&house, &registry)?;
    let blobs: Vec<_> = registry.asked(before);
    let blobs: Vec<_> = blobs.iter().filter(|asked| asked.path.contains("/blobs/")).collect();
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    assert_eq!(blobs[0].start(), Some(1_000_000));
    // What nobody takes up goes with prune.
    let (house, registry) = with(|asked, content| match asked.is(noise(content)) {
        true => status(404),
        false => Act::Serve,
    })?;
    fails(&house, &registry, "404")?;
    assert!(downloads(&house) > 0);
    house.dockster(["image", "prune", "-f"]).success()?.says("Total reclaimed space: ")?;
    assert_eq!(downloads(&house), 0);
    Ok(())
}

/// After each question in turn, and shortly after the last one.
fn killed_anywhere() -> Result<(), Failed> {
    let house = House::empty();
    let content = Content::new(&house)?;
    let limit = Arc::new(AtomicUsize::new(1));
    let count = Arc::new(AtomicUsize::new(0));
    let (limited, counted) = (Arc::clone(&limit), Arc::clone(&count));
    let registry = Registry::new(content, move |_| {
        match counted.fetch_add(1, Ordering::SeqCst) + 1 >= limited.load(Ordering::SeqCst) {
            true => Act::Stall(100_000),
            false => Act::Serve,
        }
    })?;
    for moment in 1..=8 {
        count.store(0, Ordering::SeqCst);
        limit.store(moment, Ordering::SeqCst);
        let mut pull = Background::start(house.dockster(["pull", &registry.image()]))?;
        wait_until("it has asked so often, or is done", PATIENCE, || {
            count.load(Ordering::SeqCst) >= moment || pull.ended()
        })?;
        // Dropped, it is killed.
        drop(pull);
        house.dockster(["images"]).success()?;
    }
    limit.store(usize::MAX, Ordering::SeqCst);
    succeeds(&house, &registry)
}

fn two_pulls_fetch_once() -> Result<(), Failed> {
    let (house, registry) = with(|_, _| Act::Serve)?;
    let pulls: Result<Vec<_>, _> =
        (0..3).map(|_| Background::start(house.dockster(["pull", &registry.image()]))).collect();
    for mut pull in pulls? {
        let status = pull.status()?;
        assert!(status.success(), "{status}: {}", pull.stderr());
    }
    let asked = registry.asked(0);
    let blobs = asked.iter().filter(|asked| asked.path.contains("/blobs/")).count();
    assert_eq!(blobs, 4, "a blob was fetched twice");
    runs(&house, &registry)
}

/// Images without a registry in their names, which are Docker Hub's, come from it.
fn a_mirror_is_asked_first() -> Result<(), Failed> {
    let (house, registry) = with(|_, _| Act::Serve)?;
    let config = house.join("daemon.json");
    let text = json!({"registry-mirrors": [format!("http://{}", registry.address)]});
    fs::write(&config, text.to_string())?;
    let run =
        |words: &[&str]| house.dockster(words.iter().copied()).env("DOCKSTER_CONFIG_FILE", &config);
    let done = run(&["pull", "app:1"]).success()?;
    done.says("1: Pulling from library/app\n")?.says("\ndocker.io/library/app:1\n")?;
    assert!(registry.asked(0).iter().any(|asked| asked.path == "/v2/library/app/manifests/1"));
    assert_eq!(house.run(["app:1"]).success()?.stdout, "marked\n");
    fs::write(&config, r#"{"registry-mirror": []}"#)?;
    one_sentence(&run(&["pull", "app:1"]).code(1)?, "unknown field `registry-mirror`")?;
    assert_eq!(digest(b""), format!("sha256:{}", EMPTY));
    Ok(())
}

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
