//! NETLINK_SOCK_DIAG: the kernel's list of TCP sockets with states and timers (sock_diag(7)).
//!
//! Answers for the wire format, parsed by hand from fixed offsets without allocating, since a dump has tens of thousands
//! of entries. Must not know whose sockets they are. Asks with `TCPDIAG_GETSOCK`, the request from before IPv6 had its
//! own: the kernel (3.13 to 6.18) answers it with both families from one walk of its hash table, where
//! `SOCK_DIAG_BY_FAMILY` would cost one walk each — 0.8 ms a walk of 262,144 buckets even with nothing in them.
//!
//! A dump is not atomic, it walks bucket after bucket over many recv() calls; but a socket does not leave its bucket
//! while it lives, and TIME_WAIT takes its predecessor's place under the bucket's lock. So one that stays is listed,
//! unless a neighbour in its very bucket leaves just where one message ends and the next resumes by position.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, sockopt};
use nix::sys::time::TimeVal;

use super::socket::{Socket, endpoint};
use crate::tcp::{FourTuple, State};

/// Message types and flags of include/uapi/linux/netlink.h and inet_diag.h.
const TCPDIAG_GETSOCK: u16 = 18;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
/// `struct nlmsghdr`, `struct inet_diag_req` and `struct inet_diag_msg`, in bytes.
const HEADER: usize = 16;
const REQUEST: usize = 60;
const ENTRY: usize = 72;
/// `idiag_timer` of a mini-socket.
const TIMER_TIME_WAIT: u8 = 3;
/// The states 1 (ESTABLISHED) to 12 (NEW_SYN_RECV), a bit each.
const ALL_STATES: u32 = 0x1ffe;
/// The kernel fills up to 32 KiB a message when the reader has room for it, and never more (netlink_recvmsg() in
/// net/netlink/af_netlink.c caps it): a larger buffer would save nothing, and this one stays in the CPU's cache.
const BUFFER: usize = 64 * 1024;
/// A dump's next message is queued before recv() returns the one before: waiting at all means that none will come.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a dump failed.
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    #[error("{call}() on NETLINK_SOCK_DIAG failed: {source}")]
    Call { call: &'static str, source: io::Error },
    #[error("the kernel refused a sock_diag dump: {source} (are the modules inet_diag and tcp_diag there?)")]
    Refused { source: io::Error },
    #[error("expected {expected} in a sock_diag message at byte {at}, found {found}")]
    Malformed {
        expected: &'static str,
        at: usize,
        found: usize,
    },
}

/// Which sockets a dump lists. The kernel passes over the others as it walks its table, which costs it a look at their
/// state instead of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    All,
    /// TIME_WAIT and FIN_WAIT2: whatever a mini-socket can be.
    Waiting,
    /// All but TIME_WAIT and listeners: what has something left to do.
    Moving,
}

impl Listing {
    /// Whether it lists sockets in this state.
    #[must_use]
    pub fn includes(self, state: State) -> bool {
        match self {
            Self::All => true,
            Self::Waiting => matches!(state, State::TimeWait | State::FinWait2),
            Self::Moving => !matches!(state, State::TimeWait | State::Listen),
        }
    }

    /// `idiag_states`.
    fn states(self) -> u32 {
        let wanted = State::ALL.into_iter().filter(|state| self.includes(*state));
        wanted.fold(0, |states, state| states | 1 << state as u32) & ALL_STATES
    }
}

/// How far one received buffer brought the dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The dump is over.
    pub done: bool,
    /// The kernel says that the list changed under the dump in a way that makes it incomplete.
    pub interrupted: bool,
}

/// A sock_diag socket, bound for good to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
    buffer: Box<[u8]>,
}

