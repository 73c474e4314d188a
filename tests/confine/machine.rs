//! A machine that runs filters as the kernel does (kernel/seccomp.c), and one
//! that reads the profile instead. They have to agree.

use ch07_confine::Abi;
use libc::{
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD,
    SECCOMP_RET_LOG, SECCOMP_RET_TRACE, SECCOMP_RET_TRAP, sock_filter,
};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};

/// One system call, as a filter sees it.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub number: u32,
    pub architecture: u32,
    pub arguments: [u64; 6],
}

impl Call {
    /// The 32 bits at this offset of struct seccomp_data.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.architecture,
            8 | 12 => 0,
            _ => {
                assert!(offset.is_multiple_of(4) && offset < 64, "a load at {offset}");
                let argument = self.arguments[(offset as usize - 16) / 8];
                (if offset.is_multiple_of(8) { argument } else { argument >> 32 }) as u32
            }
        }
    }
}

/// What the filter returns, and how many instructions that took.
pub fn run(program: &[sock_filter], call: &Call) -> (u32, usize) {
    let (mut a, mut at, mut steps) = (0u32, 0usize, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        steps += 1;
        at += 1;
        let mut jump = |passed: bool| at += usize::from(if passed { jt } else { jf });
        // The codes of linux/bpf_common.h, written out: load, and, jumps, return.
        match code {
            0x20 => a = call.word(k),
            0x54 => a &= k,
            0x05 => at += k as usize,
            0x15 => jump(a == k),
            0x25 => jump(a > k),
            0x35 => jump(a >= k),
            0x06 => return (k, steps),
            _ => panic!("instruction {code:#x} at {}", at - 1),
        }
    }
}

/// What the kernel checks before it takes a filter: every jump stays inside, and
/// the last instruction returns. Unlike it, this wants no dead instructions either.
pub fn check(program: &[sock_filter]) {
    let mut reached = vec![false; program.len()];
    reached[0] = true;
    for (at, &sock_filter { code, jt, jf, k }) in program.iter().enumerate() {
        assert!(reached[at], "instruction {at} is never run");
        let next: &[usize] = match code {
            0x06 => &[],
            0x05 => &[at + 1 + k as usize],
            0x15 | 0x25 | 0x35 => &[at + 1 + usize::from(jt), at + 1 + usize::from(jf)],
            _ => &[at + 1],
        };
        next.iter().for_each(|&to| reached[to] = true);
    }
}

/// What shall happen to this call, read from the profile without any compiling.
pub fn judge(profile: &LinuxSeccomp, native: Abi, call: &Call) -> u32 {
    let listed = |abi: &Abi| {
        *abi == native || profile.architectures().iter().flatten().any(|arch| *arch == abi.arch())
    };
    let x32 = call.number >= 1 << 30;
    let abi = native.beside().iter().find(|abi| {
        abi.audit() == call.architecture
            && (call.architecture != 0xc000_003e || x32 == (**abi == Abi::X32))
    });
    let default = action(profile.default_action(), profile.default_errno_ret());
    if call.number == u32::MAX
        && native.beside().iter().any(|a| listed(a) && a.audit() == call.architecture)
    {
        return default;
    }
    let Some(abi) = abi.filter(|abi| listed(abi)) else { return SECCOMP_RET_KILL_THREAD };
    let calls = abi.calls();
    let named = |name: &str| {
        profile.syscalls().iter().flatten().any(|rule| rule.names().iter().any(|n| n == name))
    };
    let newest = calls.iter().filter(|(_, name)| named(name)).map(|(number, _)| *number).max();
    let closed = ![SECCOMP_RET_ALLOW, SECCOMP_RET_LOG].contains(&default)
        && default & 0xffff_0000 != SECCOMP_RET_TRACE;
    if closed && newest.is_some_and(|newest| call.number > newest) {
        return SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    }
    let Some((_, name)) = calls.iter().find(|(number, _)| *number == call.number) else {
        return default;
    };
    let wide = abi.is_wide();
    let rules = profile.syscalls().iter().flatten();
    let ours = rules.filter(|rule| rule.names().iter().any(|n| n == name)).filter_map(|rule| {
        let action = action(rule.action(), rule.errno_ret());
        (action != default).then(|| (rule.args().clone().unwrap_or_default(), action))
    });
    let mut ours: Vec<_> = ours.collect();
    // Rules without conditions come first (the sort keeps the order otherwise).
    ours.sort_by_key(|(conditions, _)| !conditions.is_empty());
    let decides = ours.iter().find(|(conditions, _)| {
        let met = |c: &LinuxSeccompArg| met(c, call.arguments[c.index()], wide);
        let twice = conditions
            .iter()
            .any(|a| conditions.iter().filter(|b| a.index() == b.index()).count() > 1);
        if twice { conditions.iter().any(met) } else { conditions.iter().all(met) }
    });
    decides.map_or(default, |(_, action)| *action)
}

fn met(condition: &LinuxSeccompArg, argument: u64, wide: bool) -> bool {
    let cut = |value: u64| if wide { value } else { value & 0xffff_ffff };
    let (argument, value) = (cut(argument), cut(condition.value()));
    match condition.op() {
        LinuxSeccompOperator::ScmpCmpNe => argument != value,
        LinuxSeccompOperator::ScmpCmpLt => argument < value,
        LinuxSeccompOperator::ScmpCmpLe => argument <= value,
        LinuxSeccompOperator::ScmpCmpEq => argument == value,
        LinuxSeccompOperator::ScmpCmpGe => argument >= value,
        LinuxSeccompOperator::ScmpCmpGt => argument > value,
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            argument & value == cut(condition.value_two().unwrap_or(0)) & value
        }
    }
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            SECCOMP_RET_KILL_THREAD
        }
        LinuxSeccompAction::ScmpActKillProcess => SECCOMP_RET_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => SECCOMP_RET_TRAP,
        LinuxSeccompAction::ScmpActErrno => SECCOMP_RET_ERRNO | errno.unwrap_or(1),
        LinuxSeccompAction::ScmpActTrace => SECCOMP_RET_TRACE | errno.unwrap_or(1),
        LinuxSeccompAction::ScmpActLog => SECCOMP_RET_LOG,
        LinuxSeccompAction::ScmpActAllow => SECCOMP_RET_ALLOW,
        LinuxSeccompAction::ScmpActNotify => unreachable!("refused"),
    }
}
