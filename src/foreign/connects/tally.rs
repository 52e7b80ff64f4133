//! Counts attempts, not calls: what became of each connection that a program tried. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use nix::libc;

use crate::record::histogram::LatencyHistogram;
use crate::record::schema::{Connects, ConnectsFailed, ConnectsTo};
use crate::tcp::{State, errno};

/// Destinations that are told apart.
const DESTINATIONS: usize = 1024;
/// Of these, those in the record.
const TOLD: usize = 20;
/// Attempts that are followed at once after their call had answered.
pub(super) const FOLLOWED: usize = 8192;

/// What the kernel answers inside itself where a signal interrupts a call (include/linux/errno.h); a tracer sees it.
const RESTART: std::ops::RangeInclusive<i32> = 512..=516;

/// A TCP socket, told by the kernel's cookie (Linux 4.12), of which the kernel gives none twice.
pub(super) type Cookie = u64;

/// What a call is, told by the socket before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A connection is tried.
    Attempt,
    /// The socket's last attempt has failed, and this call fetches its errno.
    Fetch,
    /// The socket is connecting, or connected.
    Repeated,
}

/// What the socket was found to be after a call that has not answered for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    State(State),
    /// It could not be looked at.
    Unseen,
}

#[derive(Clone, Copy, Debug, Default)]
struct To {
    attempts: u64,
    failed: u64,
}

/// An attempt whose call has answered that it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    Connecting,
    /// Counted as failed later, until the program fetches the errno by connect().
    FailedLater,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    attempts: u64,
    ok: u64,
    failed: BTreeMap<i32, u64>,
    failed_later: u64,
    unknown: u64,
    repeated: u64,
    other: u64,
    call: LatencyHistogram,
    destinations: HashMap<SocketAddr, To>,
    elsewhere: u64,
    followed: HashMap<Cookie, (SocketAddr, Followed)>,
}

impl Tally {
    /// What a call on this socket is, in the state in which it is.
    pub(super) fn call(&self, cookie: Cookie, state: State) -> Call {
        match state {
            State::Close if self.followed.contains_key(&cookie) => Call::Fetch,
            State::Close => Call::Attempt,
            _ => Call::Repeated,
        }
    }

    /// An attempt that took `nanos` to answer `answer`: 0 or an errno. True where it goes on and must be followed.
    pub(super) fn attempted(&mut self, cookie: Cookie, to: SocketAddr, answer: i32, nanos: u64, after: After) -> bool {
        self.attempts += 1;
        let room = self.destinations.len() < DESTINATIONS || self.destinations.contains_key(&to);
        if room {
            self.destinations.entry(to).or_default().attempts += 1;
        } else {
            self.elsewhere += 1;
        }
        let unfinished = goes_on(answer);
        if !RESTART.contains(&answer) {
            self.call.record(nanos);
        }
        match (answer, after) {
            (0, _) | (_, After::State(State::Established | State::CloseWait)) if answer == 0 || unfinished => {
                self.ok += 1
            }
            (_, After::State(State::Close)) if unfinished => {
                self.fail_later(to);
                if self.has_room() {
                    self.followed.insert(cookie, (to, Followed::FailedLater));
                }
            }
            (_, After::State(_)) if unfinished && self.has_room() => {
                self.followed.insert(cookie, (to, Followed::Connecting));
                return true;
            }
            _ if unfinished => self.unknown += 1,
            (errno, _) => self.fail(to, errno),
        }
        false
    }

    /// Those that have failed make room: most programs close the socket and fetch nothing.
    fn has_room(&mut self) -> bool {
        if self.followed.len() >= FOLLOWED {
            self.followed
                .retain(|_, (_, followed)| *followed == Followed::Connecting);
        }
        self.followed.len() < FOLLOWED
    }

