//! Between fork() and exec(): the program's process asks to be observed, and installs the filter on itself.
//!
//! Only system calls, on what was prepared before: async-signal-safe (signal-safety(7)), nothing is allocated. The process
//! first says where it is, so that the supervisor can try whether it may look; then it does as it is told. A filter that
//! answers "trace" would make connect() fail where nobody traces, so that the tracer is there before the filter.
//! Whatever fails, the program runs: unobserved, and the supervisor knows why.
#![allow(unsafe_code)] // seccomp(2), and sending and receiving between fork() and exec().

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, send};

use super::filter::{Action, Instruction, LENGTH, program};

/// What the process finds at the address that it tells of.
pub(super) const MARK: u64 = 0x6c69_6e67_6572_2133;
const MESSAGE: usize = 16;
/// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6.
pub(super) const SYNC_WAKE_UP: libc::c_ulong = 1;

/// What the process tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Its copy of the socket, and where [`MARK`] is.
    Hello { descriptor: RawFd, mark: u64 },
    /// The filter is installed; with a listener, where that was asked for.
    Installed { no_new_privileges: bool },
    /// It is not, for this errno.
    Refused(i32),
}

impl Told {
    fn bytes(self) -> [u8; MESSAGE] {
        let (kind, number, value) = match self {
            Self::Hello { descriptor, mark } => (1_u32, descriptor, mark),
            Self::Installed { no_new_privileges } => (2, i32::from(no_new_privileges), 0),
            Self::Refused(errno) => (3, errno, 0),
        };
        let mut bytes = [0; MESSAGE];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&number.to_ne_bytes());
        bytes[8..].copy_from_slice(&value.to_ne_bytes());
        bytes
    }

    fn read(bytes: &[u8; MESSAGE]) -> Option<Self> {
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let (number, value) = rest.split_first_chunk::<4>()?;
        let number = i32::from_ne_bytes(*number);
        match u32::from_ne_bytes(*kind) {
            1 => Some(Self::Hello {
                descriptor: number,
                mark: u64::from_ne_bytes(value.try_into().ok()?),
            }),
            2 => Some(Self::Installed {
                no_new_privileges: number != 0,
            }),
            3 => Some(Self::Refused(number)),
            _ => None,
        }
    }
}

/// What the process is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Order {
    Notify = b'N',
    Trace = b'T',
    /// To go on: nothing more is asked of it.
    Go = b'-',
}

/// The process's end. To be installed by its `pre_exec`, last of all, and dropped by whoever started it.
#[derive(Debug)]
pub struct Hook {
    /// None: nothing is to be observed.
    socket: Option<OwnedFd>,
    notify: [libc::sock_filter; LENGTH],
    trace: [libc::sock_filter; LENGTH],
}

impl Hook {
    pub(super) fn new(socket: Option<OwnedFd>) -> Self {
        let instruction = |(code, jt, jf, k): Instruction| libc::sock_filter { code, jt, jf, k };
        Self {
            socket,
            notify: program(Action::Notify).map(instruction),
            trace: program(Action::Trace).map(instruction),
        }
    }

    /// Lets the calling process, and all that come of it, be observed. Async-signal-safe: for use between fork() and
    /// exec(), in the process that is to become the program, after it has got its user, namespaces and limits.
    ///
    /// # Errors
    /// None: where it cannot be observed the program runs all the same, and [`super::Supervisor::way`] tells why.
    pub fn install(&self) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            let socket = socket.as_raw_fd();
            let mark = std::hint::black_box(MARK);
            tell(
                socket,
                Told::Hello {
                    descriptor: socket,
                    mark: (&raw const mark) as u64,
                },
                None,
            );
            loop {
                match order(socket) {
                    Some(Order::Notify) => install_listener(socket, &self.notify),
                    Some(Order::Trace) => install_traced(socket, &self.trace),
                    Some(Order::Go) | None => break,
                }
            }
            std::hint::black_box(&mark);
        }
        Ok(())
    }
}

fn install_listener(socket: RawFd, filter: &[libc::sock_filter; LENGTH]) {
    // Listening (Linux 5.0); signals that end nothing wait for the answer (5.19); no mitigation is switched on (4.17).
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let further = [
        libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        0,
    ];
    match install(filter, further.map(|further| listener | further)) {
        Ok((descriptor, no_new_privileges)) => {
            tell(socket, Told::Installed { no_new_privileges }, Some(descriptor));
            // SAFETY: a plain system call; the descriptor is this process's own.
            unsafe { libc::close(descriptor) };
        }
        Err(errno) => tell(socket, Told::Refused(errno), None),
    }
}

