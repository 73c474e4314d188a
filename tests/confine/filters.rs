//! Filters, run by a machine here.

use std::fs;
use std::path::Path;

use ch07_confine::{Abi, Filter};
use dockster_tests::{Failed, Trial, host, trial};
use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_THREAD};
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

use crate::machine::{Call, check, judge, run};

const EPERM: u32 = SECCOMP_RET_ERRNO | 1;
const ENOSYS: u32 = SECCOMP_RET_ERRNO | 38;
const ALL: [&str; 4] = ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPS64"];

pub fn trials() -> Vec<Trial> {
    let of = |name: &str, test: fn() -> Result<(), Failed>| trial(name, &[], test);
    vec![
        of("filter_default_is_for_the_unnamed", the_default),
        of("filter_new_calls_do_not_exist", new_calls),
        of("filter_foreign_architectures_are_killed", foreign),
        of("filter_numbers_of_each_architecture", numbers),
        of("filter_all_operators_over_64_bits", operators),
        of("filter_without_conditions_wins", unconditional),
        of("filter_two_conditions_on_one_argument", twice),
        of("filter_old_calls_with_many_parts", parts),
        of("filter_actions_and_their_data", actions),
        of("filter_flags", flags),
        of("filter_what_it_refuses", refused),
        of("filter_made_up_profiles", made_up),
        of("filter_a_whole_profile", whole_profile),
        of("filter_too_long", too_long),
    ]
}

pub fn profile(json: Value) -> LinuxSeccomp {
    serde_json::from_value(json).expect("a profile")
}

fn compile(native: Abi, json: Value) -> Filter {
    let filter = Filter::compile_for(native, &profile(json)).expect("a good profile");
    check(&filter.program);
    filter
}

fn call(abi: Abi, name: &str, arguments: [u64; 6]) -> Call {
    let number = abi.calls().iter().find(|(_, n)| *n == name).expect("a call").0;
    Call { number, architecture: abi.audit(), arguments }
}

fn verdict(filter: &Filter, abi: Abi, name: &str, first: u64) -> u32 {
    run(&filter.program, &call(abi, name, [first, 0, 0, 0, 0, 0])).0
}

fn the_default() -> Result<(), Failed> {
    let filter = compile(
        Abi::X86_64,
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["chmod", "no_such_call"], "action": "SCMP_ACT_ERRNO"}]}),
    );
    assert_eq!(verdict(&filter, Abi::X86_64, "chmod", 0), EPERM);
    assert_eq!(verdict(&filter, Abi::X86_64, "fchmod", 0), SECCOMP_RET_ALLOW);
    let none =
        compile(Abi::X86_64, json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 6}));
    assert_eq!(verdict(&none, Abi::X86_64, "read", 0), SECCOMP_RET_ERRNO | 6);
    Ok(())
}

/// As runc's patchbpf: what is newer than all that the profile names is ENOSYS.
fn new_calls() -> Result<(), Failed> {
    let names = ["read", "openat2", "madvise"];
    let of = |default: &str| {
        compile(
            Abi::X86_64,
            json!({"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
                "syscalls": [{"names": names, "action": "SCMP_ACT_LOG"}]}),
        )
    };
    let denies = of("SCMP_ACT_ERRNO");
    for abi in [Abi::X86_64, Abi::X86] {
        assert_eq!(verdict(&denies, abi, "close_range", 0), EPERM, "older");
        assert_eq!(verdict(&denies, abi, "faccessat2", 0), ENOSYS, "newer");
        let number = 1000;
        let unknown = Call { number, architecture: abi.audit(), arguments: [0; 6] };
        assert_eq!(run(&denies.program, &unknown).0, ENOSYS);
    }
    assert_eq!(verdict(&of("SCMP_ACT_KILL"), Abi::X86_64, "faccessat2", 0), ENOSYS);
    assert_eq!(verdict(&of("SCMP_ACT_ALLOW"), Abi::X86_64, "faccessat2", 0), SECCOMP_RET_ALLOW);
    Ok(())
}