    /// The answer of a call that fetches the errno of the attempt before.
    pub(super) fn fetched(&mut self, cookie: Cookie, answer: i32) {
        self.repeated += 1;
        // ECONNABORTED: the program had the errno already, by SO_ERROR.
        if answer == 0 || goes_on(answer) {
            return;
        }
        let Some((to, followed)) = self.followed.remove(&cookie) else {
            return;
        };
        match (followed, answer) {
            (Followed::Connecting, libc::ECONNABORTED) => self.fail_later(to),
            (Followed::FailedLater, libc::ECONNABORTED) => {}
            (Followed::Connecting, errno) => self.fail(to, errno),
            (Followed::FailedLater, errno) => {
                self.failed_later -= 1;
                *self.failed.entry(errno).or_default() += 1;
            }
        }
    }

    /// The answer of a call on a socket that was connecting: of a blocking one that a signal had interrupted, it is the
    /// attempt's.
    pub(super) fn repeated(&mut self, cookie: Cookie, answer: Option<i32>) {
        self.repeated += 1;
        let Some(answer) = answer.filter(|answer| !goes_on(*answer) && *answer != libc::EALREADY) else {
            return;
        };
        if let Some((to, Followed::Connecting)) = self.followed.get(&cookie).copied() {
            self.followed.remove(&cookie);
            match answer {
                0 | libc::EISCONN => self.ok += 1,
                errno => self.fail(to, errno),
            }
        }
    }

    /// What has become of a socket that was connecting; None: there is no such socket any more.
    pub(super) fn found(&mut self, cookie: Cookie, state: Option<State>) {
        let Some((_, Followed::Connecting)) = self.followed.get(&cookie).copied() else {
            return;
        };
        match state {
            Some(State::SynSent | State::SynRecv | State::NewSynRecv) => return,
            Some(_) => self.ok += 1,
            None => self.unknown += 1,
        }
        self.followed.remove(&cookie);
    }

    /// Whether this attempt is still under way, as far as is known.
    pub(super) fn is_connecting(&self, cookie: Cookie) -> bool {
        matches!(self.followed.get(&cookie), Some((_, Followed::Connecting)))
    }

    /// A call that no TCP connection comes of.
    pub(super) fn other(&mut self) {
        self.other += 1;
    }

    /// A call of which nothing but that it was made could be learned.
    pub(super) fn unseen(&mut self) {
        self.attempts += 1;
        self.unknown += 1;
    }

    fn fail(&mut self, to: SocketAddr, errno: i32) {
        *self.failed.entry(errno).or_default() += 1;
        self.count_failed(to);
    }

    fn fail_later(&mut self, to: SocketAddr) {
        self.failed_later += 1;
        self.count_failed(to);
    }

    fn count_failed(&mut self, to: SocketAddr) {
        if let Some(to) = self.destinations.get_mut(&to) {
            to.failed += 1;
        }
    }

    /// The record's form, without the way, notes and costs.
    pub(super) fn summary(&self) -> Connects {
        let mut failed: Vec<_> = self.failed.iter().map(|(errno, count)| (*errno, *count)).collect();
        failed.sort_by_key(|(errno, count)| (std::cmp::Reverse(*count), *errno));
        let mut destinations: Vec<_> = self.destinations.iter().collect();
        destinations.sort_by_key(|(to, tally)| (std::cmp::Reverse(tally.attempts), **to));
        let untold: u64 = destinations.iter().skip(TOLD).map(|(_, tally)| tally.attempts).sum();
        let connecting = self
            .followed
            .values()
            .filter(|(_, followed)| *followed == Followed::Connecting);
        Connects {
            attempts: self.attempts,
            ok: self.ok,
            failed: failed
                .into_iter()
                .map(|(number, count)| ConnectsFailed {
                    errno: errno::name(number),
                    count,
                })
                .collect(),
            failed_later: self.failed_later,
            unknown: self.unknown,
            connecting_at_end: connecting.count() as u64,
            repeated_calls: self.repeated,
            other_calls: self.other,
            call: self.call.summary(),
            destinations: destinations
                .into_iter()
                .take(TOLD)
                .map(|(to, tally)| ConnectsTo {
                    destination: to.to_string(),
                    attempts: tally.attempts,
                    failed: tally.failed,
                })
                .collect(),
            other_destinations: self.elsewhere + untold,
            ..Connects::default()
        }
    }
}

