//! What a host cannot give is an error, before anything is made.

use ch07_confine::credentials::prepare;
use dockster_tests::{Failed, Trial, trial};
use oci_spec::runtime::{Process, Spec};
use serde_json::json;

pub fn trials() -> Vec<Trial> {
    vec![trial("refused_labels", &[], labels)]
}

fn labels() -> Result<(), Failed> {
    let spec: Spec = serde_json::from_value(json!({"ociVersion": "1.2.0"}))?;
    let prepared = |field: &str, value: &str| {
        let user = json!({"uid": 0, "gid": 0});
        let mut process = json!({"cwd": "/", "user": user});
        process[field] = json!(value);
        let process: Process = serde_json::from_value(process).expect("a process");
        prepare(&spec, &process).map(drop)
    };
    let missing = |path: &str| !std::path::Path::new(path).exists();
    if missing("/sys/module/apparmor") {
        let error = prepared("apparmorProfile", "p").expect_err("there is none").to_string();
        assert_eq!(
            error,
            "config.json: process.apparmorProfile is set, but apparmor is not enabled"
        );
    }
    if missing("/sys/fs/selinux/enforce") {
        let error = prepared("selinuxLabel", "l").expect_err("there is none").to_string();
        assert_eq!(error, "config.json: process.selinuxLabel is set, but selinux is not enabled");
    }
    // As engines send it for none.
    prepared("apparmorProfile", "")?;
    prepared("selinuxLabel", "")?;
    Ok(())
}
