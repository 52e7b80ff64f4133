//! One attempt's steps from the established handshake to the end, and the system call of each.
//!
//! A step tries at once and says what came of it; who waits for what, and for how long, is the loop's business.

use std::os::fd::AsFd;

use nix::errno::Errno;
use socket2::{SockAddr, Socket};

use crate::load::conversation::{Conversation, Conversations, Need};
use crate::load::measured::{Attempt, Ending};
use crate::load::pairs::Pair;
use crate::load::poller::Interest;
use crate::load::source::{Sources, cause, local_port};
use crate::load::stream::{self, Transfer, errno};
use crate::load::{Clock, Exchange, Failure, Measured, PIECE, Then, Work};
use crate::protocol::MAX_MESSAGE;
use crate::record::tally::{Cause, Phase};
use crate::tcp::options::disconnect;
use crate::tcp::{CloseMode, Closer};

/// A disconnected socket, and what the poller watches it for.
pub(super) type Spare = (Socket, Option<Interest>);

/// What all connections of one loop share.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) work: &'a Work,
    pub(super) clock: &'a Clock,
    pub(super) measured: Measured,
    exchange: Exchange,
    sources: Sources<'a>,
    destinations: Vec<SockAddr>,
    request: Vec<u8>,
    /// What is received, by whichever connection.
    pub(super) buffer: Vec<u8>,
    /// Where what is said has to be understood.
    pub(super) conversations: Option<Conversations>,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) attempt: Attempt,
    pub(super) state: State,
    /// What the poller was last told to watch for.
    pub(super) watched: Option<Interest>,
    /// What is said, once established and where it has to be understood.
    pub(super) conversation: Option<Box<Conversation>>,
    destination: usize,
    pub(super) requests_left: u32,
    bytes_left: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    /// A protocol is spoken, and waits for something.
    Conversing(Need),
    Sending,
    Receiving,
    /// Held open until its time is over.
    Held,
    /// We are to close, or to say quit, now.
    Closing,
    /// The protocol's quit is said, and waits for something.
    Quitting(Need),
    /// We have sent our FIN with shutdown() and wait for the peer's.
    Draining,
    /// The server is to close first.
    AwaitingClose,
    /// Both ends are done; only close() is left.
    Ended,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next one can be tried.
    Next,
    /// It must wait for what its state waits for.
    Wait,
    /// Only close() is left.
    Close,
}

impl State {
    /// The phase to which a failure in this state counts.
    pub(super) fn phase(self) -> Phase {
        match self {
            Self::Connecting => Phase::Connect,
            Self::Sending | Self::Conversing(Need::Output) | Self::Quitting(Need::Output) => Phase::Send,
            Self::Receiving
            | Self::Conversing(Need::Input)
            | Self::Quitting(Need::Input)
            | Self::Draining
            | Self::AwaitingClose => Phase::Recv,
            Self::Held | Self::Closing | Self::Ended => Phase::Close,
        }
    }
}

impl<'a> Client<'a> {
    pub(super) fn new(work: &'a Work, clock: &'a Clock, measured: Measured) -> Self {
        let exchange = Exchange::new(&work.load, work.protocol);
        let conversations = Conversations::of(work);
        let piece = if conversations.is_some() {
            MAX_MESSAGE
        } else {
            PIECE as usize
        };
        Self {
            work,
            clock,
            measured,
            exchange,
            sources: Sources::new(work),
            destinations: work.destinations.iter().map(|address| (*address).into()).collect(),
            request: exchange.request(),
            buffer: exchange.buffer(piece),
            conversations,
        }
    }

