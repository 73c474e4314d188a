//! What a profile says, in the kernel's numbers.
//!
//! A profile is the `linux.seccomp` of a configuration: it names system calls,
//! says what shall happen to each, perhaps only under conditions on its
//! arguments, and what happens to all others.

use std::collections::HashMap;

use ch01_clone::{Error, Result};
use libc::{
    EPERM, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG, SECCOMP_RET_TRACE, SECCOMP_RET_TRAP,
    SECCOMP_RET_USER_NOTIF,
};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg,
    LinuxSeccompFilterFlag as Flag, LinuxSeccompOperator as Operator,
};

use crate::abi::Abi;

/// A profile, read and checked.
pub struct Profile<'a> {
    /// What happens to a call that no rule decides: SECCOMP_RET_* with its data.
    pub default: u32,
    /// SECCOMP_FILTER_FLAG_* of seccomp(2).
    pub flags: u32,
    architectures: &'a [Arch],
    /// For each name that the profile has, its rules in their order.
    rules: HashMap<&'a str, Vec<Rule>>,
}

/// If all conditions are met, this is what happens.
#[derive(Debug, Clone)]
pub struct Rule {
    /// On the arguments; none are always met.
    pub conditions: Vec<Condition>,
    /// SECCOMP_RET_* with its data.
    pub action: u32,
}

/// What an argument must be.
#[derive(Debug, Clone, Copy)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub index: u32,
    /// How it is compared; [`Operator::ScmpCmpMaskedEq`]: in the bits of `value`, with `second`.
    pub operator: Operator,
    /// With what.
    pub value: u64,
    /// Only for [`Operator::ScmpCmpMaskedEq`].
    pub second: u64,
}

impl<'a> Profile<'a> {
    /// Reads a profile. What cannot be honoured is an error.
    pub fn read(profile: &'a LinuxSeccomp) -> Result<Self> {
        let default = action(profile.default_action(), profile.default_errno_ret())?;
        let mut rules: HashMap<_, Vec<_>> = HashMap::new();
        for call in profile.syscalls().iter().flatten() {
            let action = action(call.action(), call.errno_ret())?;
            let all = call.args().iter().flatten().map(condition).collect::<Result<Vec<_>>>()?;
            let split = split(all, action);
            for name in call.names() {
                let rules = rules.entry(name.as_str()).or_default();
                // As runc: what says the same as the default says nothing.
                if action != default {
                    rules.extend_from_slice(&split);
                }
            }
        }
        let architectures = profile.architectures().as_deref().unwrap_or_default();
        let asks = profile.syscalls().iter().flatten().any(|call| call.action() == NOTIFY);
        check_supervisor(profile, asks)?;
        Ok(Self { default, flags: flags(profile, asks), architectures, rules })
    }

    /// Whether programs of this kind may call at all, beside those of this machine.
    pub fn lists(&self, abi: Abi) -> bool {
        self.architectures.contains(&abi.arch())
    }

    /// The rules for this call, `None` if the profile does not name it.
    pub fn rules(&self, call: &str) -> Option<&[Rule]> {
        self.rules.get(call).map(Vec::as_slice)
    }

    /// More rules, for an old call that does the work of many: those for each part.
    pub fn rules_of_parts(&self, abi: Abi, call: &str) -> Vec<Rule> {
        let (mask, parts) = abi.parts(call);
        let rule = |&(number, part): &(u64, &str)| {
            let rules = self.rules(part)?;
            // Its arguments lie in memory then, where no filter can look. So what is
            // allowed under a condition is not, and what is refused under one, is.
            let always = rules.iter().find(|rule| rule.conditions.is_empty());
            let rule = always.or(rules.iter().find(|rule| !lets_pass(rule.action)))?;
            let operator = Operator::ScmpCmpMaskedEq;
            let it = Condition { index: 0, operator, value: mask, second: number };
            Some(Rule { conditions: vec![it], action: rule.action })
        };
        parts.iter().filter_map(rule).collect()
    }
}

/// Whether a call with this action happens.
pub fn lets_pass(action: u32) -> bool {
    let action = action & SECCOMP_RET_ACTION_FULL;
    [SECCOMP_RET_ALLOW, SECCOMP_RET_LOG, SECCOMP_RET_TRACE].contains(&action)
}

