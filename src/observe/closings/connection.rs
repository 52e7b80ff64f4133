//! One incarnation of a four-tuple: what its SYN, FIN and RST segments tell. Pure.
//!
//! RFC 9293 3.5 (opening), 3.6 (closing), 3.10.7 (what a RST answers). Whether an end had got the other's FIN when it
//! sent its own is told by the number that it acknowledges, not by the order in which the watch saw them.
//! How long it had heard nothing is told by the timestamp that it echoes (RFC 7323, 3.2): no data segment need be looked at.

use super::header::{ACK, FIN, Header, RST, SYN};
use crate::tcp::{Closer, FourTuple};

/// Milliseconds by which a sender's timestamps may differ from the watch's clock: each is cut to whole ones.
const CLOCKS_DIFFER: u64 = 2;

/// How an opening went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// SYN-ACK.
    Established,
    /// RST.
    Refused,
    /// Nothing, as long as the watch lasted.
    Unanswered,
    /// SYN-ACK, which the client's kernel answered with RST: no socket waited for it any more.
    Abandoned,
}

/// Who sent the first FIN or RST of a connection, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstClose {
    Fin(Closer),
    Reset(Closer),
    /// Each sent FIN before it had got the other's.
    Simultaneous,
}

/// The end that should hold TIME_WAIT: the one that closed first with FIN, unless a RST ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Client,
    Server,
    Both,
    Neither,
}

/// What was seen of one incarnation. Times are nanoseconds since the watch's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `local` is the client: the end that sent the SYN.
    pub tuple: FourTuple,
    pub opened_at: u64,
    pub opening: Opening,
    pub established_at: Option<u64>,
    /// None: open at the watch's end, or never established.
    pub first_close: Option<FirstClose>,
    pub first_close_at: Option<u64>,
    /// How long the end that closed first had got nothing from its peer, to the millisecond; None without timestamps.
    pub idle: Option<u64>,
    /// Whether the client had the server's FIN when it sent its own FIN or RST; None where it sent neither.
    pub client_waited: Option<bool>,
    /// The end that sent a RST after a FIN had been sent.
    pub reset_after_fin: Option<Closer>,
    /// When both FINs, or a RST, had been seen.
    pub over_at: Option<u64>,
    pub syn_retransmissions: u32,
    pub syn_ack_retransmissions: u32,
    pub fin_retransmissions: u32,
}

impl Facts {
    /// None while the connection is not over, and where it was never established.
    #[must_use]
    pub fn time_wait(&self) -> Option<Holder> {
        let (first, _) = self.first_close.zip(self.over_at)?;
        Some(match first {
            _ if self.reset_after_fin.is_some() => Holder::Neither,
            FirstClose::Reset(_) => Holder::Neither,
            FirstClose::Simultaneous => Holder::Both,
            FirstClose::Fin(Closer::Client) => Holder::Client,
            FirstClose::Fin(Closer::Server) => Holder::Server,
        })
    }
}

/// What a segment did to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Established,
    /// It was established, and is over.
    Over,
    /// It was never established, and will not be.
    Failed,
    /// Established, but for a client that had given up.
    Abandoned,
    Nothing,
    /// The segment is of no connection that is followed.
    Stray,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Fin {
    at: u64,
    /// The sequence number behind it.
    end: u32,
    /// What it acknowledged when it was first sent.
    acknowledges: u32,
}

#[derive(Clone, Copy, Debug)]
struct Reset {
    by: Closer,
    at: u64,
    /// Whether its sender had the other end's FIN.
    had_fin: bool,
}

/// The state from which [`Facts`] are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// Of the client's SYN: what tells incarnations apart.
    isn: u32,
    opened_at: u64,
    established_at: Option<u64>,
    refused: bool,
    abandoned: bool,
    /// The client's, the server's.
    fins: [Option<Fin>; 2],
    reset: Option<Reset>,
    /// The time and TSval of the client's SYN, of the server's SYN-ACK.
    clocks: [Option<(u64, u32)>; 2],
    /// Of [`Facts::idle`].
    idle: Option<u64>,
    syns: u32,
    syn_acks: u32,
    more_fins: u32,
}

