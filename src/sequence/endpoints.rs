//! Steps that make sockets: listen, connect, accept.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::PollFlags;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::SequenceError;
use super::finding::{Came, Finding};
use super::stage::{Connection, Stage, plain};
use crate::lab::{Side, Unavailable};
use crate::scenario::port_range;
use crate::scenario::step::{Accept, Connect, Listen, Outcome, SideName, StopListening};
use crate::tcp::{FourTuple, options};

/// What connect() fails with before it sends anything, so that the kernel counts no open.
const NOT_BEGUN: [i32; 5] = [
    libc::EADDRNOTAVAIL,
    libc::EADDRINUSE,
    libc::ENETUNREACH,
    libc::EHOSTUNREACH,
    libc::EINVAL,
];

impl Stage<'_> {
    pub(super) fn listen(&mut self, step: &Listen) -> Result<Finding, SequenceError> {
        let address = self.server_address(step.address, step.port);
        let socket = self.make_socket(SideName::Server, address)?;
        let backlog = i32::try_from(step.backlog).unwrap_or(i32::MAX);
        // bind() looks at the namespace of the socket, not of the caller.
        let listening = socket
            .set_reuse_address(step.reuse_address)
            .and_then(|()| socket.bind(&address.into()))
            .and_then(|()| socket.listen(backlog));
        let came = Came::of(&listening);
        if came == Came::Ok {
            self.listeners.insert(step.listener.clone(), socket);
        }
        Ok(Finding::outcome(step.expect, came))
    }

    pub(super) fn stop_listening(&mut self, step: &StopListening) -> Finding {
        match self.listeners.remove(&step.listener) {
            Some(_) => Finding::done(),
            None => Finding::impossible(format!("`{}` does not listen", step.listener)),
        }
    }

    pub(super) fn connect(&mut self, step: &Connect) -> Result<Finding, SequenceError> {
        let begun = Instant::now();
        match self.begin_connect(step)? {
            Came::Ok => self.await_connect(
                &step.connection,
                step.expect,
                step.within.0.saturating_sub(begun.elapsed()),
            ),
            failed => Ok(Finding::outcome(step.expect, failed)),
        }
    }

    pub(super) fn start_connect(&mut self, step: &Connect) -> Result<Finding, SequenceError> {
        let came = self.begin_connect(step)?;
        Ok(Finding::outcome(step.expect, came))
    }

    /// The handshake's end, by the socket's own word.
    pub(super) fn await_connect(
        &mut self,
        connection: &str,
        expect: Outcome,
        within: Duration,
    ) -> Result<Finding, SequenceError> {
        let Some(socket) = self.connections.get(connection).and_then(|it| it.sockets[0].as_ref()) else {
            return Ok(Finding::impossible(format!("`{connection}.client` is closed")));
        };
        if !self.ready(socket, PollFlags::POLLOUT, Instant::now() + within)? {
            return Ok(Finding::outcome(expect, Came::Nothing(within)));
        }
        let error = socket.take_error().map_err(self.failed("getsockopt(SO_ERROR)"))?;
        let came = Came::of(&error.map_or(Ok(()), Err));
        let finding = Finding::outcome(expect, came);
        Ok(match self.connections.get(connection) {
            Some(it) => finding
                .with("port", it.client.local.port())
                .with("connect_seconds", it.begun.elapsed().as_secs_f64()),
            None => finding,
        })
    }

    /// connect() without waiting: `Ok` when the handshake has begun or is over already.
    fn begin_connect(&mut self, step: &Connect) -> Result<Came, SequenceError> {
        let remote = self.server_address(step.address, step.port);
        let socket = self.make_socket(SideName::Client, remote)?;
        restrict(&socket, step)?;
        let begun = Instant::now();
        let result = self
            .bind(&socket, step)
            .and_then(|()| match socket.connect(&remote.into()) {
                Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
                other => other,
            });
        let came = Came::of(&result);
        if !matches!(came, Came::Errno(errno) if NOT_BEGUN.contains(&errno)) {
            self.opens += 1;
        }
        let bound = socket.local_addr().ok().as_ref().and_then(SockAddr::as_socket);
        let Some(local) = bound.map(plain).filter(|_| came == Came::Ok) else {
            return Ok(came);
        };
        let client = FourTuple { local, remote };
        let since = self.seen().len();
        let connection = Connection {
            client,
            server: client.reversed(),
            sockets: [Some(socket), None],
            since,
            begun,
        };
        self.connections.insert(step.connection.clone(), connection);
        Ok(came)
    }

    fn bind(&self, socket: &Socket, step: &Connect) -> io::Result<()> {
        socket.set_reuse_address(step.reuse_address)?;
        if step.from_port == 0 && step.from_address == 0 {
            return Ok(());
        }
        if step.from_port == 0 {
            options::set_bind_address_no_port(socket.as_fd())?;
        }
        let address = nth(self.side(SideName::Client), step.from_address.max(1), step.from_port);
        socket.bind(&address.into())
    }

    pub(super) fn accept(&mut self, step: &Accept) -> Result<Finding, SequenceError> {
        let Some(listener) = self.listeners.get(&step.listener) else {
            return Ok(Finding::impossible(format!("`{}` does not listen", step.listener)));
        };
        if !self.ready(listener, PollFlags::POLLIN, Instant::now() + step.within.0)? {
            return Ok(Finding::outcome(Outcome::Ok, Came::Nothing(step.within.0)));
        }
        let (socket, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => return Ok(Finding::outcome(Outcome::Ok, Came::of(&Err(error)))),
        };
        socket.set_nonblocking(true).map_err(self.failed("fcntl"))?;
        let Some(remote) = peer.as_socket().map(plain) else {
            return Ok(Finding::impossible("the peer has no address"));
        };
        let translated = self.lab.translates();
        let Some(connection) = self.connections.get_mut(&step.connection) else {
            return Ok(Finding::impossible(format!("`{}` is not connected", step.connection)));
        };
        if !translated && remote != connection.client.local {
            let came = format!("the next to be accepted is from {remote}");
            return Ok(Finding::new(
                format!("the one from {}", connection.client.local),
                came,
                false,
            ));
        }
        connection.server.remote = remote;
        connection.sockets[1] = Some(socket);
        Ok(Finding::outcome(Outcome::Ok, Came::Ok).with("from", remote.to_string()))
    }

    fn server_address(&self, number: u32, port: u16) -> SocketAddr {
        nth(self.side(SideName::Server), number, port)
    }

    /// A socket on the side where it belongs, that does not block.
    fn make_socket(&self, side: SideName, address: SocketAddr) -> Result<Socket, SequenceError> {
        let make = || {
            Socket::new(
                Domain::for_address(address),
                Type::STREAM.nonblocking(),
                Some(Protocol::TCP),
            )
        };
        self.side(side).run(make)?.map_err(self.failed("socket"))
    }
}

/// Gives the socket the window of ports that the step asks for.
fn restrict(socket: &Socket, step: &Connect) -> Result<(), Unavailable> {
    let Some((low, high)) = step.port_range.as_deref().and_then(|text| port_range::parse(text).ok()) else {
        return Ok(());
    };
    options::set_local_port_range(socket.as_fd(), low, high).map_err(|error| Unavailable {
        reason: format!("this kernel does not take the socket option IP_LOCAL_PORT_RANGE: {error}"),
        remedy: "use Linux 6.3 or later for scenarios that set it".to_owned(),
    })
}

/// A side's address number `number`, from 1; the plan was checked to ask for no other.
fn nth(side: &Side, number: u32, port: u16) -> SocketAddr {
    let addresses = side.addresses();
    let index = (number as usize).saturating_sub(1).min(addresses.len() - 1);
    SocketAddr::new(addresses[index], port)
}