    /// Begins an attempt that was due at `due` (None: with arrival `max`): up to connect(), and what came of it so far.
    /// Returns the connection, unless the attempt has failed already, and the time when connect() returned.
    /// `port` is the source's, where the harness chooses it; `spare` the slot's disconnected socket.
    pub(super) fn begin(
        &mut self,
        due: Option<u64>,
        pair: Pair,
        port: u16,
        spare: Option<Spare>,
        now: u64,
    ) -> (Option<Connection>, u64) {
        let mut attempt = self.measured.begin(due, pair.number, now);
        let (socket, watched) = match self.open(pair, port, spare) {
            Ok(opened) => opened,
            Err((phase, cause)) => {
                let now = self.clock.nanos();
                self.measured.fail(&mut attempt, phase, cause, now);
                return (None, now);
            }
        };
        let called = self.clock.nanos();
        let result = socket.connect(&self.destinations[pair.destination]);
        let now = self.clock.nanos();
        self.measured.connect_returned(&mut attempt, called, now);
        if let Err(error) = result
            && errno(&error) != Errno::EINPROGRESS
        {
            drop(socket);
            self.measured.fail(&mut attempt, Phase::Connect, cause(&error), now);
            return (None, now);
        }
        let mut connection = Connection {
            socket,
            attempt,
            state: State::Connecting,
            watched,
            conversation: None,
            destination: pair.destination,
            requests_left: self.exchange.requests,
            bytes_left: 0,
        };
        // Asked at once, not after the batch: what the other attempts take is not this one's latency.
        match connection.step(self) {
            Ok(_) => (Some(connection), now),
            Err((phase, cause)) => {
                self.measured.fail(&mut connection.attempt, phase, cause, now);
                (None, now)
            }
        }
    }

    /// socket() and, as the source says, what comes before connect().
    fn open(&self, pair: Pair, port: u16, spare: Option<Spare>) -> Result<Spare, Failure> {
        match spare {
            Some((socket, watched)) => {
                self.sources.bind(&socket, pair, port)?;
                Ok((socket, watched))
            }
            None => Ok((self.sources.open(pair, port)?, None)),
        }
    }
}

impl Connection {
    /// Tries what the state is about.
    pub(super) fn step(&mut self, client: &mut Client<'_>) -> Result<Step, Failure> {
        match self.state {
            State::Connecting => self.connecting(client),
            State::Conversing(_) => self.conversing(client),
            State::Sending => self.sending(client),
            State::Receiving => self.receiving(client),
            State::Held => Ok(Step::Wait),
            State::Closing if client.work.close.mode.says_quit() => Ok(self.quit()),
            State::Closing => self.closing(client),
            State::Quitting(_) => self.quitting(client),
            State::Draining => self.draining(client),
            State::AwaitingClose => self.awaiting_close(client),
            State::Ended => Ok(Step::Close),
        }
    }

    /// A further connect() tells what became of the first: 0 once established, EALREADY before, else why it failed.
    /// On loopback and veth the handshake is over before the first one returns, and no event need be waited for.
    fn connecting(&mut self, client: &mut Client<'_>) -> Result<Step, Failure> {
        if let Err(error) = self.socket.connect(&client.destinations[self.destination]) {
            match errno(&error) {
                Errno::EALREADY | Errno::EINPROGRESS => return Ok(Step::Wait),
                // The server's planned RST has overtaken us. The handshake was over: in SYN_SENT a RST gives
                // ECONNREFUSED (tcp_reset() in net/ipv4/tcp_input.c).
                Errno::ECONNRESET if client.expects_reset() && self.requests_left == 0 => {
                    self.establish(client);
                    return Ok(self.peer_ends(client, Ending::PeerReset));
                }
                _ => return Err((Phase::Connect, cause(&error))),
            }
        }
        self.establish(client);
        self.conversation = client.conversations.as_mut().map(Conversations::begin);
        if self
            .conversation
            .as_ref()
            .is_some_and(|conversation| !conversation.is_ready())
        {
            // The server speaks first.
            self.state = State::Conversing(Need::Input);
            return Ok(Step::Next);
        }
        Ok(self.next_request(client))
    }

    fn establish(&mut self, client: &mut Client<'_>) {
        let now = client.clock.nanos();
        let port = if client.work.tuples {
            local_port(&self.socket)
        } else {
            None
        };
        client.measured.establish(&mut self.attempt, port, now);
    }

    /// The next request, or what follows the last response.
    pub(super) fn next_request(&mut self, client: &mut Client<'_>) -> Step {
        if self.requests_left > 0 {
            self.requests_left -= 1;
            if self.conversation.is_some() {
                return self.ask(client);
            }
            self.bytes_left = client.exchange.request_bytes;
            self.state = State::Sending;
            return Step::Next;
        }
        match client.work.then() {
            Then::Await => self.await_peer(State::AwaitingClose),
            Then::Part => {
                self.state = State::Closing;
                Step::Next
            }
            Then::Hold => {
                self.state = State::Held;
                Step::Wait
            }
        }
    }