fn foreign() -> Result<(), Failed> {
    let of = |architectures: &[&str]| {
        compile(
            Abi::X86_64,
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures}),
        )
    };
    let native = of(&[]);
    assert_eq!(verdict(&native, Abi::X86_64, "read", 0), SECCOMP_RET_ALLOW);
    for abi in [Abi::X86, Abi::X32, Abi::Aarch64] {
        assert_eq!(verdict(&native, abi, "read", 0), SECCOMP_RET_KILL_THREAD, "{abi:?}");
    }
    // What cannot run here is not asked for: its programs cannot run here.
    let all = of(&ALL);
    for abi in [Abi::X86, Abi::X32] {
        assert_eq!(verdict(&all, abi, "read", 0), SECCOMP_RET_ALLOW, "{abi:?}");
    }
    assert_eq!(verdict(&all, Abi::Arm, "read", 0), SECCOMP_RET_KILL_THREAD);
    // A tracer's -1 is not the number of an x32 call.
    let skipped = Call { number: u32::MAX, architecture: Abi::X86_64.audit(), arguments: [0; 6] };
    assert_eq!(run(&native.program, &skipped).0, SECCOMP_RET_ALLOW);
    Ok(())
}

fn numbers() -> Result<(), Failed> {
    let number = |abi: Abi, name: &str| call(abi, name, [0; 6]).number;
    // From the kernel's tables.
    assert_eq!(number(Abi::X86_64, "execve"), 59);
    assert_eq!(number(Abi::X86, "execve"), 11);
    assert_eq!(number(Abi::X32, "execve"), 0x4000_0000 | 520);
    assert_eq!(number(Abi::X32, "pwritev2"), 0x4000_0000 | 547);
    assert_eq!(number(Abi::X32, "read"), 0x4000_0000);
    assert_eq!(number(Abi::Aarch64, "execve"), 221);
    assert_eq!(number(Abi::Arm, "execve"), 11);
    assert_eq!(number(Abi::Arm, "set_tls"), 0x000f_0005);
    for abi in [Abi::X86_64, Abi::X32, Abi::X86, Abi::Aarch64, Abi::Arm] {
        assert_eq!(number(abi, "clone3"), abi.first() | 435);
        assert_eq!(number(abi, "file_setattr"), abi.first() | 469, "the last one, too");
    }
    assert_eq!(Abi::X86_64.audit(), 0xc000_003e);
    assert_eq!(Abi::X86.audit(), 0x4000_0003);
    assert_eq!(Abi::Aarch64.audit(), 0xc000_00b7);
    assert_eq!(Abi::Arm.audit(), 0x4000_0028);
    Ok(())
}

fn operators() -> Result<(), Failed> {
    let edges = |value: u64| {
        let near = [value.wrapping_sub(1), value, value.wrapping_add(1)];
        let halves = [value & 0xffff_ffff, value >> 32 << 32, value ^ 1 << 32, value ^ 1 << 63];
        [&near[..], &halves[..], &[0, u64::MAX, 0xffff_ffff, 1 << 32]].concat()
    };
    for operator in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        for value in [0, 5, 0xffff_ffff, 0x1_0000_0000, 0x1234_5678_9abc_def0, u64::MAX] {
            for second in [0, value, value & 0xf0f0_0f0f_f0f0_0f0f] {
                let rules = json!({"defaultAction": "SCMP_ACT_ERRNO",
                    "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": [
                    {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 3,
                    "value": value, "valueTwo": second, "op": format!("SCMP_CMP_{operator}")}]}]});
                let filter = compile(Abi::X86_64, rules.clone());
                let rules = profile(rules);
                for abi in [Abi::X86_64, Abi::X86, Abi::X32] {
                    for argument in edges(value).into_iter().chain(edges(second)) {
                        let cut = if abi == Abi::X86 { argument & 0xffff_ffff } else { argument };
                        let call = call(abi, "personality", [7, 7, 7, cut, 7, 7]);
                        let expected = judge(&rules, Abi::X86_64, &call);
                        let got = run(&filter.program, &call).0;
                        assert_eq!(got, expected, "{operator} {value:#x} {second:#x}: {call:x?}");
                    }
                }
            }
        }
    }
    Ok(())
}

