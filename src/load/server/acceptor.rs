//! The listening sockets, and when the next connection may be taken from them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Socket};

use crate::load::poller::{Interest, Poller};
use crate::load::{Clock, EngineError, stream};
use crate::tcp::errno;

/// Tokens from here on are listeners.
pub(super) const LISTENERS: u64 = 1 << 32;
/// The pause after an accept() that failed for want of descriptors or memory: trying on would only burn the CPU.
const BACK_OFF: u64 = 10_000_000;

/// Sockets in LISTEN, one a destination and thread: the handshake with each client ends from now on, accept() or not.
#[derive(Debug)]
pub struct Listeners(Vec<Vec<Socket>>);

impl Listeners {
    /// Listens on each destination with the backlog given, which the kernel caps at net.core.somaxconn.
    ///
    /// SO_REUSEADDR is set: TIME_WAIT sockets of an earlier server do not hold the port.
    ///
    /// # Errors
    /// An address that is not this machine's, a port that is taken, or too few descriptors.
    pub fn bind(destinations: &[SocketAddr], backlog: u32) -> Result<Self, EngineError> {
        Self::bind_shared(destinations, backlog, 1)
    }

    /// The same for several threads, each with a listener and a backlog of its own on every destination: the kernel
    /// spreads the connections over them by a hash of the four-tuple (SO_REUSEPORT).
    ///
    /// # Errors
    /// As [`Listeners::bind`].
    pub fn bind_shared(destinations: &[SocketAddr], backlog: u32, threads: u32) -> Result<Self, EngineError> {
        let listen = |address: &SocketAddr| listen(*address, backlog, threads > 1);
        let of_thread = |_| destinations.iter().map(listen).collect();
        (0..threads.max(1)).map(of_thread).collect::<Result<_, _>>().map(Self)
    }

    /// One for each thread.
    pub(super) fn divide(self) -> Vec<Self> {
        self.0.into_iter().map(|sockets| Self(vec![sockets])).collect()
    }

    /// Where each listens; tells the port where a destination's was 0.
    ///
    /// # Errors
    /// What getsockname() gives.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let address = |socket: &Socket| socket.local_addr().map(|address| address.as_socket());
        let sockets = self.0.first().into_iter().flatten();
        sockets.filter_map(|socket| address(socket).transpose()).collect()
    }
}

fn listen(address: SocketAddr, backlog: u32, shared: bool) -> Result<Socket, EngineError> {
    let failed = |call| move |error| EngineError::Listen { call, address, error };
    let socket = stream::open(Domain::for_address(address)).map_err(failed("open a socket"))?;
    socket.set_reuse_address(true).map_err(failed("set SO_REUSEADDR"))?;
    if shared {
        socket.set_reuse_port(true).map_err(failed("set SO_REUSEPORT"))?;
    }
    socket.bind(&address.into()).map_err(failed("bind()"))?;
    socket
        .listen(i32::try_from(backlog).unwrap_or(i32::MAX))
        .map_err(failed("listen()"))?;
    Ok(socket)
}

/// Takes connections from the listeners, no faster than the plan allows.
#[derive(Debug)]
pub(super) struct Acceptor {
    listeners: Vec<Socket>,
    /// Listeners that may have a connection waiting, in order of turn.
    ready: VecDeque<usize>,
    /// Which are in `ready`.
    is_ready: Vec<bool>,
    delay: u64,
    /// No accept() before this time.
    not_before: u64,
    /// Failures by errno.
    failed: Vec<(Errno, u64)>,
}

impl Acceptor {
    /// `delay`: nanoseconds before each accept().
    pub(super) fn new(listeners: Listeners, poller: &Poller, delay: u64) -> Result<Self, EngineError> {
        let listeners: Vec<Socket> = listeners.0.into_iter().flatten().collect();
        for (index, listener) in listeners.iter().enumerate() {
            poller
                .add(listener.as_fd(), Interest::Input, LISTENERS + index as u64)
                .map_err(|errno| EngineError::EventLoop {
                    call: "epoll_ctl",
                    errno,
                })?;
        }
        Ok(Self {
            ready: VecDeque::with_capacity(listeners.len()),
            is_ready: vec![false; listeners.len()],
            listeners,
            delay,
            not_before: delay,
            failed: Vec::new(),
        })
    }

    /// The load is over: take what still waits without delay, so that no handshake goes unaccounted for.
    pub(super) fn hurry(&mut self) {
        self.delay = 0;
        self.not_before = 0;
        for index in 0..self.listeners.len() {
            self.wake(LISTENERS + index as u64);
        }
    }

    /// The poller has told of a listener.
    pub(super) fn wake(&mut self, token: u64) {
        let index = (token - LISTENERS) as usize;
        if !std::mem::replace(&mut self.is_ready[index], true) {
            self.ready.push_back(index);
        }
    }

    /// When there is something to accept; None while no listener has told of a connection.
    pub(super) fn next(&self) -> Option<u64> {
        (!self.ready.is_empty()).then_some(self.not_before)
    }

    /// Accepts one connection, if there is one and its time has come.
    pub(super) fn accept(&mut self, clock: &Clock) -> Option<Socket> {
        while let Some(index) = self.ready.front().copied() {
            if self.not_before > 0 && clock.nanos() < self.not_before {
                return None;
            }
            match self.listeners[index].accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
                Ok((socket, _)) => {
                    if self.delay > 0 {
                        self.not_before = clock.nanos() + self.delay;
                        self.ready.rotate_left(1);
                    }
                    return Some(socket);
                }
                Err(error) => match stream::errno(&error) {
                    Errno::EAGAIN => {
                        self.is_ready[index] = false;
                        self.ready.pop_front();
                    }
                    Errno::EINTR => {}
                    errno => self.fail(errno, clock),
                },
            }
        }
        None
    }

    /// Counts a failed accept() and, unless it was that connection's own fault, pauses.
    fn fail(&mut self, errno: Errno, clock: &Clock) {
        match self.failed.iter_mut().find(|(known, _)| *known == errno) {
            Some((_, count)) => *count += 1,
            None => self.failed.push((errno, 1)),
        }
        if errno != Errno::ECONNABORTED {
            self.not_before = clock.nanos() + BACK_OFF.max(self.delay);
        }
    }

    pub(super) fn failed_by_name(&self) -> BTreeMap<String, u64> {
        self.failed
            .iter()
            .map(|(errno, count)| (errno::name(*errno as i32), *count))
            .collect()
    }
}