/// As runc: with two conditions on one argument, each condition is a rule.
fn split(conditions: Vec<Condition>, action: u32) -> Vec<Rule> {
    match (0..6).any(|i| conditions.iter().filter(|c| c.index == i).count() > 1) {
        true => conditions.into_iter().map(|c| Rule { conditions: vec![c], action }).collect(),
        false => vec![Rule { conditions, action }],
    }
}

fn condition(argument: &LinuxSeccompArg) -> Result<Condition> {
    match argument.index() {
        index @ 0..=5 => Ok(Condition {
            index: index as u32,
            operator: argument.op(),
            value: argument.value(),
            second: argument.value_two().unwrap_or(0),
        }),
        index => Err(Error::new(format!(
            "config.json: linux.seccomp: a call has arguments 0 to 5, and no {index}"
        ))),
    }
}

/// The kernel's number for an action, with its 16 bits of data (seccomp(2)).
fn action(action: Action, errno: Option<u32>) -> Result<u32> {
    let refuse = |why: String| Err(Error::new(format!("config.json: linux.seccomp: {why}")));
    let number = match action {
        Action::ScmpActKill | Action::ScmpActKillThread => SECCOMP_RET_KILL_THREAD,
        Action::ScmpActKillProcess => SECCOMP_RET_KILL_PROCESS,
        Action::ScmpActTrap => SECCOMP_RET_TRAP,
        Action::ScmpActLog => SECCOMP_RET_LOG,
        Action::ScmpActAllow => SECCOMP_RET_ALLOW,
        Action::ScmpActErrno => SECCOMP_RET_ERRNO,
        Action::ScmpActTrace => SECCOMP_RET_TRACE,
        Action::ScmpActNotify => SECCOMP_RET_USER_NOTIF,
    };
    match number {
        SECCOMP_RET_ERRNO | SECCOMP_RET_TRACE => {
            match u16::try_from(errno.unwrap_or(EPERM as u32)) {
                Ok(data) => Ok(number | u32::from(data)),
                Err(_) => refuse(format!("{} is not an errno", errno.unwrap_or_default())),
            }
        }
        _ if errno.is_some() => refuse(format!("{action} has no errno to return")),
        _ => Ok(number),
    }
}

const NOTIFY: Action = Action::ScmpActNotify;

/// Who refers calls to a supervisor has to name one, and let us reach it.
fn check_supervisor(profile: &LinuxSeccomp, asks: bool) -> Result<()> {
    let refuse = |why: String| Err(Error::new(format!("config.json: linux.seccomp{why}")));
    let set = |text: Option<bool>| text == Some(false);
    let named = set(profile.listener_path().as_ref().map(|path| path.as_os_str().is_empty()));
    let metadata = set(profile.listener_metadata().as_ref().map(String::is_empty));
    let handed_over_by = |name: &String| name == "sendmsg" || name == "socketcall";
    let mut calls = profile.syscalls().iter().flatten().filter(|call| call.action() == NOTIFY);
    if profile.default_action() == NOTIFY {
        return refuse(format!(".defaultAction: {NOTIFY} is for single calls only"));
    }
    if metadata && !named {
        return refuse(".listenerMetadata takes a listenerPath".to_owned());
    }
    if asks && !named {
        return refuse(format!(": {NOTIFY} takes a listenerPath"));
    }
    match calls.find_map(|call| call.names().iter().find(|name| handed_over_by(name))) {
        // Nobody would answer: the supervisor is not there before this call has ended.
        Some(name) => refuse(format!(": {NOTIFY} cannot be used for {name}")),
        None => Ok(()),
    }
}

fn flags(profile: &LinuxSeccomp, asks: bool) -> u32 {
    let listener = if asks { SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 } else { 0 };
    // As runc: no list is the list with just this one.
    let Some(flags) = profile.flags() else {
        return listener | SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32;
    };
    let number = |flag: &Flag| match flag {
        Flag::SeccompFilterFlagLog => SECCOMP_FILTER_FLAG_LOG as u32,
        Flag::SeccompFilterFlagSpecAllow => SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32,
        // Without a supervisor there is nobody to wait for.
        Flag::SeccompFilterFlagWaitKillableRecv if asks => {
            SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV as u32
        }
        // There is one thread.
        Flag::SeccompFilterFlagTsync | Flag::SeccompFilterFlagWaitKillableRecv => 0,
    };
    flags.iter().map(number).fold(listener, |all, one| all | one)
}
