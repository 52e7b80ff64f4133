//! Classic BPF programs that lose segments on their way into a TCP socket (SO_ATTACH_FILTER, socket(7)).
//!
//! The kernel runs the program on each segment that has found its socket, from the TCP header on (tcp_filter), before
//! TCP sees it; what it refuses is lost as if on the wire. It needs no privilege, and stays with the socket when that is
//! closed and only the kernel still holds it. TIME_WAIT has no socket and so no filter.
#![forbid(unsafe_code)]

use socket2::SockFilter;

/// Offsets in the TCP header (RFC 9293, 3.1).
const ACKNOWLEDGEMENT: u32 = 8;
const FLAGS: u32 = 13;
/// The ACK bit.
const ACK: u32 = 0x10;

/// Opcodes of include/uapi/linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Which segments are lost: those of which everything here is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Flags that are all set.
    pub with: u8,
    /// Flags of which none is set.
    pub without: u8,
    /// The number that is acknowledged.
    pub acknowledging: Option<u32>,
}

/// One instruction: code, jump if true, jump if false, operand.
type Instruction = (u16, u8, u8, u32);

impl Loss {
    /// Whether a segment of these flags and this acknowledgement number is lost: what [`Loss::program`] answers.
    #[must_use]
    pub fn takes(self, flags: u8, acknowledges: u32) -> bool {
        flags & (self.with | self.without) == self.with
            && self
                .acknowledging
                .is_none_or(|number| u32::from(flags) & ACK == ACK && acknowledges == number)
    }

    /// The program to attach.
    #[must_use]
    pub fn program(self) -> Vec<SockFilter> {
        self.instructions()
            .into_iter()
            .map(|(code, jt, jf, k)| SockFilter::new(code, jt, jf, k))
            .collect()
    }

    fn instructions(self) -> Vec<Instruction> {
        let mut program = vec![
            (LOAD_BYTE, 0, 0, FLAGS),
            (AND, 0, 0, u32::from(self.with | self.without)),
        ];
        // What does not fit jumps to the last but one, which keeps the segment.
        match self.acknowledging {
            None => program.push((JUMP_IF_EQUAL, 1, 0, self.with.into())),
            Some(number) => program.extend([
                (JUMP_IF_EQUAL, 0, 5, u32::from(self.with)),
                (LOAD_BYTE, 0, 0, FLAGS),
                (AND, 0, 0, ACK),
                (JUMP_IF_EQUAL, 0, 2, ACK),
                (LOAD_WORD, 0, 0, ACKNOWLEDGEMENT),
                (JUMP_IF_EQUAL, 1, 0, number),
            ]),
        }
        program.extend([(RETURN, 0, 0, u32::MAX), (RETURN, 0, 0, 0)]);
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel's interpreter makes of a program: whether the segment is lost.
    fn loses(program: &[Instruction], header: &[u8; 20]) -> bool {
        let (mut at, mut a) = (0, 0u32);
        loop {
            let (code, jt, jf, k) = program[at];
            at += 1;
            match code {
                LOAD_BYTE => a = header[k as usize].into(),
                LOAD_WORD => a = u32::from_be_bytes(header[k as usize..k as usize + 4].try_into().unwrap()),
                AND => a &= k,
                JUMP_IF_EQUAL => at += usize::from(if a == k { jt } else { jf }),
                RETURN => return k == 0,
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_the_segments_described_are_lost(
            flags: u8, ack in 0u32..3, with: u8, without: u8, acknowledging in prop::option::of(0u32..3),
        ) {
            let without = without & !with;
            let mut header = [0; 20];
            header[13] = flags;
            header[8..12].copy_from_slice(&ack.to_be_bytes());
            let loss = Loss { with, without, acknowledging };
            let described = flags & with == with
                && flags & without == 0
                && acknowledging.is_none_or(|number| flags & 0x10 != 0 && number == ack);
            prop_assert_eq!(loses(&loss.instructions(), &header), described);
            prop_assert_eq!(loss.takes(flags, ack), described);
        }
    }
}
