//! Which devices may be used: tried from inside.

use ch03_cgroups::{DeviceKind, DeviceRule, Limits, More};
use dockster_tests::{Failed, Trial, host};

use crate::child::Process;
use crate::{Scratch, beside_v1, check};

pub(crate) fn trials() -> Vec<Trial> {
    let root = |name: &str, test: fn() -> Result<(), Failed>| {
        let ignored = !host().root;
        Trial::test(name, test)
            .with_kind(if ignored { "needs root" } else { "" })
            .with_ignored_flag(ignored)
    };
    vec![
        root("devices::by_the_controller", controller),
        root("devices::by_a_program", program),
        root("devices::a_hole_in_a_rule_for_many_is_refused", hole),
        root("devices::an_update_replaces_the_program", replaced),
    ]
}

fn rule(allow: bool, kind: DeviceKind, numbers: Option<(u32, u32)>, access: &str) -> DeviceRule {
    let (major, minor) = (numbers.map(|n| n.0), numbers.map(|n| n.1));
    DeviceRule { allow, kind, major, minor, access: access.to_owned() }
}

fn limits(rules: &[DeviceRule]) -> Limits {
    let devices = Some(rules.to_vec());
    Limits { more: More { devices, ..More::default() }, ..Limits::default() }
}

/// What is possible with /dev/zero (1:5), /dev/full (1:7), and a new node of a
/// disk: letters of what works.
fn possible(scratch: &Scratch) -> Result<String, Failed> {
    let dir = dockster_tests::TempDir::new();
    let node = dir.path().join("node");
    let node = node.display();
    let script = format!(
        "(: </dev/zero) 2>/dev/null && echo zr; (: >/dev/zero) 2>/dev/null && echo zw; \
         (: <>/dev/zero) 2>/dev/null && echo zrw; \
         (: </dev/full) 2>/dev/null && echo fr; (: >/dev/full) 2>/dev/null && echo fw; \
         mknod {node} b 7 200 2>/dev/null && echo m; rm -f {node}"
    );
    let said = Process::script(scratch, &script)?;
    Ok(said.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn tables() -> Vec<(&'static str, Vec<DeviceRule>)> {
    use DeviceKind::{All, Block, Char};
    let (zero, full) = (Some((1, 5)), Some((1, 7)));
    let null = rule(true, Char, Some((1, 3)), "rwm"); // for the shell's own sake
    let with = |rules: &[DeviceRule]| [rules, std::slice::from_ref(&null)].concat();
    vec![
        ("", with(&[])),
        ("", with(&[rule(false, All, None, "rwm")])),
        ("zr zw zrw fr fw m", vec![rule(true, All, None, "rwm")]),
        ("zr zw zrw", with(&[rule(true, Char, zero, "rw")])),
        ("zr", with(&[rule(true, Char, zero, "rwm"), rule(false, Char, zero, "w")])),
        ("zr fr", with(&[rule(true, Char, None, "r")])),
        ("m", with(&[rule(true, Block, None, "m"), rule(true, Char, None, "m")])),
        ("zr zw zrw fr m", vec![rule(true, All, None, "rwm"), rule(false, Char, full, "w")]),
        // A denied access spoils those that it is a part of.
        ("zr fr fw m", vec![rule(true, All, None, "r"), rule(false, Char, zero, "w")]),
        // A later rule for all forgets what was before it.
        (
            "zw",
            with(&[
                rule(true, All, None, "rwm"),
                rule(false, Char, zero, "r"),
                rule(false, All, None, "rwm"),
                rule(true, Char, zero, "w"),
            ]),
        ),
    ]
}

fn each(scratch: &Scratch) -> Result<(), Failed> {
    for (expected, rules) in tables() {
        scratch.update(&limits(&rules))?;
        let found = possible(scratch)?;
        check(found == expected, || format!("{rules:?}: {found:?} instead of {expected:?}"))?;
    }
    Ok(())
}

fn controller() -> Result<(), Failed> {
    each(&Scratch::new("devices", &Limits::default())?)
}

fn program() -> Result<(), Failed> {
    let Some(scratch) = beside_v1("program")? else { return Ok(()) };
    scratch.create(&Limits::default())?;
    each(&scratch)
}

fn hole() -> Result<(), Failed> {
    let rules = [
        rule(true, DeviceKind::Char, None, "rw"),
        rule(false, DeviceKind::Char, Some((1, 5)), "w"),
    ];
    let error = Scratch::new("hole", &limits(&rules)).err().ok_or("it was taken")?;
    check(error.to_string().contains("c 1:5 w cannot be taken out of c *:* rw"), || {
        error.to_string()
    })?;
    let wrong = [rule(true, DeviceKind::Char, None, "rx")];
    let error = Scratch::new("hole", &limits(&wrong)).err().ok_or("x was taken")?;
    check(error.to_string().contains("no access to a device"), || error.to_string())
}

/// More than 64 could not be attached, and each could only deny.
fn replaced() -> Result<(), Failed> {
    let Some(scratch) = beside_v1("replaced")? else { return Ok(()) };
    scratch.create(&Limits::default())?;
    for _ in 0..70 {
        scratch.update(&limits(&[]))?;
        scratch.update(&limits(&[rule(true, DeviceKind::All, None, "rwm")]))?;
    }
    let found = possible(&scratch)?;
    check(found == "zr zw zrw fr fw m", || found)
}
