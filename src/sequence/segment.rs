//! TCP segments as bytes, from the IP header on: read what was captured, write what is injected.
//!
//! Pure. RFC 9293 3.1 (TCP header and pseudo-header), RFC 791 3.1, RFC 8200 3 and 8.1, RFC 7323 3 (timestamps), RFC 1071
//! (checksum). Extension headers and fragments are not read: a lab's kernel sends none for TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::scenario::step::Flag;
use crate::tcp::FourTuple;

const TCP: u8 = 6;
const HOP_LIMIT: u8 = 64;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
/// Two paddings and the option of ten bytes.
const TIMESTAMPS: usize = 12;

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// `local` sent it.
    pub(super) tuple: FourTuple,
    /// As in the header's 14th byte.
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    /// TSval and TSecr.
    pub(super) timestamps: Option<(u32, u32)>,
    pub(super) payload: Vec<u8>,
}

impl Segment {
    pub(super) fn has(&self, flag: Flag) -> bool {
        self.flags & flag.bit() != 0
    }

    /// The sequence number after this segment: SYN and FIN take one each (RFC 9293, 3.4).
    pub(super) fn next_seq(&self) -> u32 {
        let controls = u32::from(self.has(Flag::Syn)) + u32::from(self.has(Flag::Fin));
        self.seq.wrapping_add(self.payload.len() as u32).wrapping_add(controls)
    }

    /// Reads a packet from its IP header on; None for what is no whole TCP segment.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let (source, destination, tcp) = match packet.first()? >> 4 {
            4 => parse_v4(packet)?,
            6 => parse_v6(packet)?,
            _ => return None,
        };
        let header = usize::from(*tcp.get(12)? >> 4) * 4;
        if header < TCP_HEADER || tcp.len() < header {
            return None;
        }
        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        Some(Self {
            tuple: FourTuple {
                local: SocketAddr::new(source, port(0)),
                remote: SocketAddr::new(destination, port(2)),
            },
            flags: tcp[13],
            seq: word(tcp, 4),
            ack: word(tcp, 8),
            window: port(14),
            timestamps: timestamps(&tcp[TCP_HEADER..header]),
            payload: tcp[header..].to_vec(),
        })
    }

    /// The packet, checksums included; None where the ends are of two families or the payload is too long.
    pub(super) fn packet(&self) -> Option<Vec<u8>> {
        let (source, destination) = (self.tuple.local.ip(), self.tuple.remote.ip());
        let tcp = self.tcp()?;
        let length = u16::try_from(tcp.len()).ok()?;
        let mut packet = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => v4_header(source, destination, length)?,
            (IpAddr::V6(source), IpAddr::V6(destination)) => v6_header(source, destination, length),
            _ => return None,
        };
        let start = packet.len();
        packet.extend(&tcp);
        let sum = checksum(&[&pseudo_header(source, destination, length.into()), &tcp]);
        packet[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
        Some(packet)
    }

    fn tcp(&self) -> Option<Vec<u8>> {
        let options = if self.timestamps.is_some() { TIMESTAMPS } else { 0 };
        let mut tcp = Vec::with_capacity(TCP_HEADER + options + self.payload.len());
        tcp.extend(self.tuple.local.port().to_be_bytes());
        tcp.extend(self.tuple.remote.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([u8::try_from((TCP_HEADER + options) / 4).ok()? << 4, self.flags]);
        tcp.extend(self.window.to_be_bytes());
        // Checksum, to be filled in, and urgent pointer.
        tcp.extend([0; 4]);
        if let Some((value, echo)) = self.timestamps {
            tcp.extend([1, 1, 8, 10]);
            tcp.extend(value.to_be_bytes());
            tcp.extend(echo.to_be_bytes());
        }
        tcp.extend(&self.payload);
        Some(tcp)
    }
}

fn parse_v4(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let header = usize::from(packet[0] & 0x0f) * 4;
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff;
    if header < V4_HEADER || *packet.get(9)? != TCP || fragment != 0 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let tcp = packet.get(header..length.min(packet.len()))?;
    Some((address(12)?.into(), address(16)?.into(), tcp))
}

fn parse_v6(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
    if *packet.get(6)? != TCP {
        return None;
    }
    let end = V6_HEADER + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let tcp = packet.get(V6_HEADER..end.min(packet.len()))?;
    Some((address(8)?.into(), address(24)?.into(), tcp))
}