/// Whether an answer leaves the connection under way.
pub(super) fn goes_on(answer: i32) -> bool {
    matches!(answer, libc::EINPROGRESS | libc::EINTR) || RESTART.contains(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to() -> SocketAddr {
        "10.2.0.1:7000".parse().unwrap()
    }

    fn balanced(connects: &Connects) -> bool {
        let failed: u64 = connects.failed.iter().map(|failed| failed.count).sum();
        connects.attempts
            == connects.ok + failed + connects.failed_later + connects.unknown + connects.connecting_at_end
    }

    proptest! {
        #[test]
        fn whatever_happens_each_attempt_is_counted_once(
            events in prop::collection::vec((0u8..5, 0u64..6, 0usize..8, 0usize..12, any::<bool>()), 0..300),
        ) {
            let answers = [0, 99, 111, 115, 4, 512, 103, 114];
            let mut tally = Tally::default();
            for (kind, cookie, answer, state, seen) in events {
                let (answer, state) = (answers[answer], State::ALL[state]);
                match kind {
                    0 => {
                        // A socket on which an attempt is under way is not tried anew: the call would be another.
                        if tally.call(cookie, State::Close) == Call::Attempt {
                            let after = if seen { After::State(state) } else { After::Unseen };
                            tally.attempted(cookie, to(), answer, 5, after);
                        }
                    }
                    1 => tally.fetched(cookie, answer),
                    2 => tally.repeated(cookie, seen.then_some(answer)),
                    3 => tally.found(cookie, seen.then_some(state)),
                    _ => tally.unseen(),
                }
                prop_assert!(balanced(&tally.summary()), "{:?}", tally.summary());
            }
        }

        #[test]
        fn destinations_are_bounded_and_their_attempts_all_there(ports in prop::collection::vec(any::<u16>(), 0..3000)) {
            let mut tally = Tally::default();
            for (cookie, port) in ports.iter().enumerate() {
                tally.attempted(cookie as u64, SocketAddr::new(to().ip(), *port), 99, 1, After::Unseen);
            }
            let summary = tally.summary();
            prop_assert!(summary.destinations.len() <= TOLD && tally.destinations.len() <= DESTINATIONS);
            let told: u64 = summary.destinations.iter().map(|to| to.attempts).sum();
            prop_assert_eq!(told + summary.other_destinations, ports.len() as u64);
        }
    }

    #[test]
    fn the_errno_that_a_second_connect_fetches_is_the_first_ones() {
        let mut tally = Tally::default();
        assert!(tally.attempted(1, to(), libc::EINPROGRESS, 5, After::State(State::SynSent)));
        assert_eq!(tally.call(1, State::SynSent), Call::Repeated);
        assert_eq!(tally.call(1, State::Close), Call::Fetch);
        tally.fetched(1, libc::ECONNREFUSED);
        tally.attempted(2, to(), libc::EINPROGRESS, 5, After::State(State::Close));
        assert_eq!(tally.summary().failed_later, 1);
        tally.fetched(2, libc::ETIMEDOUT);
        let summary = tally.summary();
        let failed: Vec<_> = summary
            .failed
            .iter()
            .map(|failed| (failed.errno.as_str(), failed.count))
            .collect();
        assert_eq!(failed, [("ETIMEDOUT", 1), ("ECONNREFUSED", 1)]);
        assert_eq!(
            (summary.attempts, summary.failed_later, summary.repeated_calls),
            (2, 0, 2)
        );
        assert_eq!(summary.destinations[0].failed, 2);
    }
}