fn unconditional() -> Result<(), Failed> {
    let some = json!({"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
        "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]});
    let other = json!({"names": ["personality"], "action": "SCMP_ACT_TRAP",
        "args": [{"index": 0, "value": 4, "op": "SCMP_CMP_GT"}]});
    let all = json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW"});
    let of = |rules: [&Value; 2]| {
        compile(Abi::X86_64, json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    };
    for order in [[&some, &all], [&all, &some]] {
        assert_eq!(verdict(&of(order), Abi::X86_64, "personality", 8), SECCOMP_RET_ALLOW);
    }
    // Of two that are met, the first.
    let first = of([&some, &other]);
    assert_eq!(verdict(&first, Abi::X86_64, "personality", 8), SECCOMP_RET_ERRNO | 5);
    assert_eq!(verdict(&first, Abi::X86_64, "personality", 9), libc::SECCOMP_RET_TRAP);
    assert_eq!(verdict(&first, Abi::X86_64, "personality", 4), EPERM);
    Ok(())
}

fn twice() -> Result<(), Failed> {
    let is = |index: u32, value: u64| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let of = |args: Value| {
        compile(
            Abi::X86_64,
            json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": args}]}),
        )
    };
    let either = of(json!([is(0, 1), is(0, 2)]));
    let both = of(json!([is(0, 1), is(1, 2)]));
    let socket = |filter: &Filter, arguments| {
        run(&filter.program, &call(Abi::X86_64, "socket", arguments)).0 == SECCOMP_RET_ALLOW
    };
    assert!(socket(&either, [1, 0, 0, 0, 0, 0]) && socket(&either, [2, 0, 0, 0, 0, 0]));
    assert!(!socket(&either, [3, 0, 0, 0, 0, 0]));
    assert!(socket(&both, [1, 2, 0, 0, 0, 0]));
    assert!(!socket(&both, [1, 0, 0, 0, 0, 0]) && !socket(&both, [0, 2, 0, 0, 0, 0]));
    Ok(())
}

/// A 32-bit program can make a socket by socketcall(2) as well.
fn parts() -> Result<(), Failed> {
    let x86 = ["SCMP_ARCH_X86"];
    let of = |default: &str, rules: Value| {
        compile(
            Abi::X86_64,
            json!({"defaultAction": default, "architectures": x86, "syscalls": rules}),
        )
    };
    let alg = json!([{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]);
    let (socket, bind) = (1, 2);
    let old = |filter: &Filter, part| verdict(filter, Abi::X86, "socketcall", part);

    let none = of("SCMP_ACT_ALLOW", json!([{"names": ["socket"], "action": "SCMP_ACT_ERRNO"}]));
    assert_eq!((old(&none, socket), old(&none, bind)), (EPERM, SECCOMP_RET_ALLOW));
    let some = json!([{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": alg}]);
    assert_eq!(old(&of("SCMP_ACT_ALLOW", some), socket), EPERM, "it cannot be told apart");
    let some = json!([{"names": ["socket", "accept4"], "action": "SCMP_ACT_ALLOW", "args": alg}]);
    assert_eq!(old(&of("SCMP_ACT_ERRNO", some), socket), EPERM, "nor here");
    let all = json!([{"names": ["socket", "accept4"], "action": "SCMP_ACT_ALLOW"}]);
    let all = of("SCMP_ACT_ERRNO", all);
    assert_eq!((old(&all, socket), old(&all, bind)), (SECCOMP_RET_ALLOW, EPERM));
    let named = json!([{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": alg},
        {"names": ["socketcall"], "action": "SCMP_ACT_ALLOW"}]);
    assert_eq!(old(&of("SCMP_ACT_ERRNO", named), socket), SECCOMP_RET_ALLOW, "its own name wins");

    let queue = of("SCMP_ACT_ALLOW", json!([{"names": ["msgget"], "action": "SCMP_ACT_ERRNO"}]));
    let ipc = |part| verdict(&queue, Abi::X86, "ipc", part);
    assert_eq!((ipc(13), ipc(0x1_000d), ipc(14)), (EPERM, EPERM, SECCOMP_RET_ALLOW));
    Ok(())
}

fn actions() -> Result<(), Failed> {
    let of = |action: &str, errno: Option<u32>| {
        let mut rule = json!({"names": ["read"], "action": action});
        if let Some(errno) = errno {
            rule["errnoRet"] = json!(errno);
        }
        let filter = compile(
            Abi::X86_64,
            json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [rule]}),
        );
        verdict(&filter, Abi::X86_64, "read", 0)
    };
    // linux/seccomp.h.
    assert_eq!(of("SCMP_ACT_KILL", None), 0);
    assert_eq!(of("SCMP_ACT_KILL_THREAD", None), 0);
    assert_eq!(of("SCMP_ACT_KILL_PROCESS", None), 0x8000_0000);
    assert_eq!(of("SCMP_ACT_TRAP", None), 0x0003_0000);
    assert_eq!(of("SCMP_ACT_ERRNO", None), 0x0005_0001);
    assert_eq!(of("SCMP_ACT_ERRNO", Some(38)), 0x0005_0026);
    assert_eq!(of("SCMP_ACT_ERRNO", Some(0)), 0x0005_0000);
    assert_eq!(of("SCMP_ACT_TRACE", Some(7)), 0x7ff0_0007);
    assert_eq!(of("SCMP_ACT_LOG", None), 0x7ffc_0000);
    assert_eq!(of("SCMP_ACT_ALLOW", None), 0x7fff_0000);
    Ok(())
}

fn flags() -> Result<(), Failed> {
    let of = |flags: Value| {
        compile(Abi::X86_64, json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags})).flags
    };
    assert_eq!(of(Value::Null), 4, "SPEC_ALLOW, as runc");
    assert_eq!(of(json!([])), 0);
    assert_eq!(of(json!(["SECCOMP_FILTER_FLAG_LOG"])), 2);
    assert_eq!(of(json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"])), 6);
    let unused = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"];
    assert_eq!(of(json!(unused)), 0);
    // With a supervisor there is somebody to wait for: NEW_LISTENER, WAIT_KILLABLE_RECV.
    let asks = |flags: Value| {
        let rule = json!({"names": ["bpf"], "action": "SCMP_ACT_NOTIFY"});
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags,
            "listenerPath": "/s", "syscalls": [rule]});
        compile(Abi::X86_64, profile).flags
    };
    assert_eq!(asks(Value::Null), 8 | 4);
    assert_eq!(asks(json!([])), 8);
    assert_eq!(asks(json!(unused)), 8 | 32);
    Ok(())
}

fn refused() -> Result<(), Failed> {
    let of = |rule: Value| {
        let profile = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
        Filter::compile(&profile).expect_err("it is refused").to_string()
    };
    let says = |rule: Value, says: &str| assert!(of(rule.clone()).contains(says), "{}", of(rule));
    says(
        json!({"names": ["bpf"], "action": "SCMP_ACT_NOTIFY"}),
        "SCMP_ACT_NOTIFY takes a listenerPath",
    );
    says(
        json!({"names": ["bpf"], "action": "SCMP_ACT_KILL", "errnoRet": 1}),
        "SCMP_ACT_KILL has no errno to return",
    );
    says(json!({"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 70000}), "70000 is not");
    says(
        json!({"names": ["bpf"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}),
        "arguments 0 to 5, and no 6",
    );
    Ok(())
}

/// Profiles at random; filter and profile have to agree on calls at random.
fn made_up() -> Result<(), Failed> {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    for round in 0..if host().is_slow() { 10 } else { 200 } {
        let native = if random.below(2) == 0 { Abi::X86_64 } else { Abi::Aarch64 };
        let json = random.profile();
        let filter = compile(native, json.clone());
        let profile = profile(json);
        for _ in 0..200 {
            let call = random.call(native);
            // Told apart by memory, which the judge does not read either.
            if call.architecture == Abi::X86.audit() && [102, 117].contains(&call.number) {
                continue;
            }
            let got = run(&filter.program, &call).0;
            let expected = judge(&profile, native, &call);
            assert_eq!(got, expected, "seed {seed}, round {round}: {call:x?}\n{profile:#?}");
        }
    }
    Ok(())
}

struct Random(u64);

impl Random {
    /// xorshift64.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 8) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// Few values, so that some are equal.
    fn value(&mut self) -> u64 {
        let value = self.of(&[0, 1, 2, 0xffff_ffff, 1 << 32, 1 << 32 | 1, 3 << 32, u64::MAX]);
        if self.below(8) == 0 { self.next() } else { value }
    }

    fn name(&mut self) -> &'static str {
        let abi = self.of(&[Abi::X86_64, Abi::X86, Abi::Aarch64, Abi::Arm]);
        // A few often, so that one has several rules.
        let few = ["read", "clone", "socket", "personality", "openat", "no_such_call"];
        if self.below(2) == 0 { self.of(&few) } else { self.of(&abi.calls()).1 }
    }

    fn profile(&mut self) -> Value {
        let actions = ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "LOG", "TRACE", "TRAP"];
        let action = |random: &mut Self| format!("SCMP_ACT_{}", random.of(&actions));
        let condition = |random: &mut Self| {
            let operator = random.of(&["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
            json!({"index": random.below(6), "value": random.value(),
                "valueTwo": random.value(), "op": format!("SCMP_CMP_{operator}")})
        };
        let rule = |random: &mut Self| {
            let names: Vec<_> = (0..random.below(8) + 1).map(|_| random.name()).collect();
            let args: Vec<_> =
                (0..random.of(&[0, 0, 1, 2, 3, 6])).map(|_| condition(random)).collect();
            json!({"names": names, "action": action(random), "args": args})
        };
        let rules: Vec<_> = (0..self.below(12)).map(|_| rule(self)).collect();
        let architectures: Vec<_> = ALL.into_iter().filter(|_| self.below(2) == 0).collect();
        json!({"defaultAction": action(self), "architectures": architectures, "syscalls": rules})
    }

    fn call(&mut self, native: Abi) -> Call {
        let abi = self.of(native.beside());
        let name = self.name();
        let known = abi.calls().iter().find(|(_, n)| *n == name).map(|(number, _)| *number);
        let number = match (known, self.below(10)) {
            (_, 0) => self.next() as u32,
            (_, 1) => self.of(&[u32::MAX, 1 << 30, (1 << 30) - 1, 1000, 0x4000_0fff]),
            (Some(number), _) => number,
            (None, _) => abi.first() + self.below(600) as u32,
        };
        let mut arguments = [(); 6].map(|()| self.value());
        if !abi.is_wide() && abi != Abi::X32 {
            arguments = arguments.map(|a| a & 0xffff_ffff);
        }
        let architecture = if self.below(50) == 0 { self.next() as u32 } else { abi.audit() };
        Call { number, architecture, arguments }
    }
}

/// The profile that podman has installed, where it is.
fn whole_profile() -> Result<(), Failed> {
    let path = Path::new("/usr/share/containers/seccomp.json");
    let Ok(text) = fs::read(path) else { return Ok(()) };
    let mut json: Value = serde_json::from_slice(&text)?;
    json["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    // As podman for a container without any capability.
    let rules = json["syscalls"].as_array_mut().ok_or("no rules")?;
    rules.retain(|rule| {
        let caps = |of: &str| rule[of]["caps"].as_array().is_some_and(|caps| !caps.is_empty());
        !caps("includes")
    });
    let filter = compile(Abi::X86_64, json.clone());
    assert!(filter.program.len() < 2000, "{} instructions", filter.program.len());
    let profile = profile(json);
    let mut random = Random(7);
    let mut longest = 0;
    for abi in [Abi::X86_64, Abi::X86, Abi::X32] {
        for number in (0..600).map(|number| abi.first() + number) {
            if abi == Abi::X86 && number == 117 {
                continue; // ipc: by the rules for its parts, which the judge does not know
            }
            let arguments = [(); 6].map(|()| random.value());
            let call = Call { number, architecture: abi.audit(), arguments };
            let (got, steps) = run(&filter.program, &call);
            assert_eq!(got, judge(&profile, Abi::X86_64, &call), "{call:x?}");
            longest = longest.max(steps);
        }
    }
    assert!(longest < 50, "a call takes {longest} instructions");
    Ok(())
}

fn too_long() -> Result<(), Failed> {
    let args: Vec<_> =
        (0..6).map(|i| json!({"index": i, "value": 1, "op": "SCMP_CMP_EQ"})).collect();
    let rule = json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args});
    let json = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": vec![rule; 200]});
    let error = Filter::compile(&profile(json)).expect_err("the kernel takes 4096");
    assert!(error.to_string().contains("no more than 4096"), "{error}");
    Ok(())
}
