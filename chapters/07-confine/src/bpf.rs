//! The few instructions that a filter is made of.
//!
//! Seccomp runs programs of the classic Berkeley packet filter (bpf(4) of the
//! BSDs, Documentation/networking/filter.rst of Linux): one register A, no
//! loops, jumps only forward, and at the end a number that says what shall
//! happen. Where a packet would be, there is `struct seccomp_data`:
//!
//! | offset | what |
//! |---|---|
//! | 0 | number of the system call |
//! | 4 | architecture |
//! | 8 | instruction pointer |
//! | 16, 24, .. 56 | arguments 0 to 5, each 64 bits |
//!
//! The register holds 32 bits, so an argument is looked at in two halves.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET,
    BPF_W, sock_filter,
};

/// Where the number of the call stands.
pub const NUMBER: u32 = 0;
/// Where the architecture stands.
pub const ARCHITECTURE: u32 = 4;

/// Where the low half of argument `index` stands; the machines that we know
/// have it first.
pub fn low(index: u32) -> u32 {
    16 + 8 * index
}

/// Where the high half stands.
pub fn high(index: u32) -> u32 {
    low(index) + 4
}

/// Instructions that return on every way through them.
pub type Block = Vec<sock_filter>;

/// A question about register A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Is it this?
    Equal,
    /// Is it more than this?
    More,
    /// Is it this or more?
    AtLeast,
}

/// A = the 32 bits at this offset.
pub fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset)
}

/// A = A & mask.
pub fn and(mask: u32) -> sock_filter {
    instruction(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask)
}

/// The end: this shall happen.
pub fn ret(action: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, 0, 0, action)
}

/// Leaves out `yes` instructions if A passes, else `no`.
pub fn jump(ask: Ask, value: u32, yes: u8, no: u8) -> sock_filter {
    let ask = match ask {
        Ask::Equal => BPF_JEQ,
        Ask::More => BPF_JGT,
        Ask::AtLeast => BPF_JGE,
    };
    instruction(BPF_JMP | ask | BPF_K, yes, no, value)
}

// ANCHOR: branch
/// The block `yes` if A passes, else the block `no`.
pub fn branch(ask: Ask, value: u32, yes: Block, no: Block) -> Block {
    let mut block = match u8::try_from(no.len()) {
        Ok(over_no) => vec![jump(ask, value, over_no, 0)],
        // A conditional jump has 8 bits for its distance. One without a
        // condition has 32.
        Err(_) => vec![jump(ask, value, 0, 1), skip(no.len() as u32)],
    };
    block.extend(no);
    block.extend(yes);
    block
}
// ANCHOR_END: branch

/// Leaves out this many instructions.
fn skip(distance: u32) -> sock_filter {
    instruction(BPF_JMP | BPF_JA, 0, 0, distance)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    // All codes fit: they are 16 bits by definition.
    sock_filter { code: code as u16, jt, jf, k }
}
