//! Where the steps are done: the lab's two sides, the sockets by name, the eyes and the tap.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

use super::SequenceError;
use super::segment::Segment;
use super::tap::Tap;
use crate::lab::{Lab, Side};
use crate::observe::Eyes;
use crate::observe::counters::Snapshot;
use crate::record::schema::SegmentSeen;
use crate::scenario::step::{End, SideName};
use crate::tcp::{FourTuple, Loss};

/// How soon a state or a counter that is awaited is looked at again: a hundredth of the time that it has been awaited for,
/// within these bounds. A wait of a minute then costs hundreds of looks and not tens of thousands.
const LOOKS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];
const LOOKS_A_WAIT: u32 = 100;
/// How long poll(2) may sleep before the user's wish to stop is looked at.
const NAP: Duration = Duration::from_millis(100);

/// The counters of the client's and the server's namespace.
pub(super) type Snapshots = [Snapshot; 2];

/// A connection that a step has begun.
#[derive(Debug)]
pub(super) struct Connection {
    /// As the client's side has it.
    pub(super) client: FourTuple,
    /// As the server's side has it; a router between may have changed the client's address.
    pub(super) server: FourTuple,
    /// Each end's socket, till it is closed.
    pub(super) sockets: [Option<Socket>; 2],
    /// How many segments had been seen when the connection was begun: the ones before are of other incarnations.
    pub(super) since: usize,
    /// When connect() was called.
    pub(super) begun: Instant,
}

impl Connection {
    /// As the end itself has it.
    pub(super) fn tuple(&self, end: &End) -> FourTuple {
        if end.server { self.server } else { self.client }
    }

    /// What the end sends, as the server's side sees it, where the tap is.
    pub(super) fn on_the_tap(&self, end: &End) -> FourTuple {
        if end.server {
            self.server
        } else {
            self.server.reversed()
        }
    }
}

pub(super) struct Stage<'a> {
    pub(super) lab: &'a Lab,
    stop: &'a AtomicBool,
    eyes: [Eyes; 2],
    tap: Tap,
    pub(super) listeners: BTreeMap<String, Socket>,
    pub(super) connections: BTreeMap<String, Connection>,
    marks: BTreeMap<String, Snapshots>,
    /// What each end or listener loses, and how many segments had been seen when that began.
    pub(super) losses: BTreeMap<String, (Loss, usize)>,
    start: Snapshots,
    /// connect() calls that the kernel began to carry out.
    pub(super) opens: i64,
    /// How many segments had been seen when the last one was injected or replayed.
    pub(super) answers_since: usize,
    step: usize,
    at: String,
}

impl<'a> Stage<'a> {
    pub(super) fn set(lab: &'a Lab, stop: &'a AtomicBool) -> Result<Self, SequenceError> {
        let mut eyes = [lab.client.run(Eyes::open)??, lab.server.run(Eyes::open)??];
        let start = snapshots(&mut eyes)?;
        let shared = lab.shares_namespace();
        let tap = lab
            .server
            .run(move || Tap::open(shared))?
            .map_err(|source| SequenceError::Call {
                at: "the tap".to_owned(),
                call: "socket(AF_PACKET)",
                source,
            })?;
        Ok(Self {
            lab,
            stop,
            eyes,
            tap,
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            marks: BTreeMap::new(),
            losses: BTreeMap::new(),
            start,
            opens: 0,
            answers_since: 0,
            step: 0,
            at: String::new(),
        })
    }

    /// A step begins; what has been captured till then is of the steps before.
    pub(super) fn begin(&mut self, number: usize, at: &str) -> Result<(), SequenceError> {
        self.drain_tap()?;
        self.step = number;
        at.clone_into(&mut self.at);
        Ok(())
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn side(&self, side: SideName) -> &'a Side {
        match side {
            SideName::Client => &self.lab.client,
            SideName::Server => &self.lab.server,
        }
    }

    /// A call that no step asked about has failed.
    pub(super) fn failed(&self, call: &'static str) -> impl Fn(io::Error) -> SequenceError + use<> {
        let at = self.at.clone();
        move |source| SequenceError::Call {
            at: at.clone(),
            call,
            source,
        }
    }

    pub(super) fn connection(&self, name: &str) -> Option<&Connection> {
        self.connections.get(name)
    }

    /// The end's socket, while it is open.
    pub(super) fn socket(&self, end: &End) -> Option<&Socket> {
        self.connections.get(&end.connection)?.sockets[usize::from(end.server)].as_ref()
    }

    /// Asks again and again until there is an answer; None when the time is over or the user wants to stop.
    pub(super) fn until<T>(
        &mut self,
        within: Duration,
        mut ask: impl FnMut(&mut Self) -> Result<Option<T>, SequenceError>,
    ) -> Result<Option<T>, SequenceError> {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask(self)? {
                return Ok(Some(answer));
            }
            let waited = begun.elapsed();
            if waited >= within || self.stopped() {
                return Ok(None);
            }
            std::thread::sleep((waited / LOOKS_A_WAIT).clamp(LOOKS[0], LOOKS[1]));
        }
    }

    /// Waits until a socket is ready; false when the time is over or the user wants to stop.
    pub(super) fn ready(&self, socket: &Socket, events: PollFlags, given_up: Instant) -> Result<bool, SequenceError> {
        loop {
            let left = given_up.saturating_duration_since(Instant::now());
            let nap = PollTimeout::try_from(left.min(NAP).as_millis().max(1)).unwrap_or(PollTimeout::ZERO);
            let mut descriptors = [PollFd::new(socket.as_fd(), events)];
            match poll(&mut descriptors, nap) {
                Ok(0) if left.is_zero() || self.stopped() => return Ok(false),
                Ok(0) | Err(nix::Error::EINTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(self.failed("poll")(errno.into())),
            }
        }
    }

    /// The sockets of a side with the end's four-tuple; there is one at most.
    pub(super) fn look(&mut self, end: &End) -> Result<Option<crate::observe::Socket>, SequenceError> {
        let Some(connection) = self.connections.get(&end.connection) else {
            return Ok(None);
        };
        let tuple = connection.tuple(end);
        let mut found = None;
        self.eyes[usize::from(end.server)].dump(|socket| {
            if socket.tuple == tuple {
                found = Some(socket);
            }
        })?;
        Ok(found)
    }

    pub(super) fn remember(&mut self, moment: &str) -> Result<(), SequenceError> {
        let now = snapshots(&mut self.eyes)?;
        self.marks.insert(moment.to_owned(), now);
        Ok(())
    }

    /// What the counters have grown by since a mark or the beginning.
    pub(super) fn counted_since(&mut self, moment: Option<&str>) -> Result<[BTreeMap<String, i64>; 2], SequenceError> {
        let now = snapshots(&mut self.eyes)?;
        let before = moment.and_then(|moment| self.marks.get(moment)).unwrap_or(&self.start);
        Ok(super::deltas(before, &now))
    }

    pub(super) fn drain_tap(&mut self) -> Result<(), SequenceError> {
        let step = self.step;
        let failed = self.failed("recvfrom(AF_PACKET)");
        self.tap.drain(step).map_err(failed)
    }

    /// Every segment seen so far.
    pub(super) fn seen(&self) -> &[Segment] {
        self.tap.seen()
    }

    pub(super) fn segments(&self) -> Vec<SegmentSeen> {
        self.tap.told()
    }
}

fn snapshots(eyes: &mut [Eyes; 2]) -> Result<Snapshots, SequenceError> {
    let [client, server] = eyes;
    Ok([client.counters()?, server.counters()?])
}

/// An address without flow and scope, as sock_diag's are told.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
