//! Every field of config.json: what is said to be honoured has a test that looks from
//! inside, what is not is refused by its name, and the book's page says the same.

use std::fs;

use ch05_lifecycle::fields::{FIELDS, Verdict};
use dockster_tests::{Failed, Need, Trial, source_dir, trial};
use serde_json::{Value, json};

use crate::bundle::{Bundle, case, ours};
use crate::{
    fields_cgroups, fields_confine, fields_hooks, fields_linux, fields_memory, fields_mounts,
    fields_notify, fields_process,
};

/// A test, and the fields that it shows to be honoured.
pub struct Shown {
    /// Their paths, as in [`FIELDS`].
    pub fields: &'static [&'static str],
    /// The test.
    pub trial: Trial,
}

/// A test that shows `fields`.
pub fn shows(fields: &'static [&'static str], trial: Trial) -> Shown {
    Shown { fields, trial }
}

pub fn trials() -> Vec<Trial> {
    let topics = [
        fields_process::shown(),
        fields_mounts::shown(),
        fields_hooks::shown(),
        fields_linux::shown(),
        fields_cgroups::shown(),
        fields_confine::shown(),
        fields_memory::shown(),
        fields_notify::shown(),
    ];
    let mut trials = Vec::new();
    let mut covered = Vec::new();
    for shown in topics.into_iter().flatten() {
        covered.extend_from_slice(shown.fields);
        trials.push(shown.trial);
    }
    trials.extend([
        trial("fields::each_that_is_honoured_has_a_test", &[], move || each_is_covered(&covered)),
        trial("fields::the_page_says_what_the_table_says", &[], the_page),
        trial("fields::a_path_stands_once", &[], once),
        ours("fields::each_that_is_not_honoured_is_refused", &[Need::Root], each_is_refused),
        case("fields::what_asks_for_nothing_is_not_refused", &[Need::Root], nothing_asked),
        case("fields::what_nobody_knows_is_ignored", &[Need::Root], unknown),
        case("fields::other_platforms_are_ignored", &[Need::Root], other_platforms),
    ]);
    trials
}

fn each_is_covered(covered: &[&str]) -> Result<(), Failed> {
    let honoured = || FIELDS.iter().filter(|field| field.verdict == Verdict::Honoured);
    let missing: Vec<_> =
        honoured().map(|field| field.path).filter(|path| !covered.contains(path)).collect();
    let unknown: Vec<_> =
        covered.iter().filter(|path| !honoured().any(|field| field.path == **path)).collect();
    match (&missing[..], &unknown[..]) {
        ([], []) => Ok(()),
        _ => {
            Err(format!("no test shows {missing:#?}\nnot honoured, but shown: {unknown:#?}").into())
        }
    }
}

fn once() -> Result<(), Failed> {
    let mut paths: Vec<_> = FIELDS.iter().map(|field| field.path).collect();
    paths.sort_unstable();
    match paths.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{} stands twice", pair[0]).into()),
        None => Ok(()),
    }
}

/// A configuration's value that asks for the field at `path`.
fn asking(path: &str) -> Value {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, asking(rest)),
        None => (path, leaf(path)),
    };
    match step.strip_suffix("[]") {
        Some(name) => json!({ name: [rest] }),
        None if step == "*" => json!({"eth9": rest}),
        None => json!({ step: rest }),
    }
}

/// A value of the type that the field has.
fn leaf(name: &str) -> Value {
    match name {
        "*" => json!({"name": "eth1"}),
        "enableCMT" | "enableMBM" | "enableMonitoring" => json!(true),
        "schemata" => json!(["MB:0=10"]),
        "closID" | "l3CacheSchema" | "memBwSchema" | "name" => json!("0"),
        _ => json!(10),
    }
}

/// Puts `from` into `into`, object by object.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn each_is_refused(bundle: &mut Bundle) -> Result<(), Failed> {
    let plain = bundle.config.clone();
    for field in FIELDS.iter().filter(|field| matches!(field.verdict, Verdict::Refused(_))) {
        bundle.config = plain.clone();
        merge(&mut bundle.config, asking(field.path));
        let done = bundle.run()?.done()?;
        let name = field.path.trim_end_matches(".*");
        if done.status.success() || !done.stderr.contains(name) {
            return Err(done.failed(&format!("{} is not refused by its name", field.path)));
        }
        bundle.nothing_left()?;
    }
    Ok(())
}

