//! `linux.memoryPolicy` of config.json, seen from inside: numa_maps(5) says it of each
//! mapping. One node is enough for that.

use std::path::Path;

use dockster_tests::{Failed, Need};
use serde_json::{Value, json};

use crate::bundle::{Bundle, not_here, ours};
use crate::fields::{Shown, shows};

pub fn shown() -> Vec<Shown> {
    let missing = (!Path::new("/proc/self/numa_maps").exists()).then_some("a kernel without NUMA");
    let here = |name, needs: &[Need], test| not_here(ours(name, needs, test), missing);
    vec![
        shows(
            &["linux.memoryPolicy.mode", "linux.memoryPolicy.nodes", "linux.memoryPolicy.flags"],
            here("memory_policy::holds_inside", &[], policies),
        ),
        shows(&[], here("memory_policy::holds_for_exec", &[Need::Root], of_exec)),
        shows(&[], here("memory_policy::wrong", &[], wrong)),
    ]
}

/// The policies of all mappings of a program, each once.
const POLICIES: &str = "cut -d' ' -f2 /proc/self/numa_maps | sort -u";

fn policy(mode: &str, nodes: &str, flags: &[&str]) -> Value {
    json!({"mode": mode, "nodes": nodes, "flags": flags})
}

fn policies(bundle: &mut Bundle) -> Result<(), Failed> {
    assert_eq!(bundle.says(POLICIES)?, "default");
    let all = [
        (policy("MPOL_DEFAULT", "", &[]), "default"),
        (policy("MPOL_BIND", "0", &[]), "bind:0"),
        (policy("MPOL_INTERLEAVE", "0-0", &[]), "interleave:0"),
        (policy("MPOL_PREFERRED", "0", &[]), "prefer:0"),
        (policy("MPOL_LOCAL", "", &[]), "local"),
        (policy("MPOL_BIND", "0", &["MPOL_F_STATIC_NODES"]), "bind=static:0"),
        (policy("MPOL_INTERLEAVE", "0", &["MPOL_F_RELATIVE_NODES"]), "interleave=relative:0"),
        (json!({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}), "prefer (many):0"),
    ];
    for (policy, shown) in all {
        let seen = bundle.set("linux.memoryPolicy", policy).says(POLICIES)?;
        // What the kernel maps itself has none of its own.
        let first = shown.split(' ').next().unwrap_or(shown);
        let others = seen.lines().filter(|line| *line != first && *line != "default").count();
        assert!(seen.lines().any(|line| line == first) && others == 0, "{shown}: {seen}");
    }
    Ok(())
}

fn of_exec(bundle: &mut Bundle) -> Result<(), Failed> {
    bundle.set("linux.memoryPolicy", policy("MPOL_BIND", "0", &[])).ready("")?;
    let seen = bundle.exec(&[], &["sh", "-c", POLICIES]).success()?.stdout;
    assert!(seen.lines().any(|line| line == "bind:0"), "{seen}");
    bundle.end()
}

fn wrong(bundle: &mut Bundle) -> Result<(), Failed> {
    let all = [
        (policy("MPOL_SOMEHOW", "0", &[]), "linux.memoryPolicy.mode: \"MPOL_SOMEHOW\""),
        (policy("MPOL_BIND", "0-x", &[]), "linux.memoryPolicy.nodes: \"0-x\""),
        (policy("MPOL_BIND", "0", &["MPOL_F_X"]), "linux.memoryPolicy.flags: \"MPOL_F_X\""),
        // Those that only the kernel knows of: no such node, and a policy that takes one.
        (policy("MPOL_BIND", "1023", &[]), "set_mempolicy"),
        (policy("MPOL_BIND", "", &[]), "set_mempolicy"),
    ];
    for (policy, why) in all {
        let said = bundle.set("linux.memoryPolicy", policy).refuses("true")?;
        assert!(said.contains(why), "{said}");
    }
    Ok(())
}
