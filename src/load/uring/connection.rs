//! What a connection does next, as chains of steps: pure, without a system call.

use super::ring::Step;
use crate::load::measured::{Attempt, Ending};
use crate::load::{Exchange, Work};
use crate::record::tally::{Cause, Phase};
use crate::tcp::{CloseMode, Closer};

/// The longest chain: socket, connect, send, recv, set linger, close.
const LONGEST: usize = 6;

/// Steps to be linked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    steps: [Option<Step>; LONGEST],
}

impl Chain {
    pub(super) fn of<const N: usize>(steps: [Step; N]) -> Self {
        steps.into_iter().fold(Self::default(), Self::then)
    }

    pub(super) fn then(mut self, step: Step) -> Self {
        if let Some(place) = self.steps.iter_mut().find(|place| place.is_none()) {
            *place = Some(step);
        }
        self
    }

    pub(super) fn first(&self) -> Option<Step> {
        self.steps[0]
    }

    /// The steps in order, and how many there are.
    pub(super) fn steps(&self) -> ([Step; LONGEST], usize) {
        let count = self.steps.iter().flatten().count();
        (self.steps.map(|step| step.unwrap_or(Step::Close)), count)
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    /// Sends, receives, or closes.
    Exchanging,
    /// A protocol is spoken: what comes has to be understood before the next step is known.
    Speaking,
    /// The protocol's quit is being said.
    Quitting,
    /// All is said, and we are to close.
    Parting,
    /// All is said, and the server is to close.
    Awaiting,
    /// Held open until its time is over; no step is under way.
    Held,
    /// We have sent our FIN with shutdown() and wait for the peer's.
    Draining,
    /// Nothing but close() is left.
    Closing,
    /// It failed; its socket is being closed.
    Failed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) attempt: Attempt,
    pub(super) state: State,
    pub(super) destination: usize,
    pub(super) requests_left: u32,
    /// A transfer that came short, with the bytes that are left; the chain broke there.
    pub(super) short: Option<(Step, u32)>,
    /// Bytes that the chain's [`Step::Say`] is to send.
    pub(super) to_say: u32,
    /// Why we cancel it, once we do.
    pub(super) cancelled: Option<Cause>,
}

impl Connection {
    /// The chain that begins an attempt.
    pub(super) fn begin(&mut self, work: &Work) -> Chain {
        self.proceed(work, Chain::of([Step::Socket, Step::Connect]))
    }

    /// Adds what follows a handshake or a response: the next request, or the end.
    fn proceed(&mut self, work: &Work, chain: Chain) -> Chain {
        if self.requests_left == 0 {
            return self.end(work, chain);
        }
        self.requests_left -= 1;
        let chain = chain.then(Step::Send).then(Step::Recv);
        // Further requests are further chains: no chain could hold a million.
        if self.requests_left == 0 {
            self.end(work, chain)
        } else {
            chain
        }
    }

    fn end(&mut self, work: &Work, chain: Chain) -> Chain {
        match (work.close.closer, work.close.mode) {
            (Closer::Server, _) => chain.then(Step::Drain),
            _ if !work.load.hold.is_zero() => chain,
            (Closer::Client, mode) => closing(mode, chain),
        }
    }

    /// The chain after one that ended as planned with `last`; none where it is over or held.
    pub(super) fn next(&mut self, work: &Work, last: Step) -> Option<Chain> {
        if let Some((step, _)) = self.short {
            let chain = Chain::of([step]);
            let chain = if step == Step::Send {
                chain.then(Step::Recv)
            } else {
                chain
            };
            return Some(if self.requests_left == 0 {
                self.end(work, chain)
            } else {
                chain
            });
        }
        match (self.state, last) {
            (State::Closing, _) => Some(Chain::of([Step::Close])),
            // Something came before the FIN.
            (_, Step::Drain) => Some(Chain::of([Step::Drain])),
            (_, Step::Connect | Step::Recv) if self.requests_left > 0 => Some(self.proceed(work, Chain::default())),
            _ => {
                self.state = State::Held;
                None
            }
        }
    }

    /// The chain that ends a connection whose hold is over.
    pub(super) fn release(&mut self, work: &Work) -> Chain {
        self.state = State::Exchanging;
        closing(work.close.mode, Chain::default())
    }

    /// The phase to which it counts when we cancel what the step does.
    pub(super) fn phase(step: Step) -> Phase {
        match step {
            Step::Socket => Phase::Socket,
            Step::Connect => Phase::Connect,
            Step::Send | Step::Say => Phase::Send,
            Step::Recv | Step::Hear | Step::Drain => Phase::Recv,
            _ => Phase::Close,
        }
    }
}

/// How the client closes first.
pub(super) fn closing(mode: CloseMode, chain: Chain) -> Chain {
    match mode {
        // After a quit that is waited for the server has closed.
        CloseMode::Graceful | CloseMode::QuitWait => chain.then(Step::Close),
        CloseMode::QuitClose => chain.then(Step::ShutdownBoth).then(Step::Close),
        CloseMode::Abortive | CloseMode::Lingering => chain.then(Step::SetLinger).then(Step::Close),
        CloseMode::HalfClose => chain.then(Step::Shutdown).then(Step::Drain),
    }
}

/// Who ended a connection that we closed first.
pub(super) fn our_ending(work: &Work) -> Ending {
    match work.close.mode {
        CloseMode::Abortive => Ending::Aborted,
        CloseMode::QuitClose => Ending::QuitClosed,
        _ => Ending::ClosedFirst,
    }
}

/// The bytes of a message that a transfer has still to move.
pub(super) fn bytes(exchange: &Exchange, step: Step) -> u32 {
    match step {
        Step::Send => exchange.request_bytes,
        _ => exchange.response_bytes,
    }
}
