//! One socket as the kernel lists it, whichever list told of it.

use std::net::SocketAddr;

use crate::tcp::{FourTuple, State};

/// A TCP socket in a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    pub tuple: FourTuple,
    pub state: State,
    /// Whether it is a mini-socket (`tcp_timewait_sock`): TIME_WAIT, or FIN_WAIT2 of an orphan. The kernel's timer 3.
    pub mini: bool,
    /// Milliseconds left on its timer; 0 when it is due or none runs.
    pub expires_ms: u32,
    /// Names the incarnation (a socket and the TIME_WAIT that follows it share it); 0 where the list tells none.
    pub cookie: u64,
}

impl Socket {
    /// A TIME_WAIT whose timer has reached 0 and that is still there: since Linux 4.8 for up to 2 s at HZ=250, as the
    /// timer wheel rounds up; for longer, it is late.
    #[must_use]
    pub fn overdue(&self) -> bool {
        self.state == State::TimeWait && self.expires_ms == 0
    }
}

/// One end, with an IPv4 address that a dual-stack socket wrote as `::ffff:a.b.c.d` told as IPv4, and no scope: so that
/// the same end always compares equal.
pub(super) fn endpoint(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