    /// A first wait for the peer needs no try: the poller tells of what is there already.
    pub(super) fn await_peer(&mut self, state: State) -> Step {
        self.state = state;
        if self.watched.is_none() { Step::Wait } else { Step::Next }
    }

    fn sending(&mut self, client: &mut Client<'_>) -> Result<Step, Failure> {
        match stream::send(&self.socket, &client.request, &mut self.bytes_left) {
            Ok(Transfer::Done) => {
                self.bytes_left = client.exchange.response_bytes;
                Ok(self.await_peer(State::Receiving))
            }
            Ok(_) => Ok(Step::Wait),
            Err(errno) => Err((Phase::Send, Cause::Errno(errno as i32))),
        }
    }

    fn receiving(&mut self, client: &mut Client<'_>) -> Result<Step, Failure> {
        match stream::receive(&self.socket, &mut client.buffer, &mut self.bytes_left) {
            Ok(Transfer::Done) => Ok(self.next_request(client)),
            Ok(Transfer::Blocked) => Ok(Step::Wait),
            Ok(Transfer::Eof) => Err((Phase::Recv, Cause::UnexpectedEof)),
            Err(errno) => Err((Phase::Recv, Cause::Errno(errno as i32))),
        }
    }

    fn awaiting_close(&mut self, client: &mut Client<'_>) -> Result<Step, Failure> {
        match stream::drain(&self.socket, &mut client.buffer) {
            // The server had enough before the client had.
            Ok(Transfer::Eof) if self.requests_left > 0 => Err((Phase::Recv, Cause::UnexpectedEof)),
            Ok(Transfer::Eof) => Ok(self.peer_ends(client, Ending::PeerClosedFirst)),
            Ok(_) => Ok(Step::Wait),
            Err(Errno::ECONNRESET) if client.expects_reset() => Ok(self.peer_ends(client, Ending::PeerReset)),
            Err(errno) => Err((Phase::Recv, Cause::Errno(errno as i32))),
        }
    }

    pub(super) fn peer_ends(&mut self, client: &mut Client<'_>, ending: Ending) -> Step {
        let now = client.time_of_ending();
        client.measured.ending(&mut self.attempt, ending, now);
        self.state = State::Ended;
        Step::Next
    }

    fn closing(&mut self, client: &mut Client<'_>) -> Result<Step, Failure> {
        let close = &client.work.close;
        let failed = |error: std::io::Error| (Phase::Close, cause(&error));
        if !client.reuses_descriptors() {
            stream::set_linger(&self.socket, close).map_err(failed)?;
        }
        let ending = match close.mode {
            CloseMode::Abortive => Ending::Aborted,
            _ => Ending::ClosedFirst,
        };
        let now = client.time_of_ending();
        client.measured.ending(&mut self.attempt, ending, now);
        if close.mode == CloseMode::HalfClose {
            self.socket.shutdown(std::net::Shutdown::Write).map_err(failed)?;
            return Ok(self.await_peer(State::Draining));
        }
        Ok(Step::Close)
    }

    /// connect(AF_UNSPEC): RST, and the descriptor is free for another connect().
    pub(super) fn disconnect(&self) -> Result<(), Errno> {
        disconnect(self.socket.as_fd()).map_err(|error| errno(&error))
    }

    fn draining(&mut self, client: &mut Client<'_>) -> Result<Step, Failure> {
        match stream::drain(&self.socket, &mut client.buffer) {
            Ok(Transfer::Eof) => Ok(Step::Close),
            Ok(_) => Ok(Step::Wait),
            Err(errno) => Err((Phase::Recv, Cause::Errno(errno as i32))),
        }
    }
}

impl Client<'_> {
    /// When one end acts to end a connection: only where four-tuples are followed does anybody ask, and a look at the
    /// clock is a third of a per cent of a connection.
    fn time_of_ending(&self) -> u64 {
        if self.work.tuples { self.clock.nanos() } else { 0 }
    }

    /// Whether an abortive close leaves the socket for the next connection.
    pub(super) fn reuses_descriptors(&self) -> bool {
        self.work.reuses_descriptors()
    }

    /// Whether the plan wants the server to end connections with RST.
    fn expects_reset(&self) -> bool {
        self.work.close.closer == Closer::Server && self.work.close.mode == CloseMode::Abortive
    }
}
