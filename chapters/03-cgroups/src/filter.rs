//! Catalogue: not needed to understand the chapter.
//!
//! The device rules of version 2: a program for the kernel's own machine (eBPF),
//! which is run whenever somebody in the cgroup opens or makes a device node.
//!
//! ```text
//! r1 → { access and kind: u32, major: u32, minor: u32 }     struct bpf_cgroup_dev_ctx
//!
//!       r2 = kind   r3 = access   r4 = major   r5 = minor
//! for each exception:
//!       if it is another device, or another access: go to the next one
//!       return 1 where exceptions allow, 0 where they deny
//! last: return the default
//! ```
//!
//! Manual: bpf(2), and the kernel's Documentation/bpf/standardization/instruction-set.rst.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use ch01_clone::error::Context;
use ch01_clone::{Error, Result};
use nix::errno::Errno;

use crate::devices::{DeviceKind, MAKE, Policy, READ, WRITE, Which};
use crate::sys;

// What an instruction does: <linux/bpf.h>, <linux/bpf_common.h>.
const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbc;
const MOVE: u8 = 0xb7;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const IF_NOT: u8 = 0x56;
const IF_IS: u8 = 0x16;
const IF_NOT_REGISTER: u8 = 0x5e;
const EXIT: u8 = 0x95;

/// One instruction: what, to which register, from which one, how far, with what.
type Instruction = (u8, u8, u8, i16, u32);

/// How a jump to the end of its block is written until the block is complete.
const NEXT: i16 = i16::MAX;

/// Has the kernel ask this policy, in place of the one that it asks now.
pub(crate) fn attach(dir: &Path, policy: &Policy) -> Result<()> {
    let call = |what: &str| format!("bpf({what}, {dir:?})");
    let cgroup = File::open(dir).call(|| format!("open({dir:?})"))?;
    let program = sys::load(&compile(policy)).call(|| call("BPF_PROG_LOAD")).map_err(hint)?;
    let program = program.as_fd();
    // Programs that we may not look at are not ours.
    let before = sys::attached(cgroup.as_fd()).unwrap_or_default();
    let replaced = (before.len() == 1).then(|| before[0].as_fd());
    let done = sys::attach(cgroup.as_fd(), program, replaced);
    done.call(|| call("BPF_PROG_ATTACH")).map_err(hint)?;
    if replaced.is_none() {
        // Each of several can only deny: the new one is there before they go.
        for old in &before {
            sys::detach(cgroup.as_fd(), old.as_fd()).call(|| call("BPF_PROG_DETACH"))?;
        }
    }
    Ok(())
}

fn hint(error: Error) -> Error {
    match error.errno {
        Some(Errno::EPERM) => error.hint("rules for devices take CAP_BPF or CAP_SYS_ADMIN"),
        Some(Errno::EINVAL | Errno::ENOSYS) => {
            error.hint("this kernel was built without CONFIG_CGROUP_BPF")
        }
        _ => error,
    }
}

fn compile(policy: &Policy) -> Vec<u64> {
    let mut program: Vec<Instruction> = vec![
        (LOAD_WORD, 2, 1, 0, 0),
        (MOVE_REGISTER, 3, 2, 0, 0),
        (AND, 2, 0, 0, 0xffff),
        (SHIFT_RIGHT, 3, 0, 0, 16),
        (LOAD_WORD, 4, 1, 4, 0),
        (LOAD_WORD, 5, 1, 8, 0),
    ];
    for (which, bits) in &policy.exceptions {
        program.extend(block(which, *bits, !policy.allow));
    }
    program.push((MOVE, 0, 0, 0, policy.allow.into()));
    program.push((EXIT, 0, 0, 0, 0));
    program.into_iter().map(encode).collect()
}

fn block(which: &Which, bits: u8, allow: bool) -> Vec<Instruction> {
    let kind = if which.kind == DeviceKind::Block { 1 } else { 2 };
    let mut block = vec![(IF_NOT, 2, 0, NEXT, kind)];
    if bits != READ | WRITE | MAKE {
        // Allowed is an access that is in the rule as a whole; denied, one with any part in it.
        block.push((MOVE_REGISTER, 1, 3, 0, 0));
        block.push((AND, 1, 0, 0, bits.into()));
        block.push(match allow {
            true => (IF_NOT_REGISTER, 1, 3, NEXT, 0),
            false => (IF_IS, 1, 0, NEXT, 0),
        });
    }
    block.extend(which.major.map(|major| (IF_NOT, 4, 0, NEXT, major)));
    block.extend(which.minor.map(|minor| (IF_NOT, 5, 0, NEXT, minor)));
    block.push((MOVE, 0, 0, 0, allow.into()));
    block.push((EXIT, 0, 0, 0, 0));
    let end = block.len() as i16;
    for (at, instruction) in block.iter_mut().enumerate() {
        if instruction.3 == NEXT {
            // Counted from the instruction after this one.
            instruction.3 = end - 1 - at as i16;
        }
    }
    block
}

/// As `struct bpf_insn` lies in memory.
fn encode((code, to, from, offset, value): Instruction) -> u64 {
    let [low, high] = offset.to_ne_bytes();
    let [a, b, c, d] = value.to_ne_bytes();
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    u64::from_ne_bytes([code, registers, low, high, a, b, c, d])
}
