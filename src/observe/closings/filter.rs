//! The classic BPF program that the kernel runs on each packet of the namespace: SYN, FIN and RST pass, cut to headers.
//!
//! Pure. What a packet socket of type SOCK_DGRAM sees begins with the IP header. The loopback interface shows each
//! packet twice, on its way out and in (packet(7)): the one on its way out is refused, so that each counts once.
//! The loads at negative offsets are the kernel's own (SKF_AD_OFF, include/uapi/linux/filter.h).

use nix::libc;
use socket2::SockFilter;

use super::header::{FIN, RST, SYN};

/// Bytes that are kept of a packet: the longest IPv4 header and TCP's first 20 bytes.
pub(super) const KEPT: u32 = 80;

const ANCILLARY: u32 = 0xffff_f000;
const PROTOCOL: u32 = ANCILLARY;
const PACKET_TYPE: u32 = ANCILLARY + 4;
const HARDWARE_TYPE: u32 = ANCILLARY + 28;

/// Opcodes of include/uapi/linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
/// At X and an offset.
const LOAD_BYTE_FROM_X: u16 = 0x50;
/// X becomes four times the low half of the byte: the length of the IPv4 header there.
const LOAD_X_HEADER_LENGTH: u16 = 0xb1;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// One instruction: code, jump if true, jump if false, operand.
type Instruction = (u16, u8, u8, u32);

const ENDS: u32 = (SYN | FIN | RST) as u32;
const TCP: u32 = libc::IPPROTO_TCP as u32;

/// The last instruction but one lets pass, the last refuses.
const PROGRAM: [Instruction; 20] = [
    (LOAD_WORD, 0, 0, PACKET_TYPE),
    (JUMP_IF_EQUAL, 0, 2, libc::PACKET_OUTGOING as u32),
    (LOAD_WORD, 0, 0, HARDWARE_TYPE),
    (JUMP_IF_EQUAL, 15, 0, libc::ARPHRD_LOOPBACK as u32),
    (LOAD_WORD, 0, 0, PROTOCOL),
    (JUMP_IF_EQUAL, 1, 0, libc::ETH_P_IP as u32),
    (JUMP_IF_EQUAL, 7, 12, libc::ETH_P_IPV6 as u32),
    // IPv4, at 7: of fragments only the first has a TCP header.
    (LOAD_BYTE, 0, 0, 9),
    (JUMP_IF_EQUAL, 0, 10, TCP),
    (LOAD_HALF, 0, 0, 6),
    (JUMP_IF_ANY_SET, 8, 0, 0x1fff),
    (LOAD_X_HEADER_LENGTH, 0, 0, 0),
    (LOAD_BYTE_FROM_X, 0, 0, 13),
    (JUMP_IF_ANY_SET, 4, 5, ENDS),
    // IPv6, at 14.
    (LOAD_BYTE, 0, 0, 6),
    (JUMP_IF_EQUAL, 0, 3, TCP),
    (LOAD_BYTE, 0, 0, 40 + 13),
    (JUMP_IF_ANY_SET, 0, 1, ENDS),
    (RETURN, 0, 0, KEPT),
    (RETURN, 0, 0, 0),
];

/// The program to attach.
pub(super) fn program() -> Vec<SockFilter> {
    let instruction = |(code, jt, jf, k)| SockFilter::new(code, jt, jf, k);
    PROGRAM.into_iter().map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet as the kernel's ancillary loads tell of it.
    #[derive(Clone, Debug)]
    struct Packet {
        kind: u32,
        hardware: u32,
        protocol: u32,
        bytes: Vec<u8>,
    }

    /// What the kernel's interpreter returns: the bytes to keep. A load beyond the packet refuses it.
    fn kept(packet: &Packet) -> u32 {
        let (mut at, mut a, mut x) = (0, 0u32, 0usize);
        let byte = |at: usize| packet.bytes.get(at).copied().map(u32::from);
        loop {
            let (code, jt, jf, k) = PROGRAM[at];
            at += 1;
            let loaded = match (code, k) {
                (LOAD_WORD, PACKET_TYPE) => Some(packet.kind),
                (LOAD_WORD, HARDWARE_TYPE) => Some(packet.hardware),
                (LOAD_WORD, PROTOCOL) => Some(packet.protocol),
                (LOAD_BYTE, k) => byte(k as usize),
                (LOAD_HALF, k) => byte(k as usize)
                    .zip(byte(k as usize + 1))
                    .map(|(high, low)| high << 8 | low),
                (LOAD_BYTE_FROM_X, k) => byte(x + k as usize),
                (LOAD_X_HEADER_LENGTH, k) => {
                    let Some(first) = byte(k as usize) else { return 0 };
                    x = (first as usize & 0xf) * 4;
                    continue;
                }
                (JUMP_IF_EQUAL, k) => {
                    at += usize::from(if a == k { jt } else { jf });
                    continue;
                }
                (JUMP_IF_ANY_SET, k) => {
                    at += usize::from(if a & k != 0 { jt } else { jf });
                    continue;
                }
                (RETURN, k) => return k,
                other => panic!("{other:x?}"),
            };
            match loaded {
                Some(value) => a = value,
                None => return 0,
            }
        }
    }

    fn ip(protocol: u32, options: usize, transport: u8, flags: u8) -> Vec<u8> {
        let mut bytes = if protocol == libc::ETH_P_IP as u32 {
            let mut ip = vec![0; 20 + options * 4];
            ip[0] = 0x45 + options as u8;
            ip[9] = transport;
            ip
        } else {
            let mut ip = vec![0; 40];
            ip[0] = 0x60;
            ip[6] = transport;
            ip
        };
        let mut tcp = [0; 20];
        tcp[13] = flags;
        bytes.extend(tcp);
        bytes
    }

    proptest! {
        #[test]
        fn exactly_tcp_with_syn_fin_or_rst_passes_and_loopback_only_on_its_way_in(
            kind in 0u32..6,
            hardware in prop::sample::select(vec![1, libc::ARPHRD_LOOPBACK as u32]),
            protocol in prop::sample::select(vec![libc::ETH_P_IP as u32, libc::ETH_P_IPV6 as u32, libc::ETH_P_ARP as u32]),
            options in 0usize..10,
            transport in prop::sample::select(vec![6u8, 17]),
            flags: u8,
        ) {
            let bytes = ip(protocol, options, transport, flags);
            let packet = Packet { kind, hardware, protocol, bytes };
            let twice = kind == libc::PACKET_OUTGOING as u32 && hardware == libc::ARPHRD_LOOPBACK as u32;
            let passes = !twice && protocol != libc::ETH_P_ARP as u32 && transport == 6 && flags & 7 != 0;
            prop_assert_eq!(kept(&packet), if passes { KEPT } else { 0 });
        }

        #[test]
        fn any_packet_is_judged(kind in 0u32..6, v6: bool, bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let protocol = if v6 { libc::ETH_P_IPV6 } else { libc::ETH_P_IP } as u32;
            let verdict = kept(&Packet { kind, hardware: 1, protocol, bytes });
            prop_assert!(verdict == 0 || verdict == KEPT);
        }
    }

    #[test]
    fn a_fragment_that_is_not_the_first_has_no_flags_to_read() {
        let mut bytes = ip(libc::ETH_P_IP as u32, 0, 6, SYN);
        bytes[7] = 1;
        let packet = Packet {
            kind: 0,
            hardware: 1,
            protocol: libc::ETH_P_IP as u32,
            bytes,
        };
        assert_eq!(kept(&packet), 0);
    }
}
