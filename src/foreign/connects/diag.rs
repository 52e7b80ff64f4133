//! One socket's state by sock_diag(7): the socket is named by its addresses and its cookie, and nobody holds it.
//!
//! SOCK_DIAG_BY_FAMILY without NLM_F_DUMP (Linux 3.3). Bound to the network namespace of the thread that opened it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, sockopt};
use nix::sys::time::TimeVal;

use crate::tcp::{FourTuple, State};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
const HEADER: usize = 16;
const REQUEST: usize = 56;

#[derive(Debug)]
pub(super) struct Diag {
    socket: OwnedFd,
    sequence: u32,
}

impl Diag {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            flags,
            SockProtocol::NetlinkSockDiag,
        )?;
        // The kernel answers inside send(): waiting at all means that nothing will come.
        socket::setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(1, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The state of the socket; None where there is none with this cookie any more.
    ///
    /// # Errors
    /// The kernel has no sock_diag, or answers something else.
    pub(super) fn state(&mut self, tuple: FourTuple, cookie: u64) -> io::Result<Option<State>> {
        self.sequence = self.sequence.wrapping_add(1);
        socket::send(
            self.socket.as_raw_fd(),
            &request(tuple, cookie, self.sequence),
            MsgFlags::empty(),
        )?;
        let mut bytes = [0; 1024];
        loop {
            let length = socket::recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
            if let Some(answer) = answer(&bytes[..length], self.sequence) {
                return answer;
            }
        }
    }
}

fn request(tuple: FourTuple, cookie: u64, sequence: u32) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    bytes[0..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    let body = &mut bytes[HEADER..];
    body[0] = if tuple.local.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    } as u8;
    body[1] = libc::IPPROTO_TCP as u8;
    body[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    for (end, port, ip) in [(tuple.local, 8, 12), (tuple.remote, 10, 28)] {
        body[port..port + 2].copy_from_slice(&end.port().to_be_bytes());
        match end.ip() {
            IpAddr::V4(address) => body[ip..ip + 4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => body[ip..ip + 16].copy_from_slice(&address.octets()),
        }
    }
    body[48..52].copy_from_slice(&(cookie as u32).to_ne_bytes());
    body[52..56].copy_from_slice(&((cookie >> 32) as u32).to_ne_bytes());
    bytes
}

/// None: it answers another request.
fn answer(bytes: &[u8], sequence: u32) -> Option<io::Result<Option<State>>> {
    let word = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|four| four.try_into().ok())
            .map(u32::from_ne_bytes)
    };
    let kind = bytes
        .get(4..6)
        .and_then(|two| two.try_into().ok())
        .map(u16::from_ne_bytes)?;
    if word(8)? != sequence {
        return None;
    }
    Some(match i32::from(kind) {
        libc::NLMSG_ERROR => match word(HEADER).map_or(0, |errno| errno.cast_signed().wrapping_neg()) {
            // Not there; or there, and another socket.
            libc::ENOENT | libc::ESTALE => Ok(None),
            errno => Err(io::Error::from_raw_os_error(errno)),
        },
        _ => match bytes.get(HEADER + 1).and_then(|state| State::from_kernel(*state)) {
            Some(state) => Ok(Some(state)),
            None => Err(io::Error::other("a sock_diag answer without a state")),
        },
    })
}

/// The addresses of a socket that connects to `to`; None where it has none of its own.
pub(super) fn tuple(socket: &OwnedFd, to: SocketAddr) -> Option<FourTuple> {
    let local = socket2::SockRef::from(socket).local_addr().ok()?.as_socket()?;
    Some(FourTuple {
        local: SocketAddr::new(local.ip().to_canonical(), local.port()),
        remote: to,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_socket_is_found_by_its_addresses_and_cookie_and_no_other() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let to = listener.local_addr().unwrap();
            let stream = TcpStream::connect(to).unwrap();
            let cookie = socket2::SockRef::from(&stream).cookie().unwrap();
            let held = OwnedFd::from(stream);
            let tuple = tuple(&held, to).unwrap();
            let mut diag = Diag::open().unwrap();
            assert_eq!(diag.state(tuple, cookie).unwrap(), Some(State::Established));
            assert_eq!(diag.state(tuple, cookie + 1_000_000).unwrap(), None);
            let nowhere = FourTuple {
                remote: "192.0.2.1:1".parse().unwrap(),
                ..tuple
            };
            if to.is_ipv4() {
                assert_eq!(diag.state(nowhere, cookie).unwrap(), None);
            }
        }
    }

    #[test]
    fn answers_that_are_cut_short_are_errors_or_none() {
        assert!(answer(&[], 1).is_none());
        let mut bytes = [0; 16];
        bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes[8..12].copy_from_slice(&1_u32.to_ne_bytes());
        assert!(answer(&bytes, 1).unwrap().is_err());
        assert!(answer(&bytes, 2).is_none());
    }
}
