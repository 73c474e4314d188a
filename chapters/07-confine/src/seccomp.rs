//! From a profile to a filter of system calls.
//!
//! The kernel wants a program that looks at the number of a call and returns an
//! action. One idea leads there: *on the line of all numbers, each has its block
//! of instructions*, and neighbours with the same block are one span. The
//! program finds the span of a number by halving, as one looks up a name in a
//! book, and runs its block.

use ch01_clone::{Error, Gate, Message, Result, step};
use libc::{BPF_MAXINSNS, ENOSYS, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_THREAD, sock_filter};
use nix::errno::Errno;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompOperator as Operator};

use crate::abi::Abi;
use crate::bpf::{ARCHITECTURE, Ask, Block, NUMBER, and, branch, high, jump, load, low, ret};
use crate::profile::{Condition, Profile, Rule, lets_pass};
use crate::sys;

/// A filter, compiled and ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The program.
    pub program: Vec<sock_filter>,
    /// SECCOMP_FILTER_FLAG_* of seccomp(2).
    pub flags: u32,
}

impl Filter {
    /// Compiles a profile for this machine.
    ///
    /// Calls that it does not have are left out, as runc does. An action or an
    /// argument that cannot be honoured is an error.
    pub fn compile(profile: &LinuxSeccomp) -> Result<Self> {
        Self::compile_for(Abi::NATIVE, profile)
    }

    /// Compiles a profile for a machine whose own programs are of this kind.
    pub fn compile_for(native: Abi, profile: &LinuxSeccomp) -> Result<Self> {
        let profile = Profile::read(profile)?;
        let program = program(&profile, native);
        match program.len() {
            length if length > BPF_MAXINSNS as usize => Err(Error::new(format!(
                "config.json: linux.seccomp: the filter takes {length} instructions, and the \
                 kernel takes no more than {BPF_MAXINSNS}"
            ))),
            _ => Ok(Self { program, flags: profile.flags }),
        }
    }

    /// From now on it judges each call of this thread. There is no way back.
    ///
    /// If it refers calls to a supervisor, whoever is at the other end of the gate gets
    /// the descriptor for that, and we go on when it has been passed on.
    pub fn load(&self, gate: &Gate) -> Result<()> {
        let (length, flags) = (self.program.len(), self.flags);
        let listener = step!(
            "seccomp",
            "From here on the kernel runs a filter before each system call. It comes as \
             late as can be, since what it forbids is forbidden to us as well.",
            "grep Seccomp /proc/PID/status",
            "seccomp(SECCOMP_SET_MODE_FILTER, {flags:#x}, {length} instructions)",
            sys::seccomp(&self.program, self.flags),
        )
        .map_err(|error| match error.errno {
            Some(Errno::EACCES) => {
                error.hint("without process.noNewPrivileges, to load a filter takes CAP_SYS_ADMIN")
            }
            _ => error,
        })?;
        let Some(listener) = listener else { return Ok(()) };
        gate.send(&Message::Ready(Some(listener)))?;
        gate.wait()
    }
}

/// The whole program. The number alone says nothing: on x86, 11 is munmap to a
/// 64-bit program and execve to a 32-bit one. So it asks for the architecture
/// first, and one that the profile does not list is killed.
fn program(profile: &Profile, native: Abi) -> Block {
    let abis = native.beside().iter().filter(|abi| **abi == native || profile.lists(**abi));
    let abis: Vec<_> = abis.copied().collect();
    let others = vec![ret(SECCOMP_RET_KILL_THREAD)];
    // Those with the same architecture stand side by side, on one line.
    let same = abis.chunk_by(|one, next| one.audit() == next.audit());
    let judge = same.rev().fold(others, |others, abis| {
        let ours = [vec![load(NUMBER)], search(&line(profile, abis))].concat();
        branch(Ask::Equal, abis[0].audit(), ours, others)
    });
    [vec![load(ARCHITECTURE)], judge].concat()
}

/// From this number on, up to the next span, each call runs this block.
type Span = (u32, Block);

/// The line of all numbers, in spans.
fn line(profile: &Profile, abis: &[Abi]) -> Vec<Span> {
    let default = || vec![ret(profile.default)];
    let mut line = Vec::new();
    for abi in abis {
        put(&mut line, abi.first(), default());
        let mut newest = None;
        for (number, name) in abi.calls() {
            let named = profile.rules(name);
            let parts = profile.rules_of_parts(*abi, name);
            let rules = named.unwrap_or_default().iter().chain(&parts);
            if rules.clone().next().is_some() {
                put(&mut line, number, block(rules, profile.default, *abi));
                put(&mut line, number + 1, default());
            }
            newest = named.map(|_| number).or(newest);
        }
        // Who wrote the profile did not know of later calls. Told that there is no
        // such call, a program goes on with an older one; told that it may not, it
        // ends.
        if let Some(newest) = newest
            && !lets_pass(profile.default)
        {
            put(&mut line, newest + 1, vec![ret(SECCOMP_RET_ERRNO | ENOSYS as u32)]);
        }
        if let Some(end) = abi.end() {
            put(&mut line, end, vec![ret(SECCOMP_RET_KILL_THREAD)]);
        }
    }
    // A debugger's way to say that this call is not to be made.
    put(&mut line, u32::MAX, default());
    line
}

