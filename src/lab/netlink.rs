//! rtnetlink requests and their acknowledgements, over one synchronous socket (rtnetlink(7), netlink(7)).
//!
//! A socket belongs to the network namespace of the thread that opened it. Knows messages; not what they are for.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_ALIGNTO};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc::ENETUNREACH;

use crate::tcp::errno;

/// Requests sent at once: their acknowledgements must fit the socket's receive buffer (208 KiB by default, of which
/// each takes up to 1 KiB), and 4,096 addresses still take 64 round trips only.
const BATCH: usize = 64;

#[derive(Debug, thiserror::Error)]
pub(super) enum NetlinkError {
    #[error("the kernel refused to {what}: {}", errno::name(*.errno))]
    Refused { what: String, errno: i32 },
    #[error("rtnetlink failed: {0}")]
    Io(#[from] io::Error),
    #[error("waited {} s for {what}", after.as_secs())]
    Late { what: String, after: Duration },
    #[error("rtnetlink answered with what cannot be read: {0}")]
    Answer(String),
}

/// One change, and in words what it is to do (`add 10.1.0.1 to client`).
pub(super) struct Request {
    pub(super) what: String,
    pub(super) message: RouteNetlinkMessage,
}

impl Request {
    /// Creates what must not be there yet where the message is a NEW one, and changes what is there where it is a SET.
    fn flags(&self) -> u16 {
        let create = match self.message {
            RouteNetlinkMessage::SetLink(_) => 0,
            _ => NLM_F_CREATE | NLM_F_EXCL,
        };
        NLM_F_REQUEST | NLM_F_ACK | create
    }
}

pub(super) struct RouteSocket {
    socket: Socket,
    sequence: u32,
}

impl RouteSocket {
    pub(super) fn open() -> Result<Self, NetlinkError> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes every change in turn; returns when the kernel has acknowledged all of them, or the first that it refused.
    pub(super) fn change(&mut self, requests: &[Request]) -> Result<(), NetlinkError> {
        for batch in requests.chunks(BATCH) {
            let first = self.sequence + 1;
            let mut bytes = Vec::new();
            for request in batch {
                self.append(&mut bytes, request.message.clone(), request.flags());
            }
            self.socket.send(&bytes, 0)?;
            let mut refused = None;
            let mut awaited = batch.len();
            while awaited > 0 {
                for answer in self.receive()? {
                    let NetlinkPayload::Error(acknowledgement) = &answer.payload else {
                        continue;
                    };
                    awaited -= 1;
                    let request = batch.get(answer.header.sequence_number.wrapping_sub(first) as usize);
                    if let (Some(code), Some(request)) = (acknowledgement.code, request) {
                        refused.get_or_insert_with(|| refusal(&request.what, code.get()));
                    }
                }
            }
            refused.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// The link called `name`.
    pub(super) fn link(&mut self, name: &str) -> Result<LinkMessage, NetlinkError> {
        let mut question = LinkMessage::default();
        question.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.ask(&format!("find link {name}"), RouteNetlinkMessage::GetLink(question))? {
            RouteNetlinkMessage::NewLink(link) => Ok(link),
            other => Err(NetlinkError::Answer(format!("{other:?}"))),
        }
    }

    /// Whether packets to `address` are taken in here: whether its route is a local one.
    pub(super) fn is_local(&mut self, address: IpAddr) -> Result<bool, NetlinkError> {
        let mut question = RouteMessage::default();
        (
            question.header.address_family,
            question.header.destination_prefix_length,
        ) = family_and_length(address);
        // The table's entry is all that is asked: working out a source as well takes IPv6 a search through every address.
        question.header.flags = RouteFlags::FibMatch;
        question.attributes.push(RouteAttribute::Destination(address.into()));
        match self.ask(
            &format!("find the route to {address}"),
            RouteNetlinkMessage::GetRoute(question),
        ) {
            Ok(RouteNetlinkMessage::NewRoute(route)) => Ok(route.header.kind == RouteType::Local),
            Ok(other) => Err(NetlinkError::Answer(format!("{other:?}"))),
            Err(NetlinkError::Refused { errno: ENETUNREACH, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a question that has one answer.
    fn ask(&mut self, what: &str, question: RouteNetlinkMessage) -> Result<RouteNetlinkMessage, NetlinkError> {
        let mut bytes = Vec::new();
        self.append(&mut bytes, question, NLM_F_REQUEST);
        self.socket.send(&bytes, 0)?;
        match self.receive()?.into_iter().next().map(|answer| answer.payload) {
            Some(NetlinkPayload::InnerMessage(answer)) => Ok(answer),
            Some(NetlinkPayload::Error(error)) => Err(refusal(what, error.raw_code())),
            other => Err(NetlinkError::Answer(format!("{other:?}"))),
        }
    }

    fn append(&mut self, bytes: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
        self.sequence += 1;
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + aligned(message.buffer_len()), 0);
        message.serialize(&mut bytes[start..]);
    }

    /// The messages of the next datagram.
    fn receive(&self) -> Result<Vec<NetlinkMessage<RouteNetlinkMessage>>, NetlinkError> {
        let (bytes, _) = self.socket.recv_from_full()?;
        let mut rest = bytes.as_slice();
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| NetlinkError::Answer(error.to_string()))?;
            let length = aligned(message.header.length as usize).min(rest.len());
            rest = &rest[length..];
            messages.push(message);
        }
        Ok(messages)
    }
}

/// How netlink names an address: its family, and the length of the prefix that is the whole of it.
pub(super) fn family_and_length(address: IpAddr) -> (AddressFamily, u8) {
    match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    }
}

fn refusal(what: &str, code: i32) -> NetlinkError {
    NetlinkError::Refused {
        what: what.to_owned(),
        errno: code.abs(),
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(NLMSG_ALIGNTO as usize)
}