fn install_traced(socket: RawFd, filter: &[libc::sock_filter; LENGTH]) {
    let told = match install(filter, [libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0, 0]) {
        Ok((_, no_new_privileges)) => Told::Installed { no_new_privileges },
        Err(errno) => Told::Refused(errno),
    };
    tell(socket, told, None);
}

/// Installs the filter with the first flags that the kernel knows. Returns what seccomp() gave, and whether the process had
/// to renounce privileges by exec(), because it is not entitled to filter others.
fn install(filter: &[libc::sock_filter; LENGTH], flags: [libc::c_ulong; 3]) -> Result<(RawFd, bool), i32> {
    let mut no_new_privileges = false;
    let mut which = 0;
    loop {
        match seccomp(filter, flags[which]) {
            Err(libc::EINVAL) if which + 1 < flags.len() => which += 1,
            Err(libc::EACCES) if !no_new_privileges => {
                // SAFETY: a plain system call.
                unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
                no_new_privileges = true;
            }
            other => return other.map(|given| (given, no_new_privileges)),
        }
    }
}

fn seccomp(filter: &[libc::sock_filter; LENGTH], flags: libc::c_ulong) -> Result<RawFd, i32> {
    let program = libc::sock_fprog {
        len: LENGTH as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: program and filter outlive the call, `len` is the filter's, and the kernel only reads them.
    let given = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            flags,
            &raw const program,
        )
    };
    RawFd::try_from(given)
        .ok()
        .filter(|given| *given >= 0)
        .ok_or_else(errno)
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// A supervisor that is gone is noticed by [`order`].
fn tell(socket: RawFd, what: Told, descriptor: Option<RawFd>) {
    const SPACE: usize = 64;
    #[repr(align(8))]
    struct Control([u8; SPACE]);
    let mut bytes = what.bytes();
    let mut control = Control([0; SPACE]);
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the message, its one part, and its control data outlive the call. The control data is as long as CMSG_SPACE
    // says and aligned as `struct cmsghdr`, and CMSG_FIRSTHDR and CMSG_DATA stay inside it.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if let Some(descriptor) = descriptor {
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(descriptor);
        }
        while libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) < 0 && errno() == libc::EINTR {}
    }
}

fn order(socket: RawFd) -> Option<Order> {
    let mut byte = 0_u8;
    loop {
        // SAFETY: the byte outlives the call, which writes no more than it.
        match unsafe { libc::recv(socket, (&raw mut byte).cast(), 1, 0) } {
            1 => break,
            -1 if errno() == libc::EINTR => {}
            _ => return None,
        }
    }
    [Order::Notify, Order::Trace, Order::Go]
        .into_iter()
        .find(|order| *order as u8 == byte)
}

/// What the supervisor's end received.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) told: Told,
    /// The sender, numbered as this process sees it.
    pub(super) process: i32,
    pub(super) descriptor: Option<OwnedFd>,
}

/// The next message; None where the process, or the last copy of the hook, is gone.
pub(super) fn receive(socket: &OwnedFd) -> Option<Received> {
    let mut bytes = [0; MESSAGE];
    let mut space = nix::cmsg_space!(UnixCredentials, [RawFd; 1]);
    let mut parts = [io::IoSliceMut::new(&mut bytes)];
    let message = loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(nix::Error::EINTR) => {}
            Err(_) => return None,
            Ok(message) => break message,
        }
    };
    let (mut process, mut descriptor) = (None, None);
    for control in message.cmsgs().ok()? {
        match control {
            ControlMessageOwned::ScmCredentials(sender) => process = Some(sender.pid()),
            // SAFETY: the kernel has just given us these descriptors, and nobody else has them.
            ControlMessageOwned::ScmRights(given) => given
                .into_iter()
                .for_each(|raw| descriptor = Some(unsafe { OwnedFd::from_raw_fd(raw) })),
            _ => {}
        }
    }
    let whole = message.bytes == MESSAGE;
    Some(Received {
        told: Told::read(&bytes).filter(|_| whole)?,
        process: process?,
        descriptor,
    })
}

/// Tells the process what to do. One that is gone is noticed by [`receive`].
pub(super) fn give(socket: &OwnedFd, order: Order) {
    let _ = send(socket.as_raw_fd(), &[order as u8], MsgFlags::MSG_NOSIGNAL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_tells_is_read_as_it_was_written() {
        let hello = Told::Hello {
            descriptor: 7,
            mark: u64::MAX - 3,
        };
        let installed = [true, false].map(|no_new_privileges| Told::Installed { no_new_privileges });
        for told in [hello, installed[0], installed[1], Told::Refused(libc::EBUSY)] {
            assert_eq!(Told::read(&told.bytes()), Some(told));
        }
        assert_eq!(Told::read(&[9; MESSAGE]), None);
    }
}
