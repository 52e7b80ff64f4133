//! The seccomp programs: connect(2) alone is told of, every other call passes. Pure.
//!
//! seccomp(2): a classic BPF program over `struct seccomp_data`. Calls of another architecture (32-bit programs) or ABI
//! (x32, whose numbers have a bit more) pass, and are not seen.

use nix::libc;

/// One instruction.
pub(super) type Instruction = (u16, u8, u8, u32);

const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// AUDIT_ARCH_X86_64 of include/uapi/linux/audit.h.
const X86_64: u32 = 0xc000_003e;
const CONNECT: u32 = 42;

/// Whether this machine's calls are known.
pub(super) const SUPPORTED: bool = cfg!(target_arch = "x86_64");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Notify,
    Trace,
}

pub(super) const LENGTH: usize = 6;

/// The program that answers connect() with `action`.
pub(super) fn program(action: Action) -> [Instruction; LENGTH] {
    let action = match action {
        Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
        Action::Trace => libc::SECCOMP_RET_TRACE,
    };
    [
        (LOAD_WORD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 0, 3, X86_64),
        (LOAD_WORD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 1, CONNECT),
        (RETURN, 0, 0, action),
        (RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(program: &[Instruction], number: u32, architecture: u32) -> u32 {
        let (mut at, mut a) = (0, 0);
        loop {
            let (code, jt, jf, k) = program[at];
            at += 1;
            match code {
                LOAD_WORD => a = if k == NUMBER { number } else { architecture },
                JUMP_IF_EQUAL => at += usize::from(if a == k { jt } else { jf }),
                RETURN => return k,
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    proptest! {
        #[test]
        fn connect_alone_is_told_of(number in prop_oneof![0u32..500, any::<u32>()], native: bool, other: u32) {
            let architecture = if native { X86_64 } else { other };
            for (action, expected) in [
                (Action::Notify, libc::SECCOMP_RET_USER_NOTIF),
                (Action::Trace, libc::SECCOMP_RET_TRACE),
            ] {
                let told = number == CONNECT && architecture == X86_64;
                let expected = if told { expected } else { libc::SECCOMP_RET_ALLOW };
                prop_assert_eq!(verdict(&program(action), number, architecture), expected);
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_number_is_this_machines() {
        assert_eq!(libc::SYS_connect, i64::from(CONNECT));
    }
}