/// As programs in Go write what they do not set.
fn nothing_asked(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle
        .set("linux.intelRdt", json!({"closID": "", "enableCMT": false}))
        .set("linux.netDevices", json!({}))
        .set("linux.resources.memory", json!({"kernel": -1, "kernelTCP": -1}))
        .set("linux.resources.network", json!({"priorities": []}))
        .set("linux.seccomp", Value::Null)
        .set("hooks", json!({}))
        .set("annotations", Value::Null)
        .set("linux.maskedPaths", Value::Null);
    if crate::bundle::other().is_some() {
        // runc 1.1.5 takes an empty section for a wish.
        bundle.unset("linux.intelRdt");
    }
    bundle.sh("true").map(|_| ())
}

fn unknown(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle
        .set("somethingNew", json!({"a": [1, 2]}))
        .set("process.somethingNew", "x")
        .set("process.user.somethingNew", 1)
        .set("root.somethingNew", true)
        .set("mounts.0.somethingNew", "x")
        .set("linux.somethingNew", json!([{}]))
        .set("linux.resources.somethingNew", 7)
        .set("linux.namespaces.0.somethingNew", "x");
    assert_eq!(bundle.says("echo lives")?, "lives");
    Ok(())
}

fn other_platforms(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle
        .set("windows", json!({"layerFolders": ["C:\\layer"], "ignoreFlushesDuringBoot": true}))
        .set("solaris", json!({"milestone": "svc:/milestone/container:default"}))
        .set("vm", json!({"hypervisor": {"path": "/no/vmm"}, "kernel": {"path": "/no/kernel"}}))
        .set("zos", json!({"namespaces": [{"type": "pid"}]}))
        .set("freebsd", json!({"jail": {"parent": "no"}}))
        .set("process.commandLine", "cmd.exe")
        .set("process.user.username", "nobody")
        .set("linux.resources.memory.useHierarchy", true);
    assert_eq!(bundle.says("id -u")?, "0");
    Ok(())
}

/// The page of the book, as the table makes it.
fn page() -> String {
    let count = |wanted: fn(&Verdict) -> bool| FIELDS.iter().filter(|f| wanted(&f.verdict)).count();
    let mut page = format!(
        "# Fields of config.json\n\n{{{{#page appendix}}}}\n\n\
         `dockster-oci` reads the configuration of the OCI runtime specification 1.3.0 for Linux. \
         Of its {} fields it honours {} and refuses {}; {} change nothing here. A field that is \
         refused ends `create` with an error that names it. A field that the specification does \
         not know is ignored, as the specification demands.\n\n\
         The table is made from `chapters/05-lifecycle/src/fields.rs`. Each field that is \
         honoured has a test in `tests/oci` that looks from inside the container.\n\n\
         | Field | What Dockster does |\n| --- | --- |\n",
        FIELDS.len(),
        count(|verdict| matches!(verdict, Verdict::Honoured)),
        count(|verdict| matches!(verdict, Verdict::Refused(_))),
        count(|verdict| matches!(verdict, Verdict::Ignored(_))),
    );
    for field in FIELDS {
        let does = match field.verdict {
            Verdict::Honoured => "honours it".to_owned(),
            Verdict::Refused(why) => format!("refuses it: {why}"),
            Verdict::Ignored(why) => format!("ignores it: {why}"),
        };
        page.push_str(&format!("| `{}` | {does} |\n", field.path));
    }
    page
}

fn the_page() -> Result<(), Failed> {
    let file = source_dir().join("book/src/oci-fields.md");
    let page = page();
    if std::env::var_os("DOCKSTER_ACCEPT").is_some() {
        fs::write(&file, &page)?;
    }
    match fs::read_to_string(&file).is_ok_and(|text| text == page) {
        true => Ok(()),
        false => Err("book/src/oci-fields.md is not what the table makes: run this test with \
                      DOCKSTER_ACCEPT=1"
            .into()),
    }
}