impl SockDiag {
    /// Opens the socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`DiagError::Call`], such as `EPROTONOSUPPORT` on a kernel built without sock_diag.
    pub fn open() -> Result<Self, DiagError> {
        let failed = |call| {
            move |errno: nix::Error| DiagError::Call {
                call,
                source: errno.into(),
            }
        };
        let socket = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )
        .map_err(failed("socket"))?;
        let patience = TimeVal::new(PATIENCE.as_secs() as i64, 0);
        socket::setsockopt(&socket, sockopt::ReceiveTimeout, &patience).map_err(failed("setsockopt"))?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// Visits the TCP sockets of the namespace that are wanted, IPv4 and IPv6. False when the kernel called the dump
    /// interrupted.
    ///
    /// # Errors
    /// Any [`DiagError`]; what was visited till then is incomplete.
    pub fn dump(&mut self, wanted: Listing, mut visit: impl FnMut(Socket)) -> Result<bool, DiagError> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence, wanted.states());
        socket::send(self.socket.as_raw_fd(), &request, MsgFlags::empty()).map_err(|errno| DiagError::Call {
            call: "send",
            source: errno.into(),
        })?;
        let mut complete = true;
        let mut malformed = None;
        // A malformed message does not end the reading: what is left in the socket would be taken for the next dump.
        loop {
            let received = self.receive()?;
            match parse(&self.buffer[..received], self.sequence, &mut visit) {
                Ok(progress) => {
                    complete &= !progress.interrupted;
                    if progress.done {
                        return malformed.map_or(Ok(complete), Err);
                    }
                }
                Err(error @ DiagError::Malformed { .. }) => malformed = Some(error),
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self) -> Result<usize, DiagError> {
        // With MSG_TRUNC the kernel tells the message's whole length, also when it did not fit.
        let flags = MsgFlags::MSG_TRUNC;
        let length = loop {
            match socket::recv(self.socket.as_fd().as_raw_fd(), &mut self.buffer, flags) {
                Err(nix::Error::EINTR) => {}
                other => break other,
            }
        }
        .map_err(|errno| DiagError::Call {
            call: "recv",
            source: errno.into(),
        })?;
        if length > self.buffer.len() {
            return Err(DiagError::Malformed {
                expected: "a message that fits 64 KiB",
                at: 0,
                found: length,
            });
        }
        Ok(length)
    }
}

/// A request for every TCP socket in any state.
fn request(sequence: u32, states: u32) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    bytes[0..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&TCPDIAG_GETSOCK.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    // inet_diag_req: four bytes of family and lengths, 48 of socket identity, then the states.
    bytes[HEADER + 52..HEADER + 56].copy_from_slice(&states.to_ne_bytes());
    bytes
}

/// Visits the sockets in one received buffer, which answers the request numbered `sequence`.
///
/// # Errors
/// [`DiagError::Refused`] when the kernel ended the dump with an error; [`DiagError::Malformed`] where lengths do not
/// fit: the sockets before that place have been visited.
pub fn parse(bytes: &[u8], sequence: u32, mut visit: impl FnMut(Socket)) -> Result<Progress, DiagError> {
    let mut progress = Progress::default();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let malformed = |expected, found| DiagError::Malformed { expected, at, found };
        if rest.len() < HEADER {
            return Err(malformed("a header of 16 bytes", rest.len()));
        }
        let length = u32_at(rest, 0) as usize;
        if length < HEADER || length > rest.len() {
            return Err(malformed("a length from 16 to what was received", length));
        }
        let (kind, flags, body) = (u16_at(rest, 4), u16_at(rest, 6), &rest[HEADER..length]);
        // Messages left over from a dump that was given up carry its number.
        if u32_at(rest, 8) == sequence {
            progress.interrupted |= flags & NLM_F_DUMP_INTR != 0;
            match kind {
                NLMSG_NOOP => {}
                NLMSG_DONE | NLMSG_ERROR => {
                    // Either carries 0 or a negated errno; DONE without one is a plain end.
                    let errno = if body.len() >= 4 { u32_at(body, 0) as i32 } else { 0 };
                    if errno < 0 {
                        let source = io::Error::from_raw_os_error(errno.checked_neg().unwrap_or(libc::EPROTO));
                        return Err(DiagError::Refused { source });
                    }
                    progress.done = true;
                    return Ok(progress);
                }
                _ if body.len() < ENTRY => return Err(malformed("an inet_diag_msg of 72 bytes", body.len())),
                _ => {
                    if let Some(socket) = entry(body) {
                        visit(socket);
                    }
                }
            }
        }
        at += length.next_multiple_of(4);
    }
    Ok(progress)
}