/// The next span of a line. It replaces one with the same beginning, and
/// neighbours with the same block become one.
fn put(line: &mut Vec<Span>, first: u32, block: Block) {
    line.pop_if(|last| last.0 == first);
    if line.last().is_none_or(|last| last.1 != block) {
        line.push((first, block));
    }
}

// ANCHOR: search
/// Finds the span of the number in A, and runs its block.
fn search(spans: &[Span]) -> Block {
    match spans {
        [(_, block)] => block.clone(),
        _ => {
            let (below, above) = spans.split_at(spans.len() / 2);
            branch(Ask::AtLeast, above[0].0, search(above), search(below))
        }
    }
}
// ANCHOR_END: search

/// What becomes of one call: the first rule whose conditions are met decides.
fn block<'a>(rules: impl Iterator<Item = &'a Rule> + Clone, default: u32, abi: Abi) -> Block {
    // As in libseccomp, a rule without conditions beats all that have some.
    if let Some(always) = rules.clone().find(|rule| rule.conditions.is_empty()) {
        return vec![ret(always.action)];
    }
    let mut block: Block = rules.flat_map(|rule| conditional(rule, abi)).collect();
    block.push(ret(default));
    block
}

/// Returns the action if all conditions are met; else goes on behind itself.
fn conditional(rule: &Rule, abi: Abi) -> Block {
    // Built from its end, so that each condition knows how far it is to there:
    // at most 6 times 6 instructions, which 8 bits can say.
    rule.conditions.iter().rev().fold(vec![ret(rule.action)], |rest, condition| {
        [test(condition, abi, rest.len() as u8), rest].concat()
    })
}

/// Goes on behind itself if the condition is met; else leaves out `miss` more
/// instructions.
fn test(condition: &Condition, abi: Abi, miss: u8) -> Block {
    let Condition { index, operator, value, second } = *condition;
    let argument = Argument { index, wide: abi.is_wide() };
    match operator {
        Operator::ScmpCmpEq => argument.equals(u64::MAX, value, 0, miss),
        Operator::ScmpCmpNe => argument.equals(u64::MAX, value, miss, 0),
        Operator::ScmpCmpMaskedEq => argument.equals(value, second & value, 0, miss),
        Operator::ScmpCmpGt => argument.is(Ask::More, value, 0, miss),
        Operator::ScmpCmpGe => argument.is(Ask::AtLeast, value, 0, miss),
        Operator::ScmpCmpLe => argument.is(Ask::More, value, miss, 0),
        Operator::ScmpCmpLt => argument.is(Ask::AtLeast, value, miss, 0),
    }
}

/// One argument of a call: 64 bits in two halves, or only the lower one.
struct Argument {
    index: u32,
    wide: bool,
}

impl Argument {
    /// Whether its bits in `mask` are `value`. Leaves out `yes` or `no`
    /// instructions behind itself.
    fn equals(&self, mask: u64, value: u64, yes: u8, no: u8) -> Block {
        let lower = half(low(self.index), mask as u32, value as u32, yes, no);
        if !self.wide {
            return lower;
        }
        // Not in the upper half: then the lower one does not matter.
        let no = no + lower.len() as u8;
        let upper = half(high(self.index), (mask >> 32) as u32, (value >> 32) as u32, 0, no);
        [upper, lower].concat()
    }

    /// Whether it is more than `value`, or at least that. Leaves out `yes` or
    /// `no` instructions behind itself.
    fn is(&self, ask: Ask, value: u64, yes: u8, no: u8) -> Block {
        let lower = vec![load(low(self.index)), jump(ask, value as u32, yes, no)];
        if !self.wide {
            return lower;
        }
        let value = (value >> 32) as u32;
        let upper = vec![
            load(high(self.index)),
            // More in the upper half is more, and less is less. Else it depends on
            // the lower one.
            jump(Ask::More, value, yes + 3, 0),
            jump(Ask::Equal, value, 0, no + 2),
        ];
        [upper, lower].concat()
    }
}

fn half(offset: u32, mask: u32, value: u32, yes: u8, no: u8) -> Block {
    match mask {
        u32::MAX => vec![load(offset), jump(Ask::Equal, value, yes, no)],
        _ => vec![load(offset), and(mask), jump(Ask::Equal, value, yes, no)],
    }
}
