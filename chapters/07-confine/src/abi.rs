//! Catalogue: not needed to understand the chapter.
//!
//! One kernel answers to several sets of system calls, each with its own
//! numbers: a 64-bit x86 kernel also runs 32-bit programs, and x32 ones. The
//! numbers come from the crate `syscalls`.

use libc::{EM_386, EM_AARCH64, EM_ARM, EM_X86_64};
use oci_spec::runtime::Arch;

#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_endian = "little")))]
compile_error!("seccomp: this machine has no table of system calls here");

/// A set of system calls, and how they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abi {
    /// 64-bit x86.
    X86_64,
    /// 64-bit x86 with 32-bit pointers: the same architecture to the kernel,
    /// but bit 30 of each number is set.
    X32,
    /// 32-bit x86.
    X86,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm.
    Arm,
}

/// From here on, numbers are those of x32.
const X32_BIT: u32 = 1 << 30;

impl Abi {
    /// This program's own.
    pub const NATIVE: Abi = if cfg!(target_arch = "x86_64") { Abi::X86_64 } else { Abi::Aarch64 };

    /// Those that a kernel of this machine can be called by. No program of any
    /// other architecture runs on it.
    pub fn beside(self) -> &'static [Abi] {
        match self {
            Abi::X86_64 | Abi::X32 | Abi::X86 => &[Abi::X86_64, Abi::X32, Abi::X86],
            Abi::Aarch64 | Abi::Arm => &[Abi::Aarch64, Abi::Arm],
        }
    }

    /// What the OCI specification calls it.
    pub fn arch(self) -> Arch {
        match self {
            Abi::X86_64 => Arch::ScmpArchX86_64,
            Abi::X32 => Arch::ScmpArchX32,
            Abi::X86 => Arch::ScmpArchX86,
            Abi::Aarch64 => Arch::ScmpArchAarch64,
            Abi::Arm => Arch::ScmpArchArm,
        }
    }

    /// What the kernel calls it: AUDIT_ARCH_*, the number of the ELF format and two bits.
    pub fn audit(self) -> u32 {
        const LITTLE_ENDIAN: u32 = 0x4000_0000;
        const BITS_64: u32 = 0x8000_0000;
        let (machine, bits) = match self {
            Abi::X86_64 | Abi::X32 => (EM_X86_64, BITS_64),
            Abi::X86 => (EM_386, 0),
            Abi::Aarch64 => (EM_AARCH64, BITS_64),
            Abi::Arm => (EM_ARM, 0),
        };
        u32::from(machine) | bits | LITTLE_ENDIAN
    }

    /// Whether its arguments have 64 bits.
    pub fn is_wide(self) -> bool {
        matches!(self, Abi::X86_64 | Abi::Aarch64)
    }

    /// The first number that can be one of its calls.
    pub fn first(self) -> u32 {
        if self == Abi::X32 { X32_BIT } else { 0 }
    }

    /// The first number that belongs to somebody else, though the kernel gives
    /// it the same architecture.
    pub fn end(self) -> Option<u32> {
        (self == Abi::X86_64).then_some(X32_BIT)
    }

    /// All its calls: number and name.
    pub fn calls(self) -> Vec<(u32, &'static str)> {
        macro_rules! table {
            ($of:ident) => {
                // Sysno::iter() leaves out the last one.
                (0..=syscalls::$of::Sysno::last().id() as u32)
                    .filter_map(|n| Some((n, syscalls::$of::Sysno::new(n as usize)?.name())))
                    .collect()
            };
        }
        match self {
            Abi::X86_64 => table!(x86_64),
            Abi::X86 => table!(x86),
            Abi::Aarch64 => table!(aarch64),
            Abi::Arm => {
                let mut calls: Vec<_> = table!(arm);
                calls.extend(ARM_OWN);
                calls
            }
            Abi::X32 => {
                let own = X32_OWN.iter().zip(512..).map(|(name, number)| (X32_BIT | number, *name));
                let mut calls = Abi::X86_64.calls();
                calls.retain(|(_, name)| !X32_OWN.contains(name));
                calls.iter_mut().for_each(|(number, _)| *number |= X32_BIT);
                calls.extend(own);
                calls
            }
        }
    }

    /// The calls whose work the call `name` does as well: 32-bit x86 once had one
    /// call for all of sockets and one for System V IPC (socketcall(2), ipc(2)).
    /// Which it is, is told by these bits of argument 0.
    pub fn parts(self, name: &str) -> (u64, &'static [(u64, &'static str)]) {
        match (self, name) {
            (Abi::X86, "socketcall") => (u64::MAX, SOCKETCALL),
            // The upper 16 bits are a version.
            (Abi::X86, "ipc") => (0xffff, IPC),
            _ => (0, &[]),
        }
    }
}

/// The calls with a number of their own in x32, from 512 on (syscall_64.tbl).
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// What 32-bit Arm has beyond the table (asm/unistd.h).
const ARM_OWN: [(u32, &str); 6] = [
    (0xf_0001, "breakpoint"),
    (0xf_0002, "cacheflush"),
    (0xf_0003, "usr26"),
    (0xf_0004, "usr32"),
    (0xf_0005, "set_tls"),
    (0xf_0006, "get_tls"),
];

/// linux/net.h.
const SOCKETCALL: &[(u64, &str)] = &[
    (1, "socket"),
    (2, "bind"),
    (3, "connect"),
    (4, "listen"),
    (5, "accept"),
    (6, "getsockname"),
    (7, "getpeername"),
    (8, "socketpair"),
    (9, "send"),
    (10, "recv"),
    (11, "sendto"),
    (12, "recvfrom"),
    (13, "shutdown"),
    (14, "setsockopt"),
    (15, "getsockopt"),
    (16, "sendmsg"),
    (17, "recvmsg"),
    (18, "accept4"),
    (19, "recvmmsg"),
    (20, "sendmmsg"),
];

/// linux/ipc.h.
const IPC: &[(u64, &str)] = &[
    (1, "semop"),
    (2, "semget"),
    (3, "semctl"),
    (4, "semtimedop"),
    (11, "msgsnd"),
    (12, "msgrcv"),
    (13, "msgget"),
    (14, "msgctl"),
    (21, "shmat"),
    (22, "shmdt"),
    (23, "shmget"),
    (24, "shmctl"),
];