/// One `inet_diag_msg`; None for a family or state that this program has no word for.
fn entry(body: &[u8]) -> Option<Socket> {
    let address = |at: usize, port: usize| -> Option<SocketAddr> {
        let ip = match i32::from(body[0]) {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&body[at..at + 4]).ok()?)),
            libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&body[at..at + 16]).ok()?)),
            _ => return None,
        };
        let port = u16::from_be_bytes([body[port], body[port + 1]]);
        Some(endpoint(SocketAddr::new(ip, port)))
    };
    Some(Socket {
        tuple: FourTuple {
            local: address(8, 4)?,
            remote: address(24, 6)?,
        },
        state: State::from_kernel(body[1])?,
        mini: body[2] == TIMER_TIME_WAIT,
        expires_ms: u32_at(body, 52),
        cookie: u64::from(u32_at(body, 48)) << 32 | u64::from(u32_at(body, 44)),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }

    fn body(socket: &Socket) -> Vec<u8> {
        let mut body = vec![0; ENTRY];
        for (address, at, port) in [(socket.tuple.local, 8, 4), (socket.tuple.remote, 24, 6)] {
            match address.ip() {
                IpAddr::V4(ip) => {
                    body[0] = libc::AF_INET as u8;
                    body[at..at + 4].copy_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    body[0] = libc::AF_INET6 as u8;
                    body[at..at + 16].copy_from_slice(&ip.octets());
                }
            }
            body[port..port + 2].copy_from_slice(&address.port().to_be_bytes());
        }
        body[1] = socket.state as u8;
        body[2] = if socket.mini { 3 } else { 0 };
        body[44..48].copy_from_slice(&(socket.cookie as u32).to_ne_bytes());
        body[48..52].copy_from_slice(&((socket.cookie >> 32) as u32).to_ne_bytes());
        body[52..56].copy_from_slice(&socket.expires_ms.to_ne_bytes());
        body
    }

    fn sockets() -> impl Strategy<Value = Socket> {
        let state = prop::sample::select(State::ALL.to_vec());
        let ends = prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        ];
        (ends, any::<(u16, u16, bool, u32, u64)>(), state).prop_map(
            |((a, b), (local, remote, mini, expires_ms, cookie), state)| Socket {
                tuple: FourTuple {
                    local: endpoint(SocketAddr::new(a, local)),
                    remote: endpoint(SocketAddr::new(b, remote)),
                },
                state,
                mini,
                expires_ms,
                cookie,
            },
        )
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_told_apart_from_a_dump_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), sequence in 0u32..2) {
            let _ = parse(&bytes, sequence, |_| {});
        }

        #[test]
        fn a_dump_cut_or_altered_anywhere_never_panics(list in prop::collection::vec(sockets(), 1..5), cut in 0usize..400, at in 0usize..400, byte: u8) {
            let mut bytes: Vec<u8> = list.iter().flat_map(|s| message(20, 2, 7, &body(s))).collect();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(cut);
            let _ = parse(&bytes, 7, |_| {});
        }

        #[test]
        fn every_socket_of_a_dump_is_visited_as_it_was_written(list in prop::collection::vec(sockets(), 0..20)) {
            let mut bytes: Vec<u8> = list.iter().flat_map(|s| message(20, 2, 7, &body(s))).collect();
            bytes.extend(message(NLMSG_DONE, 2, 7, &0i32.to_ne_bytes()));
            let mut seen = Vec::new();
            let progress = parse(&bytes, 7, |socket| seen.push(socket)).unwrap();
            prop_assert!(progress.done && !progress.interrupted);
            prop_assert_eq!(seen, list);
        }
    }

    #[test]
    fn an_error_at_the_end_of_a_dump_is_the_kernels_refusal() {
        for kind in [NLMSG_DONE, NLMSG_ERROR] {
            let bytes = message(kind, 2, 1, &(-libc::ENOENT).to_ne_bytes());
            match parse(&bytes, 1, |_| {}) {
                Err(DiagError::Refused { source }) => assert_eq!(source.raw_os_error(), Some(libc::ENOENT)),
                other => panic!("expected a refusal, found {other:?}"),
            }
        }
    }

    #[test]
    fn an_interrupted_dump_says_so() {
        let bytes = message(NLMSG_DONE, NLM_F_DUMP_INTR, 1, &0i32.to_ne_bytes());
        let progress = parse(&bytes, 1, |_| {}).unwrap();
        assert!(progress.done && progress.interrupted);
    }

    #[test]
    fn what_is_left_of_an_earlier_dump_is_passed_over() {
        let bytes = message(NLMSG_DONE, 0, 1, &0i32.to_ne_bytes());
        assert_eq!(parse(&bytes, 2, |_| {}).unwrap(), Progress::default());
    }
}
