//! The tap: a packet socket that sees every segment of a namespace (packet(7)), before any socket filter loses it.
//!
//! The kernel hands a packet to taps before TCP gets it, so that once an effect of a segment is seen, the segment is
//! in the tap's queue. The loopback interface shows each packet twice, on its way out and in; one of them is taken.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket};

use super::segment::Segment;
use crate::record::schema::SegmentSeen;
use crate::scenario::step::Flag;

/// A segment may be a train of them that the receiving network card would have taken apart (GSO).
const LARGEST: usize = 1 << 17;
/// Segments that a record tells at most.
const TOLD: usize = 200;

#[derive(Debug)]
pub(super) struct Tap {
    socket: OwnedFd,
    /// Whether both sides are in this one namespace.
    shared: bool,
    buffer: Box<[u8]>,
    seen: Vec<Segment>,
    /// The step at which each was captured.
    steps: Vec<usize>,
}

impl Tap {
    /// Opens a tap in the calling thread's network namespace.
    pub(super) fn open(shared: bool) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll)?;
        Ok(Self {
            socket,
            shared,
            buffer: vec![0; LARGEST].into_boxed_slice(),
            seen: Vec::new(),
            steps: Vec::new(),
        })
    }

    /// Takes what has been captured since.
    pub(super) fn drain(&mut self, step: usize) -> io::Result<()> {
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut self.buffer) {
                Ok((length, from)) => {
                    let outgoing = from.is_some_and(|from| from.pkttype() == libc::PACKET_OUTGOING);
                    if let Some(segment) = Segment::parse(&self.buffer[..length])
                        && !(self.shared && outgoing)
                    {
                        self.seen.push(segment);
                        self.steps.push(step);
                    }
                }
                Err(nix::Error::EAGAIN) => return Ok(()),
                Err(nix::Error::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    pub(super) fn seen(&self) -> &[Segment] {
        &self.seen
    }

    /// The first of them for the record.
    pub(super) fn told(&self) -> Vec<SegmentSeen> {
        let told = |(segment, step): (&Segment, &usize)| SegmentSeen {
            step: *step,
            from: segment.tuple.local.to_string(),
            to: segment.tuple.remote.to_string(),
            flags: flags(segment.flags),
            seq: segment.seq,
            ack: segment.has(Flag::Ack).then_some(segment.ack),
            bytes: segment.payload.len(),
            timestamp: segment.timestamps.map(|(value, _)| value),
        };
        self.seen.iter().zip(&self.steps).take(TOLD).map(told).collect()
    }
}

/// `SYN ACK`, in the order in which they are spoken of.
pub(super) fn flags(bits: u8) -> String {
    let names = [
        (Flag::Syn, "SYN"),
        (Flag::Fin, "FIN"),
        (Flag::Rst, "RST"),
        (Flag::Psh, "PSH"),
        (Flag::Ack, "ACK"),
    ];
    let set: Vec<&str> = names
        .into_iter()
        .filter(|(flag, _)| bits & flag.bit() != 0)
        .map(|(_, name)| name)
        .collect();
    set.join(" ")
}
