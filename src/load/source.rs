//! Sockets for new connections: opened, and bound as the plan says where the source's address and port come from.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use socket2::{Domain, SockAddr, Socket};

use super::pairs::Pair;
use super::stream::{self, errno};
use super::{Failure, Work};
use crate::record::tally::{Cause, Phase};
use crate::scenario::spec::Source;
use crate::tcp::options::{has_local_port_range, set_bind_address_no_port, set_local_port_range};

#[derive(Debug)]
pub(super) struct Sources<'a> {
    work: &'a Work,
    addresses: Vec<SockAddr>,
    /// Whether source `owned` can leave connect() one port; else bind() has to take it.
    owns_by_range: bool,
}

impl<'a> Sources<'a> {
    pub(super) fn new(work: &'a Work) -> Self {
        let address = |address: &std::net::IpAddr| SocketAddr::new(*address, 0).into();
        Self {
            work,
            addresses: work.sources.iter().map(address).collect(),
            owns_by_range: work.client.source == Source::Owned && has_local_port_range(),
        }
    }

    /// socket() and what comes before connect(). `port` is the source's, where the harness chooses it.
    pub(super) fn open(&self, pair: Pair, port: u16) -> Result<Socket, Failure> {
        let domain = Domain::for_address(self.work.destinations[pair.destination]);
        let socket = stream::open(domain).map_err(|error| (Phase::Socket, cause(&error)))?;
        self.bind(&socket, pair, port)?;
        Ok(socket)
    }

    /// What comes before connect() on a socket that is there.
    pub(super) fn bind(&self, socket: &Socket, pair: Pair, port: u16) -> Result<(), Failure> {
        self.try_bind(socket, pair.source, port)
            .map_err(|error| (Phase::Bind, cause(&error)))
    }

    fn try_bind(&self, socket: &Socket, source: usize, port: u16) -> std::io::Result<()> {
        let bind = || socket.bind(&self.addresses[source]);
        let bind_no_port = || set_bind_address_no_port(socket.as_fd()).and_then(|()| bind());
        let bind_port = || socket.bind(&SocketAddr::new(self.work.sources[source], port).into());
        match self.work.client.source {
            Source::Ephemeral => Ok(()),
            Source::Owned if !self.owns_by_range => bind_port(),
            Source::BindPort => socket.set_reuse_address(true).and_then(|()| bind_port()),
            Source::BindAddress => bind(),
            Source::BindAddressNoPort => bind_no_port(),
            Source::PortRange => {
                if let Some((low, high)) = self.work.client.port_range {
                    set_local_port_range(socket.as_fd(), low, high)?;
                }
                if self.addresses.len() > 1 {
                    bind_no_port()
                } else {
                    Ok(())
                }
            }
            Source::Owned => {
                set_local_port_range(socket.as_fd(), port, port)?;
                if self.addresses.len() > 1 {
                    bind_no_port()
                } else {
                    Ok(())
                }
            }
        }
    }
}

/// What a socket2 call failed for.
pub(super) fn cause(error: &std::io::Error) -> Cause {
    Cause::Errno(errno(error) as i32)
}

/// The local port of a connected socket.
pub(super) fn local_port(socket: &Socket) -> Option<u16> {
    socket.local_addr().ok()?.as_socket().map(|address| address.port())
}
