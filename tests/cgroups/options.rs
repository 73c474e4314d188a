//! Sizes and options: what is taken, and what is refused with which sentence.

use ch03_cgroups::sizes::{cpus, size, size_or_unlimited};
use ch03_cgroups::{LimitOptions, Limits};
use clap::Parser;
use dockster_tests::{Failed, Trial};

use crate::check;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("options::sizes", sizes),
        Trial::test("options::sizes_refused", sizes_refused),
        Trial::test("options::processors", processors),
        Trial::test("options::become_limits", become_limits),
        Trial::test("options::refused_as_docker_does", refused),
    ]
}

fn sizes() -> Result<(), Failed> {
    let table = [
        ("0", 0),
        ("1", 1),
        ("100b", 100),
        ("32k", 32 << 10),
        ("32KB", 32 << 10),
        ("32 KiB", 32 << 10),
        ("64m", 64 << 20),
        ("1.5g", 3 << 29),
        ("2G", 2 << 30),
        ("0.5t", 1 << 39),
        ("7p", 7 << 50),
        ("9007199254740993", 9_007_199_254_740_993), // more than a float can hold
    ];
    for (text, bytes) in table {
        check(size(text) == Ok(bytes), || format!("{text}: {:?}", size(text)))?;
    }
    check(size_or_unlimited("-1") == Ok(-1), || "-1 is not unlimited".into())
}

fn sizes_refused() -> Result<(), Failed> {
    let wrong = [
        "",
        " ",
        "m",
        ".",
        ".m",
        "12q",
        "-1",
        "-5m",
        "1e3",
        "inf",
        "nan",
        "0x10",
        "1.2.3m",
        "64mm",
        "64ib",
        "64m ",
        "６4m",
        "9999999999999p",
        "99999999999999999999",
        "8192p",
        "+5",
        "1_000",
        "m64",
    ];
    for text in wrong {
        let error = size(text).err().ok_or(format!("{text:?} was taken"))?;
        check(error.to_string().starts_with(&format!("{text:?} is not a size: ")), || {
            error.to_string()
        })?;
        check(error.hint.is_some(), || format!("{text:?}: no hint"))?;
    }
    check(size_or_unlimited("-2").is_err(), || "-2 was taken".into())
}

fn processors() -> Result<(), Failed> {
    for (text, quota) in
        [("0.5", 50_000), ("1", 100_000), ("0.01", 1000), ("1.5", 150_000), (".5", 50_000)]
    {
        check(cpus(text) == Ok(quota), || format!("{text}: {:?}", cpus(text)))?;
    }
    for text in ["", ".", "0", "0.001", "-1", "1e2", "inf", "NaN", "two", "1,5", "99999999999"] {
        check(cpus(text).is_err(), || format!("{text:?} was taken"))?;
    }
    Ok(())
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    limits: LimitOptions,
}

fn parse(line: &str) -> Result<Limits, String> {
    let words = ["test"].into_iter().chain(line.split_whitespace());
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    cli.limits.limits().map_err(|error| error.to_string())
}

fn become_limits() -> Result<(), Failed> {
    let none = Limits::default();
    let table = [
        ("", none.clone()),
        // As much swap as memory, as docker.
        ("-m 64m", Limits { memory: Some(64 << 20), memory_swap: Some(128 << 20), ..none.clone() }),
        (
            "-m 64m --memory-swap 96m",
            Limits { memory: Some(64 << 20), memory_swap: Some(96 << 20), ..none.clone() },
        ),
        (
            "--memory 64m --memory-swap -1",
            Limits { memory: Some(64 << 20), memory_swap: Some(-1), ..none.clone() },
        ),
        ("-m 0 --cpu-shares 0 --memory-swap 0", none.clone()),
        (
            "--cpus 0.5",
            Limits { cpu_quota: Some(50_000), cpu_period: Some(100_000), ..none.clone() },
        ),
        (
            "--cpu-quota 20000 --cpu-period 50000 -c 512",
            Limits {
                cpu_quota: Some(20_000),
                cpu_period: Some(50_000),
                cpu_shares: Some(512),
                ..none.clone()
            },
        ),
        ("--pids-limit 32", Limits { pids: Some(32), ..none.clone() }),
        ("--pids 32", Limits { pids: Some(32), ..none.clone() }),
        ("--pids-limit 0", Limits { pids: Some(-1), ..none.clone() }),
        ("--pids-limit -1", Limits { pids: Some(-1), ..none.clone() }),
        (
            "--cpuset-cpus 0 --cpuset-mems 0 --blkio-weight 500",
            Limits {
                cpuset_cpus: Some("0".into()),
                cpuset_mems: Some("0".into()),
                io_weight: Some(500),
                ..none.clone()
            },
        ),
    ];
    for (line, limits) in table {
        let parsed = parse(line);
        check(parsed.as_ref() == Ok(&limits), || format!("{line:?}: {parsed:?}"))?;
    }
    Ok(())
}

fn refused() -> Result<(), Failed> {
    let table = [
        ("-m 12q", "\"q\" is not a unit"),
        ("-m 1", "under 6m is too small"),
        ("-m 5m", "under 6m is too small"),
        ("--memory-swap 64m", "wants --memory beside it"),
        ("-m 64m --memory-swap 32m", "must not be less than --memory"),
        ("-m 64m --memory-reservation 128m", "larger than the memory limit"),
        ("--cpus 10000", "more than this machine's"),
        ("--cpus 0.001", "0.01 is the least"),
        ("--cpus 1 --cpu-quota 5000", "cannot be used with"),
        ("--cpu-quota 10", "under 1000 microseconds"),
        ("--cpu-period 10", "is not in 1000..=1000000"),
        ("--pids-limit many", "invalid value"),
        ("--blkio-weight 5", "is not in 10..=1000"),
        ("--device-read-bps /dev/null:1m", "is not a disk"),
        ("--device-read-bps /dev/null", "wants a disk and a number"),
        ("--device-write-iops /nowhere:5", "ENOENT"),
    ];
    for (line, words) in table {
        let error = parse(line).err().ok_or(format!("{line:?} was taken"))?;
        check(error.contains(words), || format!("{line:?}: {error:?} lacks {words:?}"))?;
    }
    Ok(())
}