impl Connection {
    /// Begun by this SYN.
    pub(super) fn new(syn: &Header, at: u64) -> Self {
        Self {
            isn: syn.seq,
            opened_at: at,
            established_at: None,
            refused: false,
            abandoned: false,
            fins: [None; 2],
            reset: None,
            clocks: [syn.timestamps.map(|stamps| (at, stamps.value)), None],
            idle: None,
            syns: 1,
            syn_acks: 0,
            more_fins: 0,
        }
    }

    pub(super) fn isn(&self) -> u32 {
        self.isn
    }

    /// Whether it is established and the client has it in use: it has not closed, and nobody has reset it.
    pub(super) fn is_open(&self) -> bool {
        self.established_at.is_some()
            && !self.abandoned
            && self.reset.is_none()
            && self.fins[Closer::Client as usize].is_none()
    }

    /// Whether it cannot change any more but by late segments.
    pub(super) fn is_over(&self) -> bool {
        self.refused || self.abandoned || self.reset.is_some() || self.fins.iter().all(Option::is_some)
    }

    /// The SYN that began it, once more.
    pub(super) fn syn_again(&mut self) {
        self.syns = self.syns.saturating_add(1);
    }

    /// A segment that `by` sent, other than the client's SYN.
    pub(super) fn see(&mut self, segment: &Header, by: Closer, at: u64) -> Change {
        if segment.has(RST) {
            self.see_reset(segment, by, at)
        } else if segment.has(SYN) {
            self.see_syn(segment, by, at)
        } else {
            self.see_fin(segment, by, at)
        }
    }

    /// The server's SYN-ACK, or its SYN where both opened at once (RFC 9293, 3.5, figure 7).
    fn see_syn(&mut self, segment: &Header, by: Closer, at: u64) -> Change {
        let answers = !segment.has(ACK) || segment.ack == self.isn.wrapping_add(1);
        if by == Closer::Client || !answers || self.is_over() {
            return Change::Stray;
        }
        self.syn_acks = self.syn_acks.saturating_add(1);
        if self.established_at.is_some() {
            return Change::Nothing;
        }
        self.established_at = Some(at);
        self.clocks[Closer::Server as usize] = segment.timestamps.map(|stamps| (at, stamps.value));
        Change::Established
    }

    fn see_fin(&mut self, segment: &Header, by: Closer, at: u64) -> Change {
        if !segment.has(FIN) || self.established_at.is_none() || self.abandoned || self.reset.is_some() {
            return Change::Stray;
        }
        if self.fins[by as usize].is_some() {
            self.more_fins = self.more_fins.saturating_add(1);
            return Change::Nothing;
        }
        if self.fins == [None; 2] {
            self.idle = self.idle(segment, by, at);
        }
        self.fins[by as usize] = Some(Fin {
            at,
            end: segment.next_seq(),
            acknowledges: segment.ack,
        });
        if self.is_over() { Change::Over } else { Change::Nothing }
    }

    fn see_reset(&mut self, segment: &Header, by: Closer, at: u64) -> Change {
        let after_syn = self.isn.wrapping_add(1);
        if self.established_at.is_none() {
            // A client that waits for SYN-ACK resets what is left of the four-tuple's last incarnation (RFC 9293, 3.5.1).
            if by == Closer::Client || !segment.has(ACK) || segment.ack != after_syn || self.refused {
                return Change::Stray;
            }
            self.refused = true;
            return Change::Failed;
        }
        if self.reset.is_some() || self.abandoned {
            return Change::Nothing;
        }
        // Where no socket is, a SYN-ACK is answered with a RST that acknowledges nothing (3.10.7.1).
        let answers_syn_ack = by == Closer::Client && !segment.has(ACK) && segment.seq == after_syn;
        if answers_syn_ack && self.fins == [None; 2] {
            self.abandoned = true;
            return Change::Abandoned;
        }
        if self.fins == [None; 2] {
            self.idle = self.idle(segment, by, at);
        }
        let was_over = self.is_over();
        let had_fin =
            self.fins[other(by) as usize].is_some_and(|fin| !segment.has(ACK) || reaches(segment.ack, fin.end));
        self.reset = Some(Reset { by, at, had_fin });
        if was_over { Change::Nothing } else { Change::Over }
    }

