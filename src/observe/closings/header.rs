//! What the watch reads of a captured packet: addresses, ports, sequence numbers, flags, timestamps. Pure.
//!
//! RFC 791 3.1, RFC 8200 3, RFC 9293 3.1 and 3.2, RFC 7323 3.2. The packet may be cut after the TCP header's first 20 bytes, so that lengths
//! come from the IP header. Extension headers and fragments are not read: a kernel sends none for TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::tcp::FourTuple;

/// The TCP header's flags (RFC 9293, 3.1).
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

const TCP: u8 = 6;
const V6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;

/// Kinds of TCP options (RFC 9293, 3.2; RFC 7323, 3.2).
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const TIMESTAMPS: u8 = 8;

/// One segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// `local` sent it.
    pub(super) tuple: FourTuple,
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// Payload in bytes.
    pub(super) length: u32,
    /// None where the segment has none, or where it was cut before them.
    pub(super) timestamps: Option<Timestamps>,
}

/// The timestamps option (RFC 7323, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamps {
    /// TSval: the sender's clock.
    pub(super) value: u32,
    /// TSecr: the peer's clock when it sent what the sender had got last, in order.
    pub(super) echo: u32,
}

impl Header {
    /// Reads a packet from its IP header on. `whole` is its length before it was cut.
    pub(super) fn parse(packet: &[u8], whole: u32) -> Option<Self> {
        let (source, destination, tcp, announced) = match packet.first()? >> 4 {
            4 => v4(packet)?,
            6 => v6(packet)?,
            _ => return None,
        };
        let at = packet.len() - tcp.len();
        let offset = usize::from(*tcp.get(12)? >> 4) * 4;
        if offset < TCP_HEADER || tcp.len() < TCP_HEADER {
            return None;
        }
        // A length of 0 announces more than 64 KiB (BIG TCP, Linux 5.19); frames of Ethernet may be longer than the packet.
        let whole = if announced == 0 { whole } else { announced };
        let headers = u32::try_from(at + offset).ok()?;
        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        Some(Self {
            tuple: FourTuple {
                local: SocketAddr::new(source, port(0)),
                remote: SocketAddr::new(destination, port(2)),
            },
            flags: tcp[13],
            seq: word(4),
            ack: word(8),
            length: whole.saturating_sub(headers),
            timestamps: timestamps(&tcp[TCP_HEADER..tcp.len().min(offset)]),
        })
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The sequence number behind this segment: SYN and FIN take one each (RFC 9293, 3.4).
    pub(super) fn next_seq(&self) -> u32 {
        let controls = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        self.seq.wrapping_add(self.length).wrapping_add(controls)
    }
}

/// Looks for the timestamps among the options that are there.
fn timestamps(mut options: &[u8]) -> Option<Timestamps> {
    loop {
        match *options.first()? {
            END_OF_OPTIONS => return None,
            NO_OPERATION => options = &options[1..],
            TIMESTAMPS => {
                let option: &[u8; 10] = options.first_chunk()?;
                let word = |at: usize| u32::from_be_bytes([option[at], option[at + 1], option[at + 2], option[at + 3]]);
                return Some(Timestamps {
                    value: word(2),
                    echo: word(6),
                });
            }
            // A length below 2 would never get on.
            _ => options = options.get(usize::from(*options.get(1)?).max(2)..)?,
        }
    }
}

/// Source, destination, the TCP header's bytes, and the packet's length as announced.
type Parts<'a> = (IpAddr, IpAddr, &'a [u8], u32);

fn v4(packet: &[u8]) -> Option<Parts<'_>> {
    let header = usize::from(packet[0] & 0x0f) * 4;
    let fixed: &[u8; 20] = packet.first_chunk()?;
    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff;
    if header < fixed.len() || fixed[9] != TCP || fragment != 0 {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]).into();
    let announced = u16::from_be_bytes([fixed[2], fixed[3]]);
    Some((address(12), address(16), packet.get(header..)?, announced.into()))
}

fn v6(packet: &[u8]) -> Option<Parts<'_>> {
    let (fixed, tcp) = packet.split_first_chunk::<V6_HEADER>()?;
    if fixed[6] != TCP {
        return None;
    }
    let address = |at: usize| <[u8; 16]>::try_from(&fixed[at..at + 16]).map(|bytes| Ipv6Addr::from(bytes).into());
    let payload = u16::from_be_bytes([fixed[4], fixed[5]]);
    let announced = if payload == 0 {
        0
    } else {
        V6_HEADER as u32 + u32::from(payload)
    };
    Some((address(8).ok()?, address(24).ok()?, tcp, announced))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(header: &Header) -> Vec<u8> {
        let options = if header.timestamps.is_some() { 12 } else { 0 };
        let mut bytes = match (header.tuple.local.ip(), header.tuple.remote.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut ip = vec![0; 20];
                ip[0] = 0x45;
                ip[2..4].copy_from_slice(&(40 + options + header.length as u16).to_be_bytes());
                ip[9] = TCP;
                ip[12..16].copy_from_slice(&source.octets());
                ip[16..20].copy_from_slice(&destination.octets());
                ip
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut ip = vec![0; 40];
                ip[0] = 0x60;
                ip[4..6].copy_from_slice(&(20 + options + header.length as u16).to_be_bytes());
                ip[6] = TCP;
                ip[8..24].copy_from_slice(&source.octets());
                ip[24..40].copy_from_slice(&destination.octets());
                ip
            }
            mixed => panic!("{mixed:?}"),
        };
        bytes.extend(header.tuple.local.port().to_be_bytes());
        bytes.extend(header.tuple.remote.port().to_be_bytes());
        bytes.extend(header.seq.to_be_bytes());
        bytes.extend(header.ack.to_be_bytes());
        // Linux lays the option out so: two NOPs, and it (RFC 7323, appendix A).
        let words = if header.timestamps.is_some() { 8 } else { 5 };
        bytes.extend([words << 4, header.flags, 0, 0, 0, 0, 0, 0]);
        if let Some(timestamps) = header.timestamps {
            bytes.extend([NO_OPERATION, NO_OPERATION, TIMESTAMPS, 10]);
            bytes.extend(timestamps.value.to_be_bytes());
            bytes.extend(timestamps.echo.to_be_bytes());
        }
        bytes
    }

    fn headers() -> impl Strategy<Value = Header> {
        let ends = prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        ];
        let timestamps = any::<Option<(u32, u32)>>();
        (ends, any::<(u16, u16, u8, u32, u32)>(), 0u32..60_000, timestamps).prop_map(
            |((a, b), (from, to, flags, seq, ack), length, timestamps)| Header {
                tuple: FourTuple {
                    local: SocketAddr::new(a, from),
                    remote: SocketAddr::new(b, to),
                },
                flags,
                seq,
                ack,
                length,
                timestamps: timestamps.map(|(value, echo)| Timestamps { value, echo }),
            },
        )
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), whole: u32) {
            let _ = Header::parse(&bytes, whole);
        }

        #[test]
        fn a_header_is_read_as_it_was_written_and_cut_short_not_at_all(header in headers(), cut in 0usize..40) {
            let bytes = packet(&header);
            prop_assert_eq!(Header::parse(&bytes, bytes.len() as u32), Some(header));
            prop_assert_eq!(Header::parse(&bytes[..cut], bytes.len() as u32), None);
        }
    }
}
