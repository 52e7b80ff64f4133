//! What the observing threads share: the tally, notes, costs, and the way to have an attempt followed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::SigSet;
use nix::time::{ClockId, clock_gettime};

use super::diag::tuple;
use super::process::{Address, Look, Processes, state};
use super::tally::{After, Call, Tally, goes_on};
use crate::record::schema::{Connects, ConnectsCost};
use crate::tcp::FourTuple;

/// An attempt that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connecting {
    pub(super) tuple: FourTuple,
    pub(super) cookie: u64,
    pub(super) since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Watched {
    tally: Mutex<Tally>,
    notes: Mutex<BTreeSet<String>>,
    stops: AtomicU64,
    stopped_nanos: AtomicU64,
    cpu_nanos: AtomicU64,
}

impl Watched {
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sentence for the record, once.
    pub(super) fn note(&self, sentence: String) {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(sentence);
    }

    /// The program stood still so long, beyond its call.
    pub(super) fn stopped(&self, stops: u64, nanos: u64) {
        self.stops.fetch_add(stops, Ordering::Relaxed);
        self.stopped_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Does an observing thread's work, undisturbed by signals that are for the process, and counts its CPU time.
    pub(super) fn thread<T>(&self, work: impl FnOnce() -> T) -> T {
        // It fails for no set of signals.
        let _ = SigSet::all().thread_block();
        let result = work();
        if let Ok(time) = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID) {
            self.cpu_nanos.fetch_add(nanos(Duration::from(time)), Ordering::Relaxed);
        }
        result
    }

    pub(super) fn summary(&self, way: Option<&str>) -> Connects {
        Connects {
            way: way.map(str::to_owned),
            notes: self
                .notes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .cloned()
                .collect(),
            cost: ConnectsCost {
                stops: self.stops.load(Ordering::Relaxed),
                stopped_seconds: self.stopped_nanos.load(Ordering::Relaxed) as f64 / 1e9,
                cpu_seconds: self.cpu_nanos.load(Ordering::Relaxed) as f64 / 1e9,
            },
            ..self.tally().summary()
        }
    }
}

/// A call that a program is about to make on a TCP socket.
#[derive(Debug)]
pub(super) struct About {
    pub(super) socket: OwnedFd,
    pub(super) address: Address,
    pub(super) to: SocketAddr,
    pub(super) look: Look,
    pub(super) call: Call,
}

/// One observing thread's means.
#[derive(Debug)]
pub(super) struct Observer<'a> {
    pub(super) watched: &'a Watched,
    pub(super) follow: Sender<Connecting>,
    pub(super) processes: Processes,
}

impl Observer<'_> {
    /// Looks at a call of `thread` before it is made; None where it is no TCP connection's, or cannot be looked at.
    pub(super) fn about(&mut self, thread: i32, descriptor: RawFd, at: u64, length: u64) -> Option<About> {
        let address = Address::read(thread, at, length);
        let Some((address, to)) = address.and_then(|address| Some((address, address.destination()?))) else {
            self.watched.tally().other();
            return None;
        };
        let socket = match self.processes.descriptor(thread, descriptor) {
            Ok(socket) => socket,
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
                self.watched.tally().other();
                return None;
            }
            Err(error) => {
                self.watched.tally().unseen();
                self.watched
                    .note(format!("a program's socket could not be looked at: {error}"));
                return None;
            }
        };
        let Some(look) = Look::at(socket.as_fd()) else {
            self.watched.tally().other();
            return None;
        };
        let call = self.watched.tally().call(look.cookie, look.state);
        Some(About {
            socket,
            address,
            to,
            look,
            call,
        })
    }

    /// The answer of an attempt that took so long, with the socket to look at where it is not for good.
    pub(super) fn attempted(&self, cookie: u64, to: SocketAddr, answer: i32, took: Duration, socket: Option<&OwnedFd>) {
        let unfinished = socket.filter(|_| goes_on(answer));
        let tuple = unfinished.and_then(|socket| tuple(socket, to));
        let after = unfinished.and_then(|socket| state(socket.as_fd()));
        let after = after.filter(|_| tuple.is_some()).map_or(After::Unseen, After::State);
        let under_way = self.watched.tally().attempted(cookie, to, answer, nanos(took), after);
        if let (true, Some(tuple)) = (under_way, tuple) {
            // A follower that has ended has told why.
            let _ = self.follow.send(Connecting {
                tuple,
                cookie,
                since: Instant::now(),
            });
        }
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