    /// How long ago the peer had sent what `by` had got last when it sent this segment, in nanoseconds.
    ///
    /// Linux's timestamps are milliseconds from 4.13 on; where the sender's own clock says otherwise, nothing is told.
    fn idle(&self, segment: &Header, by: Closer, at: u64) -> Option<u64> {
        let stamps = segment.timestamps?;
        let (own_at, own) = self.clocks[by as usize]?;
        let (peer_at, peer) = self.clocks[other(by) as usize]?;
        let passed = milliseconds(at.saturating_sub(own_at));
        let by_own_clock = u64::from(stamps.value.wrapping_sub(own));
        if by_own_clock.abs_diff(passed) > CLOCKS_DIFFER + passed / 64 {
            return None;
        }
        // An echo from before the handshake's is none of this incarnation.
        let heard = u64::try_from(stamps.echo.wrapping_sub(peer).cast_signed()).ok()?;
        let idle = milliseconds(at.saturating_sub(peer_at)).saturating_sub(heard);
        Some(idle * 1_000_000)
    }

    pub(super) fn facts(&self, tuple: FourTuple) -> Facts {
        let opening = match self.established_at {
            _ if self.abandoned => Opening::Abandoned,
            Some(_) => Opening::Established,
            None if self.refused => Opening::Refused,
            None => Opening::Unanswered,
        };
        let (first_close, first_close_at) = self.first_close().unzip();
        let fin = self.fins[Closer::Client as usize];
        let reset_waited = self
            .reset
            .filter(|reset| reset.by == Closer::Client)
            .map(|reset| reset.had_fin);
        let any_fin = self.fins.iter().any(Option::is_some);
        Facts {
            tuple,
            opened_at: self.opened_at,
            opening,
            established_at: self.established_at.filter(|_| !self.abandoned),
            first_close,
            first_close_at,
            idle: self.idle,
            client_waited: fin.map(|fin| self.had_others(fin, Closer::Client)).or(reset_waited),
            reset_after_fin: self.reset.filter(|_| any_fin).map(|reset| reset.by),
            over_at: self.over_at(),
            syn_retransmissions: self.syns - 1,
            syn_ack_retransmissions: self.syn_acks.saturating_sub(1),
            fin_retransmissions: self.more_fins,
        }
    }

    /// Whether `by` had got the other's FIN when it sent its own.
    fn had_others(&self, own: Fin, by: Closer) -> bool {
        self.fins[other(by) as usize].is_some_and(|fin| reaches(own.acknowledges, fin.end))
    }

    fn first_close(&self) -> Option<(FirstClose, u64)> {
        match (self.fins, self.reset) {
            ([None, None], reset) => reset.map(|reset| (FirstClose::Reset(reset.by), reset.at)),
            ([Some(fin), None], _) => Some((FirstClose::Fin(Closer::Client), fin.at)),
            ([None, Some(fin)], _) => Some((FirstClose::Fin(Closer::Server), fin.at)),
            ([Some(client), Some(server)], _) => Some((
                if self.had_others(client, Closer::Client) {
                    FirstClose::Fin(Closer::Server)
                } else if self.had_others(server, Closer::Server) {
                    FirstClose::Fin(Closer::Client)
                } else {
                    FirstClose::Simultaneous
                },
                client.at.min(server.at),
            )),
        }
    }

    fn over_at(&self) -> Option<u64> {
        match (self.fins, self.reset) {
            ([Some(client), Some(server)], _) => Some(client.at.max(server.at)),
            (_, reset) => reset.map(|reset| reset.at),
        }
    }
}

/// The nearest.
fn milliseconds(nanoseconds: u64) -> u64 {
    nanoseconds.saturating_add(500_000) / 1_000_000
}

fn other(end: Closer) -> Closer {
    match end {
        Closer::Client => Closer::Server,
        Closer::Server => Closer::Client,
    }
}

/// Whether `ack` acknowledges all before `end`, in the sequence space's arithmetic (RFC 9293, 3.4).
fn reaches(ack: u32, end: u32) -> bool {
    ack.wrapping_sub(end) < 1 << 31
}
