//! Socket options that socket2 and nix do not cover. The only room of `tcp` that calls the kernel unsafely.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;

/// `IP_LOCAL_PORT_RANGE` (Linux 6.3): the option's number in include/uapi/linux/in.h.
const IP_LOCAL_PORT_RANGE: libc::c_int = 51;
/// `IP_BIND_ADDRESS_NO_PORT` (Linux 4.2): bind() to an address leaves the port to connect().
const IP_BIND_ADDRESS_NO_PORT: libc::c_int = 24;

fn set_u32(fd: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, value: u32) -> io::Result<()> {
    // SAFETY: `value` outlives the call, the length is its size, and setsockopt only reads it.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Leaves the port to connect() although the address is bound (IPv4 and IPv6 alike).
///
/// # Errors
/// `ENOPROTOOPT` before Linux 4.2.
pub fn set_bind_address_no_port(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_u32(fd, libc::IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Restricts the socket's ephemeral ports to `low..=high` (both inclusive) inside `ip_local_port_range`.
///
/// # Errors
/// `ENOPROTOOPT` before Linux 6.3; `EINVAL` when low > high.
pub fn set_local_port_range(fd: BorrowedFd<'_>, low: u16, high: u16) -> io::Result<()> {
    set_u32(
        fd,
        libc::IPPROTO_IP,
        IP_LOCAL_PORT_RANGE,
        u32::from(high) << 16 | u32::from(low),
    )
}

/// Whether the kernel has `IP_LOCAL_PORT_RANGE`; asked of the kernel, not of its version.
#[must_use]
pub fn has_local_port_range() -> bool {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    socket.is_ok_and(|socket| set_local_port_range(socket.as_fd(), 0, 0).is_ok())
}

/// Dissolves the socket's connection with RST and leaves the descriptor for another connect(): connect(AF_UNSPEC).
///
/// # Errors
/// Those of connect(2).
pub fn disconnect(fd: BorrowedFd<'_>) -> io::Result<()> {
    // The kernel looks at the family alone; 16 bytes are the size of `struct sockaddr`.
    let unspecified = [0u8; 16];
    const { assert!(libc::AF_UNSPEC == 0) };
    // SAFETY: the address outlives the call, the length is its size, and connect() only reads it.
    let result = unsafe {
        libc::connect(
            fd.as_raw_fd(),
            (&raw const unspecified).cast(),
            size_of_val(&unspecified) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reversed_port_range_is_refused_by_the_kernel() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        match set_local_port_range(socket.as_fd(), 2000, 1000) {
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOPROTOOPT))),
            Ok(()) => panic!("low > high was accepted"),
        }
    }
}
