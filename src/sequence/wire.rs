//! Steps on the wire: lose segments, craft them, send captured ones again, await them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};

use super::SequenceError;
use super::finding::{Came, Finding};
use super::segment::Segment;
use super::stage::{Stage, plain};
use super::tap;
use crate::scenario::step::{AwaitSegment, End, Flag, Inject, Lose, Outcome, Replay, SideName, Undrop, WITHIN};
use crate::tcp::{FourTuple, Loss};

/// What fits one packet of a link of 1500 bytes, headers of IPv6 and timestamps included.
const FITS: usize = 1400;
/// The window that a crafted segment offers.
const WINDOW: u16 = 0xffff;
/// How long a segment may take through a router of the lab.
const PASSES: Duration = Duration::from_secs(1);

impl Stage<'_> {
    pub(super) fn lose(&mut self, step: &Lose) -> Result<Finding, SequenceError> {
        let acknowledging = match step.end.as_ref().filter(|_| step.acknowledging_fin) {
            None => None,
            Some(end) => match self.after_fin(end) {
                None => return Ok(Finding::impossible(format!("no segment of `{end}` was seen"))),
                number => number,
            },
        };
        let Some(socket) = self.filtered(step.end.as_ref(), step.listener.as_deref()) else {
            return Ok(Finding::impossible("it has no socket"));
        };
        let loss = Loss {
            with: Flag::bits(&step.with),
            without: Flag::bits(&step.without),
            acknowledging,
        };
        let attached = socket.attach_filter(&loss.program());
        attached.map_err(self.failed("setsockopt(SO_ATTACH_FILTER)"))?;
        let since = self.seen().len();
        let loser = loser(step.end.as_ref(), step.listener.as_deref());
        self.losses.insert(loser, (loss, since));
        Ok(Finding::done())
    }

    pub(super) fn lose_nothing(&mut self, step: &Undrop) -> Result<Finding, SequenceError> {
        let within = step.within.map_or(WITHIN, |within| within.0);
        let mut lost = 0;
        self.until(within, |stage| {
            stage.drain_tap()?;
            lost = stage.lost(step);
            Ok((lost >= step.after as usize).then_some(()))
        })?;
        let Some(socket) = self.filtered(step.end.as_ref(), step.listener.as_deref()) else {
            return Ok(Finding::impossible("it has no socket"));
        };
        socket
            .detach_filter()
            .map_err(self.failed("setsockopt(SO_DETACH_FILTER)"))?;
        Ok(match step.after {
            0 => Finding::done(),
            after => Finding::new(
                format!("{after} lost or more"),
                format!("{lost} lost"),
                lost >= after as usize,
            ),
        }
        .with("count", lost))
    }

    /// How many segments the step's filter has lost: the tap sees them before it does.
    fn lost(&self, step: &Undrop) -> usize {
        let Some((loss, since)) = self.losses.get(&loser(step.end.as_ref(), step.listener.as_deref())) else {
            return 0;
        };
        let end = step.end.as_ref();
        let sent_to = end.and_then(|end| Some(self.connection(&end.connection)?.on_the_tap(&end.peer())));
        let listens = self
            .filtered(None, step.listener.as_deref())
            .and_then(|socket| socket.local_addr().ok()?.as_socket());
        self.seen()[*since..]
            .iter()
            .filter(|segment| sent_to == Some(segment.tuple) || listens.map(plain) == Some(segment.tuple.remote))
            .filter(|segment| loss.takes(segment.flags, segment.ack))
            .count()
    }

    /// The socket that takes a filter.
    fn filtered(&self, end: Option<&End>, listener: Option<&str>) -> Option<&Socket> {
        match (end, listener) {
            (Some(end), _) => self.socket(end),
            (None, Some(listener)) => self.listeners.get(listener),
            (None, None) => None,
        }
    }

    pub(super) fn inject(&mut self, step: &Inject) -> Result<Finding, SequenceError> {
        let Some(connection) = self.connection(&step.to.connection) else {
            return Ok(Finding::impossible(format!(
                "`{}` is not connected",
                step.to.connection
            )));
        };
        // As the alleged sender has it: a router between changes it as it changes the sender's own.
        let mut tuple = connection.tuple(&step.to.peer());
        if let Some(port) = step.from_port {
            tuple.local.set_port(port);
        }
        let (Some(expected), Some(next)) = (self.expects(&step.to), self.next_of(&step.to)) else {
            return Ok(Finding::impossible(format!("no segment of `{}` was seen", step.to)));
        };
        let timestamps = step.timestamp.map(|offset| {
            let value = self.last_timestamp(&step.to.peer()).unwrap_or(0);
            let echo = self.last_timestamp(&step.to).unwrap_or(0);
            (offset_by(value, offset), echo)
        });
        let flags = Flag::bits(&step.flags);
        let acknowledges = step.flags.contains(&Flag::Ack);
        let segment = Segment {
            tuple,
            flags,
            seq: offset_by(expected, step.seq),
            ack: if acknowledges { offset_by(next, step.ack) } else { 0 },
            window: WINDOW,
            timestamps,
            payload: step.text.clone().into_bytes(),
        };
        let mut seen_as = connection.on_the_tap(&step.to.peer());
        // Which of its own the router gives for another port, nobody knows.
        seen_as.local.set_port(if step.from_port.is_some() {
            0
        } else {
            seen_as.local.port()
        });
        self.put(step.to.side().other(), &segment, seen_as)
    }

    pub(super) fn replay(&mut self, step: &Replay) -> Result<Finding, SequenceError> {
        let segment = match &step.into {
            None => self.first_of(&step.of, &step.with, &step.without).cloned(),
            Some(into) => self.piece_for(&step.of, into),
        };
        match segment {
            Some(segment) => {
                let next = step.into.as_ref().and_then(|into| self.next_of(into));
                let behind = next.map(|next| next.wrapping_sub(segment.ack) as i32);
                let sender = step.into.as_ref().map_or(step.of.clone(), End::peer);
                let Some(tuple) = self.connection(&sender.connection).map(|it| it.tuple(&sender)) else {
                    return Ok(Finding::impossible(format!("`{}` is not connected", sender.connection)));
                };
                let seen_as = segment.tuple;
                let finding = self.put(step.of.side(), &Segment { tuple, ..segment }, seen_as)?;
                Ok(match behind {
                    Some(behind) => finding.with("ack_behind", behind),
                    None => finding,
                })
            }
            None => Ok(Finding::impossible(format!(
                "no such segment of `{}` was captured",
                step.of
            ))),
        }
    }

    pub(super) fn await_segment(&mut self, step: &AwaitSegment) -> Result<Finding, SequenceError> {
        let expected = match (step.with.as_slice(), step.without.as_slice()) {
            ([], []) => "a segment".to_owned(),
            (with, []) => tap::flags(Flag::bits(with)),
            (with, without) => format!(
                "{} without {}",
                tap::flags(Flag::bits(with)),
                tap::flags(Flag::bits(without))
            ),
        };
        let Some(tuple) = self
            .connection(&step.from.connection)
            .map(|it| it.on_the_tap(&step.from))
        else {
            return Ok(Finding::impossible(format!(
                "`{}` is not connected",
                step.from.connection
            )));
        };
        let found = self.until(step.within.0, |stage| {
            stage.drain_tap()?;
            let since = &stage.seen()[stage.answers_since..];
            let from = since.iter().filter(|segment| segment.tuple == tuple);
            Ok(from
                .clone()
                .find(|segment| fits(segment, &step.with, &step.without))
                .cloned())
        })?;
        let finding = match found {
            Some(segment) => Finding::new(expected, tap::flags(segment.flags), true)
                .with("flags", tap::flags(segment.flags))
                .with("seq", segment.seq)
                .with("ack", segment.ack),
            None => {
                let others: Vec<String> = self.seen()[self.answers_since..]
                    .iter()
                    .filter(|segment| segment.tuple == tuple)
                    .map(|segment| tap::flags(segment.flags))
                    .collect();
                let came = match others.as_slice() {
                    [] => Came::Nothing(step.within.0).name(),
                    _ => others.join(", "),
                };
                // The last is what expectations may ask about: it is the answer, only not the one that was awaited.
                let last = others.last().cloned().unwrap_or_default();
                Finding::new(expected, came, false).with("flags", last)
            }
        };
        Ok(finding)
    }

    /// Sends a segment from a raw socket on a side. Nothing of the side's own TCP knows of it. A router that translates must
    /// take it for one of the connection's, and not all are: then it does not come as `seen_as` (port 0: any).
    fn put(&mut self, from: SideName, segment: &Segment, seen_as: FourTuple) -> Result<Finding, SequenceError> {
        let Some(packet) = segment.packet() else {
            return Ok(Finding::impossible("the segment does not fit a packet"));
        };
        self.drain_tap()?;
        let since = self.seen().len();
        let to = segment.tuple.remote;
        let sent = self.side(from).run(|| send_raw(&packet, to))?;
        sent.map_err(self.failed("sendto(raw socket)"))?;
        self.answers_since = since;
        let arrived = !self.lab.translates() || from == SideName::Server || self.arrives(segment, seen_as)?;
        Ok(Finding::outcome(Outcome::Ok, Came::Ok)
            .provided(arrived, || {
                "the router did not pass it on as the connection's: its connection tracking takes it for invalid"
                    .to_owned()
            })
            .with("seq", segment.seq)
            .with("bytes", segment.payload.len()))
    }

    /// Whether a segment of the client comes to the server's side as what it is to be seen as.
    fn arrives(&mut self, segment: &Segment, seen_as: FourTuple) -> Result<bool, SequenceError> {
        let since = self.answers_since;
        let came = self.until(PASSES, |stage| {
            stage.drain_tap()?;
            let it = |seen: &&Segment| {
                let mut tuple = seen.tuple;
                if seen_as.local.port() == 0 {
                    tuple.local.set_port(0);
                }
                tuple == seen_as && (seen.flags, seen.seq) == (segment.flags, segment.seq)
            };
            Ok(stage.seen()[since..].iter().find(it).map(drop))
        })?;
        Ok(came.is_some())
    }

    /// The segments of an end's connection that it sent, last first.
    fn sent_by<'s>(&'s self, end: &End) -> impl Iterator<Item = &'s Segment> + Clone + use<'s> {
        let (tuple, since) = self
            .connection(&end.connection)
            .map_or((None, 0), |it| (Some(it.on_the_tap(end)), it.since));
        self.seen()[since..]
            .iter()
            .rev()
            .filter(move |segment| Some(segment.tuple) == tuple)
    }

    /// The number that an end has acknowledged last: the next that it expects.
    fn expects(&self, end: &End) -> Option<u32> {
        let acknowledges = |segment: &&Segment| segment.has(Flag::Ack) && !segment.has(Flag::Rst);
        self.sent_by(end).find(acknowledges).map(|segment| segment.ack)
    }

    /// The number that an end sends next: the highest it came to, with the numbers' wrap.
    fn next_of(&self, end: &End) -> Option<u32> {
        let own = self.sent_by(end).filter(|segment| !segment.has(Flag::Rst));
        own.map(Segment::next_seq)
            .reduce(|a, b| if (b.wrapping_sub(a) as i32) > 0 { b } else { a })
    }

    /// The number after an end's FIN, sent or still to be sent.
    fn after_fin(&self, end: &End) -> Option<u32> {
        let sent = self.sent_by(end).any(|segment| segment.has(Flag::Fin));
        Some(self.next_of(end)?.wrapping_add(u32::from(!sent)))
    }

    pub(super) fn last_window(&self, end: &End) -> Option<u16> {
        self.sent_by(end).next().map(|segment| segment.window)
    }

    fn last_timestamp(&self, end: &End) -> Option<u32> {
        self.sent_by(end)
            .find_map(|segment| segment.timestamps)
            .map(|(value, _)| value)
    }

    fn first_of(&self, end: &End, with: &[Flag], without: &[Flag]) -> Option<&Segment> {
        self.sent_by(end).filter(|segment| fits(segment, with, without)).last()
    }

    /// The captured segment of `of` that holds the number which `into` expects next, cut to begin there.
    fn piece_for(&self, of: &End, into: &End) -> Option<Segment> {
        let (old, new) = (self.connection(&of.connection)?, self.connection(&into.connection)?);
        if old.on_the_tap(of) != new.on_the_tap(&into.peer()) {
            return None;
        }
        let expected = self.expects(into)?;
        let before = |segment: &Segment| expected.wrapping_sub(segment.seq) as usize;
        let segment = self.seen()[old.since..new.since]
            .iter()
            .find(|segment| segment.tuple == old.on_the_tap(of) && before(segment) < segment.payload.len())?;
        let payload = &segment.payload[before(segment)..];
        Some(Segment {
            seq: expected,
            payload: payload[..payload.len().min(FITS)].to_vec(),
            ..segment.clone()
        })
    }
}

/// By what name a filter is remembered.
fn loser(end: Option<&End>, listener: Option<&str>) -> String {
    end.map_or_else(|| format!("listener {}", listener.unwrap_or_default()), End::to_string)
}

fn fits(segment: &Segment, with: &[Flag], without: &[Flag]) -> bool {
    let (with, without) = (Flag::bits(with), Flag::bits(without));
    segment.flags & with == with && segment.flags & without == 0
}

/// A number moved by an offset, with the numbers' wrap.
fn offset_by(number: u32, offset: i64) -> u32 {
    number.wrapping_add(offset as u32)
}

/// Sends a packet whose IP header is its own (raw(7): IPPROTO_RAW says so) in the calling thread's namespace.
fn send_raw(packet: &[u8], to: SocketAddr) -> io::Result<()> {
    let domain = Domain::for_address(to);
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    // A raw socket has no ports: IPv6 refuses any other.
    let to = SocketAddr::new(to.ip(), 0);
    socket.send_to(packet, &to.into()).map(|_| ())
}