/// The timestamps among a header's options; None where there are none or the list is broken before them.
fn timestamps(mut options: &[u8]) -> Option<(u32, u32)> {
    loop {
        match *options.first()? {
            0 => return None,
            1 => options = &options[1..],
            kind => {
                let length = usize::from(*options.get(1)?);
                if kind == 8 && length == 10 && options.len() >= 10 {
                    return Some((word(options, 2), word(options, 6)));
                }
                if length < 2 {
                    return None;
                }
                options = options.get(length..)?;
            }
        }
    }
}

fn v4_header(source: Ipv4Addr, destination: Ipv4Addr, tcp: u16) -> Option<Vec<u8>> {
    let mut header = vec![0x45, 0];
    header.extend(tcp.checked_add(V4_HEADER as u16)?.to_be_bytes());
    // No identification, not to be fragmented.
    header.extend([0, 0, 0x40, 0, HOP_LIMIT, TCP, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    Some(header)
}

fn v6_header(source: Ipv6Addr, destination: Ipv6Addr, tcp: u16) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(tcp.to_be_bytes());
    header.extend([TCP, HOP_LIMIT]);
    header.extend(source.octets());
    header.extend(destination.octets());
    header
}

fn pseudo_header(source: IpAddr, destination: IpAddr, tcp: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    // IPv4's zero, protocol and 16-bit length sum up to the same as IPv6's 32-bit length, zeros and next header.
    bytes.extend(tcp.to_be_bytes());
    bytes.extend([0, 0, 0, TCP]);
    bytes
}

/// The Internet checksum over parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = parts
        .iter()
        .flat_map(|part| part.chunks(2))
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segments() -> impl Strategy<Value = Segment> {
        let ends = prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        ];
        let fields = any::<(u16, u16, u8, u32, u32, u16, Option<(u32, u32)>)>();
        (ends, fields, prop::collection::vec(any::<u8>(), 0..100)).prop_map(
            |((a, b), (from, to, flags, seq, ack, window, timestamps), payload)| Segment {
                tuple: FourTuple {
                    local: SocketAddr::new(a, from),
                    remote: SocketAddr::new(b, to),
                },
                flags,
                seq,
                ack,
                window,
                timestamps,
                payload,
            },
        )
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Segment::parse(&bytes);
        }

        #[test]
        fn a_segment_cut_or_altered_anywhere_never_panics(segment in segments(), cut in 0usize..200, at in 0usize..200, byte: u8) {
            let mut packet = segment.packet().unwrap();
            let length = packet.len();
            packet[at % length] = byte;
            packet.truncate(cut);
            let _ = Segment::parse(&packet);
        }

        #[test]
        fn a_segment_is_read_as_it_was_written(segment in segments()) {
            prop_assert_eq!(Segment::parse(&segment.packet().unwrap()), Some(segment));
        }

        #[test]
        fn the_receivers_sum_over_header_and_segment_is_zero(segment in segments()) {
            let packet = segment.packet().unwrap();
            let header = if segment.tuple.local.is_ipv4() { V4_HEADER } else { V6_HEADER };
            let tcp = &packet[header..];
            let pseudo = pseudo_header(segment.tuple.local.ip(), segment.tuple.remote.ip(), tcp.len() as u32);
            prop_assert_eq!(checksum(&[&pseudo, tcp]), 0);
            if header == V4_HEADER {
                prop_assert_eq!(checksum(&[&packet[..header]]), 0);
            }
        }
    }

    #[test]
    fn the_example_of_rfc_1071_sums_up() {
        // Section 3: 00 01 f2 03 f4 f5 f6 f7 sums up to ddf2.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn syn_and_fin_take_a_sequence_number_each() {
        let mut segment = Segment::parse(
            &Segment {
                tuple: FourTuple {
                    local: "10.1.0.1:40000".parse().unwrap(),
                    remote: "10.2.0.1:7000".parse().unwrap(),
                },
                flags: Flag::Syn.bit(),
                seq: u32::MAX,
                ack: 0,
                window: 1,
                timestamps: None,
                payload: vec![],
            }
            .packet()
            .unwrap(),
        )
        .unwrap();
        assert_eq!(segment.next_seq(), 0);
        segment.flags = Flag::bits(&[Flag::Fin, Flag::Ack]);
        segment.payload = vec![0; 5];
        assert_eq!(segment.next_seq(), 5);
    }
}
