//! Another process's memory and descriptors, and its sockets as they are.
//!
//! pidfd_open(2) (Linux 5.3), pidfd_getfd(2) (5.6), process_vm_readv(2), TCP_INFO. A notification and a stop name a
//! *thread*: with PIDFD_THREAD (6.9) it is opened itself, before that its process, whose number /proc tells. A socket that
//! was got is closed before the program goes on: a copy would keep open what the program closes.
#![allow(unsafe_code)] // Three calls that nix has no names for, and connect() with an address as the program wrote it.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use socket2::{Domain, Protocol, SockRef, Type};

use crate::tcp::State;

/// Linux 6.9, include/uapi/linux/pidfd.h.
const PIDFD_THREAD: libc::c_int = libc::O_EXCL;
/// Processes that are kept open at once.
const KEPT: usize = 256;

/// The processes whose sockets were asked for, kept open.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// By thread, or by process where a thread cannot be opened.
    open: HashMap<i32, OwnedFd>,
}

impl Processes {
    /// A copy of a thread's descriptor. Closed by exec().
    pub(super) fn descriptor(&mut self, thread: i32, descriptor: RawFd) -> io::Result<OwnedFd> {
        if let Some(process) = self.open.get(&thread) {
            match copy(process, descriptor) {
                // It has ended, and its number may be another's now.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => _ = self.open.remove(&thread),
                other => return other,
            }
        }
        let (number, process) = match open(thread, PIDFD_THREAD).or_else(|_| open(thread, 0)) {
            Ok(process) => (thread, process),
            Err(_) => {
                let number = process_of(thread)?;
                if let Some(process) = self.open.get(&number)
                    && let Ok(copy) = copy(process, descriptor)
                {
                    return Ok(copy);
                }
                (number, open(number, 0)?)
            }
        };
        let copied = copy(&process, descriptor);
        if self.open.len() >= KEPT {
            self.open.clear();
        }
        self.open.insert(number, process);
        copied
    }
}

fn open(number: i32, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: a system call without pointers.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, number, flags) })
}

fn copy(process: &OwnedFd, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a system call without pointers.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(result) {
        // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
        Ok(raw) if raw >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(raw) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The process that a thread is of.
fn process_of(thread: i32) -> io::Result<i32> {
    status(thread, "Tgid:")
}

/// The process that a process is a child of; 0 where that is in another PID namespace.
pub(super) fn parent_of(process: i32) -> io::Result<i32> {
    status(process, "PPid:")
}

fn status(thread: i32, field: &str) -> io::Result<i32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status"))?;
    let number = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.trim().parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {field} in /proc/…/status")))
}

/// The longest address that the kernel takes: `struct sockaddr_storage`.
const LONGEST: usize = 128;

/// A socket address as the program wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Address {
    /// Reads it from a thread's memory; None where the kernel would not take it either (EINVAL, EFAULT).
    pub(super) fn read(thread: i32, at: u64, length: u64) -> Option<Self> {
        let length = usize::try_from(length)
            .ok()
            .filter(|length| (2..=LONGEST).contains(length))?;
        let mut bytes = [0; LONGEST];
        let remote = RemoteIoVec {
            base: usize::try_from(at).ok()?,
            len: length,
        };
        let read = process_vm_readv(
            Pid::from_raw(thread),
            &mut [IoSliceMut::new(&mut bytes[..length])],
            &[remote],
        );
        (read == Ok(length)).then_some(Self { bytes, length })
    }

    /// Where it leads; None where that is no address of IPv4 or IPv6.
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        let bytes = &self.bytes[..self.length];
        let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
        let ip = match i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?)) {
            libc::AF_INET if self.length >= 16 => {
                IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(4..8)?).ok()?))
            }
            libc::AF_INET6 if self.length >= 24 => {
                IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(8..24)?).ok()?)).to_canonical()
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// connect(2) to it: 0 or an errno.
    pub(super) fn connect(&self, socket: BorrowedFd<'_>) -> i32 {
        // SAFETY: the bytes outlive the call, `length` is at most theirs, and connect() only reads them.
        let result = unsafe {
            libc::connect(
                socket.as_raw_fd(),
                self.bytes.as_ptr().cast(),
                self.length as libc::socklen_t,
            )
        };
        if result == 0 {
            0
        } else {
            io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
        }
    }
}

/// A TCP socket as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) state: State,
    pub(super) nonblocking: bool,
    pub(super) cookie: u64,
}

impl Look {
    /// None where it is no TCP socket, or an old kernel does not tell what it is.
    pub(super) fn at(socket: BorrowedFd<'_>) -> Option<Self> {
        let this = SockRef::from(&socket);
        let stream = this.r#type().ok()? == Type::STREAM;
        let inet = matches!(this.domain().ok()?, Domain::IPV4 | Domain::IPV6);
        if !stream || !inet || this.protocol().ok()? != Some(Protocol::TCP) {
            return None;
        }
        Some(Self {
            state: state(socket)?,
            nonblocking: this.nonblocking().ok()?,
            cookie: this.cookie().ok()?,
        })
    }
}

/// By TCP_INFO, which leaves a pending error where it is. Its first byte is the state.
pub(super) fn state(socket: BorrowedFd<'_>) -> Option<State> {
    let mut byte = 0_u8;
    let mut length = 1 as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, one, and both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut byte).cast(),
            &raw mut length,
        )
    };
    (result == 0 && length == 1).then(|| State::from_kernel(byte))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn own(at: &[u8]) -> Option<Address> {
        Address::read(std::process::id().cast_signed(), at.as_ptr() as u64, at.len() as u64)
    }

    #[test]
    fn an_address_is_read_from_memory_and_one_that_is_not_there_is_none() {
        let mut bytes = [0_u8; 16];
        bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        bytes[2..8].copy_from_slice(&[0x1b, 0x58, 10, 2, 0, 1]);
        let address = own(&bytes).unwrap();
        assert_eq!(address.destination(), Some("10.2.0.1:7000".parse().unwrap()));
        assert_eq!(own(&bytes[..8]).unwrap().destination(), None);
        assert_eq!(own(&bytes[..1]), None);
        assert_eq!(Address::read(std::process::id().cast_signed(), 16, 16), None);
    }

    #[test]
    fn a_mapped_address_is_told_as_ipv4() {
        let mut bytes = [0_u8; 28];
        bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&80_u16.to_be_bytes());
        bytes[18..24].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
        assert_eq!(
            own(&bytes).unwrap().destination(),
            Some("127.0.0.1:80".parse().unwrap())
        );
    }

    #[test]
    fn a_thread_s_socket_is_copied_by_the_threads_number_and_looked_at() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let thread = nix::unistd::gettid().as_raw();
        let mut processes = Processes::default();
        for _ in 0..2 {
            let copy = processes.descriptor(thread, stream.as_raw_fd()).unwrap();
            let look = Look::at(copy.as_fd()).unwrap();
            assert_eq!((look.state, look.nonblocking), (State::Established, false));
            assert_eq!(Look::at(stream.as_fd()), Some(look));
        }
        assert_eq!(
            processes.descriptor(thread, -1).unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(Look::at(udp.as_fd()), None);
        assert_eq!(process_of(thread).unwrap(), std::process::id().cast_signed());
    }
}
