//! Who closed each connection, and how, seen on the wire: no program is asked, and none is changed.
//!
//! A [`Witness`] is a packet socket in one network namespace, and a thread that reads it. Open it in the *client's*
//! namespace before the first connection, and finish it when the load is over:
//!
//! ```no_run
//! # fn with(lab: &linger::lab::Lab, server: Vec<std::net::SocketAddr>) -> Result<(), Box<dyn std::error::Error>> {
//! use linger::observe::closings::{Destinations, Witness};
//! let origin = std::time::Instant::now();
//! let witness = lab.client.run(|| Witness::open(Destinations::To(server), origin))??;
//! // … the load …
//! let closings = witness.finish();
//! # Ok(()) }
//! ```
//!
//! The kernel runs a classic BPF program on each packet and passes only segments with SYN, FIN or RST, cut to their headers,
//! into a ring of 65,536 frames (16 MiB). It hands a packet to the ring before TCP gets it: when an effect of a segment
//! is seen, the segment is there, so [`Witness::finish`] misses nothing of what happened before it was called. What found
//! the ring full is counted by the kernel (PACKET_STATISTICS) and makes the result `incomplete`.
//!
//! What it rests on, and what it cannot know:
//! - *established* is the server's SYN-ACK. The client's ACK is not captured, so that a connection that never left the
//!   server's SYN queue (full accept queue) counts as established, as it does for connect(); its
//!   `syn_ack_retransmissions` tell of it, and the server's PassiveOpens is then lower.
//! - A connection is *open* from the SYN-ACK to the client's own FIN, or a RST; its four-tuple is *taken* from the SYN until
//!   both ends have closed, and through the client's TIME_WAIT, for the longest time that any kernel keeps it.
//! - How long a connection was *idle* is told by the timestamps of its SYN, SYN-ACK and first FIN (RFC 7323): the last echoes
//!   that of the last segment that its sender had got, an ACK without data included. Linux ticks in milliseconds from 4.13
//!   on; where a clock does not, and without timestamps, nothing is told.
//! - connect() calls that send nothing (EADDRNOTAVAIL) are not on the wire. A connection that a router or an ICMP message
//!   refuses is `unanswered`.
//! - Whether an end had the other's FIN is told by what its own FIN or RST acknowledges, whatever the order in the ring.
//!   A client that shuts down its sending side and then reads to the server's FIN looks like one that closes at once.
//! - Who *should* hold TIME_WAIT supposes that `tcp_rfc1337` is 0, and that `tcp_max_tw_buckets` is not reached.
//! - In topology `loopback` (and for a program that talks to itself) the loopback interface shows each segment twice; the
//!   filter takes it on its way in. In topology `nat` the client's side shows its own addresses, before translation.
//! - 131,072 four-tuples are followed at once, those of connections that ended last included; beyond that new connections
//!   are counted as not followed, in `incomplete`.
//! - Times are the kernel's (CLOCK_REALTIME): setting the clock during the load spoils them, and no count.
//!
//! Needs CAP_NET_RAW over the namespace, which whoever made the lab has.

mod connection;
mod filter;
mod fold;
mod header;
mod held;
mod ring;
mod totals;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use self::fold::{FOLLOWED, Fold};
use self::header::Header;
use self::ring::Ring;
use self::totals::Totals;
use crate::record::schema::Closings;

pub use self::connection::{Facts, FirstClose, Holder, Opening};
pub use self::fold::Destinations;

/// The thread reads the ring at most so often: it has room for what 13 million segments a second would bring meanwhile.
const REST: Duration = Duration::from_millis(5);

/// Why there can be no witness.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    #[error(
        "who closes cannot be seen on the wire: a packet socket was refused: {0} (it takes CAP_NET_RAW over the network \
         namespace, and a kernel with CONFIG_PACKET)"
    )]
    Socket(#[source] io::Error),
    #[error("who closes cannot be seen on the wire: no thread to read the packet socket: {0}")]
    Thread(#[source] io::Error),
}

/// A thread that watches one network namespace until it is told to finish.
#[derive(Debug)]
pub struct Witness {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<Closings>>,
}

impl Witness {
    /// Begins to watch the calling thread's network namespace. Times count from `origin`; what was before is at 0.
    ///
    /// # Errors
    /// [`WitnessError::Socket`] without CAP_NET_RAW, or on a kernel without packet sockets.
    pub fn open(destinations: Destinations, origin: Instant) -> Result<Self, WitnessError> {
        let stop =
            Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(|errno| WitnessError::Thread(errno.into()))?);
        let ring = Ring::open(&filter::program()).map_err(WitnessError::Socket)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let reader = Reader {
            ring,
            stop: Arc::clone(&stop),
            origin: nanos(now.saturating_sub(origin.elapsed())),
            last: 0,
            fold: Fold::new(destinations),
            totals: Totals::default(),
            incomplete: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("closings".into())
            .spawn(move || reader.run())
            .map_err(WitnessError::Thread)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the watch with what has happened till now.
    #[must_use]
    pub fn finish(mut self) -> Closings {
        self.tell_to_stop();
        let thread = self
            .thread
            .take()
            .expect("only finish and drop take it, and both consume");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn tell_to_stop(&self) {
        // The counter of an eventfd takes 2^64 - 2 of these before it refuses one.
        let _ = self.stop.write(1);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

/// The thread's own state.
#[derive(Debug)]
struct Reader {
    ring: Ring,
    stop: Arc<EventFd>,
    /// In nanoseconds of CLOCK_REALTIME.
    origin: u64,
    /// The last segment's time: the kernel takes them on several CPUs, and time shall not go backwards.
    last: u64,
    fold: Fold,
    totals: Totals,
    incomplete: Vec<String>,
}

impl Reader {
    fn run(mut self) -> Closings {
        loop {
            // Asked first and drained after: what happened before the word to stop is in the ring.
            let stopped = self.stopped_within(PollTimeout::from(REST.as_millis() as u8));
            self.drain();
            if stopped {
                return self.finish();
            }
            self.await_segments();
        }
    }

    fn drain(&mut self) {
        while let Some(frame) = self.ring.next() {
            if let Some(header) = Header::parse(frame.packet(), frame.whole) {
                self.last = self.last.max(frame.at.saturating_sub(self.origin));
                self.fold.see(&header, self.last, &mut self.totals);
            }
        }
    }

    fn stopped_within(&self, timeout: PollTimeout) -> bool {
        let mut stop = [PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut stop, timeout), Ok(ready) if ready > 0)
    }

    /// Sleeps until there is something in the ring, or the word to stop.
    fn await_segments(&self) {
        let mut both = [
            PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.ring.as_fd(), PollFlags::POLLIN),
        ];
        // EINTR looks again; no other error is possible with these descriptors.
        let _ = poll(&mut both, PollTimeout::NONE);
    }

    fn finish(mut self) -> Closings {
        let dropped = self.ring.dropped().unwrap_or_else(|error| {
            self.incomplete
                .push(format!("how many segments were dropped is unknown: {error}"));
            0
        });
        self.fold.finish(&mut self.totals);
        self.totals.summary(&self.fold, dropped, self.incomplete)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
