//! Follows each TIME_WAIT from the dump that first shows it to the first that does not.
//!
//! A dump may miss a socket that is there (see sock_diag; /proc/net/tcp is weaker still), so an absence counts when the
//! next dump confirms it, dated at the first. Pure: it is shown sockets and told the time.

use std::collections::HashMap;

use super::census::{QuickHash, Side};
use super::socket::Socket;
use crate::tcp::FourTuple;

/// A TIME_WAIT that is gone. Times are nanoseconds since the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The side that held it.
    pub side: Side,
    /// As the client names the connection, whichever side held it.
    pub tuple: FourTuple,
    /// The end of the first dump that showed it: it was closed before.
    pub first_seen: u64,
    /// The beginning of the last dump that showed it: it was there till then.
    pub last_seen: u64,
    /// The end of the first dump that did not show it, or showed its successor: it had gone by then.
    pub first_missing: u64,
}

/// A time not known yet.
const UNSET: u64 = u64::MAX;
/// A timer that jumps up by more than this is another incarnation's: rounding and a slow dump stay below.
const JUMP_MS: u64 = 500;

#[derive(Debug)]
struct Track {
    cookie: u64,
    /// When its timer is due, in milliseconds since the origin.
    due_ms: u64,
    first_seen: u64,
    last_seen: u64,
    /// The end of the dump that missed it, or UNSET.
    missing: u64,
    /// The dump that saw it last.
    dump: u64,
}

#[derive(Debug, Default)]
pub(super) struct Departures {
    tracks: HashMap<(Side, FourTuple), Track, QuickHash>,
    gone: Vec<Departure>,
    dump: u64,
    began: u64,
    /// Departures before this have their times.
    dated: usize,
}

impl Departures {
    /// A dump begins.
    pub(super) fn begin(&mut self, now: u64) {
        self.dump += 1;
        self.began = now;
        self.dated = self.gone.len();
    }

    /// The dump shows a TIME_WAIT.
    pub(super) fn see(&mut self, side: Side, socket: &Socket) {
        let fresh = Track {
            cookie: socket.cookie,
            due_ms: self.began / 1_000_000 + u64::from(socket.expires_ms),
            first_seen: UNSET,
            last_seen: self.began,
            missing: UNSET,
            dump: self.dump,
        };
        let key = (side, socket.tuple);
        match self.tracks.get_mut(&key) {
            None => {
                self.tracks.insert(key, fresh);
            }
            Some(track) if track.is_followed_by(&fresh) => {
                // An undated departure of this dump gets the dump's end, unless its absence was noticed before.
                self.gone.push(departure(&key, track, track.missing));
                *track = fresh;
            }
            Some(track) => {
                *track = Track {
                    cookie: fresh.cookie.max(track.cookie),
                    first_seen: track.first_seen,
                    ..fresh
                };
            }
        }
    }

    /// The dump is over; `complete` unless the kernel or an error broke it off, which makes no absence count.
    pub(super) fn end(&mut self, now: u64, complete: bool) {
        for departure in &mut self.gone[self.dated..] {
            departure.first_seen = departure.first_seen.min(now);
            departure.first_missing = departure.first_missing.min(now);
        }
        let (dump, gone) = (self.dump, &mut self.gone);
        self.tracks.retain(|key, track| {
            track.first_seen = track.first_seen.min(now);
            if track.dump == dump || !complete {
                return true;
            }
            if track.missing == UNSET {
                track.missing = now;
                return true;
            }
            gone.push(departure(key, track, track.missing));
            false
        });
    }

    /// Whether a dump missed a socket and none has confirmed it yet.
    pub(super) fn unconfirmed(&self) -> bool {
        self.tracks.values().any(|track| track.missing != UNSET)
    }

    pub(super) fn into_gone(self) -> Vec<Departure> {
        self.gone
    }
}

impl Track {
    /// Whether `next`, on the same four-tuple, is another incarnation. The cookie tells; where the list has none, a
    /// timer that jumped up does, and then a TIME_WAIT rearmed by an old duplicate looks like one, too.
    fn is_followed_by(&self, next: &Self) -> bool {
        if self.cookie != 0 && next.cookie != 0 {
            self.cookie != next.cookie
        } else {
            next.due_ms > self.due_ms + JUMP_MS
        }
    }
}

fn departure((side, tuple): &(Side, FourTuple), track: &Track, first_missing: u64) -> Departure {
    Departure {
        side: *side,
        tuple: match side {
            Side::Client => *tuple,
            Side::Server => tuple.reversed(),
        },
        first_seen: track.first_seen,
        last_seen: track.last_seen,
        first_missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::State;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const MS: u64 = 1_000_000;

    fn time_wait(port: u16, cookie: u64, expires_ms: u32) -> Socket {
        let tuple = FourTuple {
            local: ([10, 0, 0, 1], port).into(),
            remote: ([10, 0, 0, 2], 80).into(),
        };
        Socket {
            tuple,
            state: State::TimeWait,
            mini: true,
            expires_ms,
            cookie,
        }
    }

    /// Dumps at 0, 100, 200… ms, each 1 ms long.
    fn follow(dumps: &[&[Socket]]) -> Vec<Departure> {
        let mut departures = Departures::default();
        for (index, sockets) in dumps.iter().enumerate() {
            let begin = index as u64 * 100 * MS;
            departures.begin(begin);
            for socket in *sockets {
                departures.see(Side::Client, socket);
            }
            departures.end(begin + MS, true);
        }
        departures.into_gone()
    }

    #[test]
    fn an_absence_counts_once_confirmed_and_is_dated_at_the_first_look_without_it() {
        let socket = time_wait(1, 9, 60_000);
        let gone = follow(&[&[socket], &[socket], &[], &[]]);
        assert_eq!(gone.len(), 1);
        assert_eq!(
            (gone[0].first_seen, gone[0].last_seen, gone[0].first_missing),
            (MS, 100 * MS, 201 * MS)
        );
        assert_eq!(follow(&[&[socket], &[]]), vec![], "one miss may be the dump's");
        assert_eq!(follow(&[&[socket], &[], &[socket], &[]]), vec![], "it came back");
    }

    #[test]
    fn another_cookie_on_the_same_four_tuple_is_a_departure_at_once() {
        let gone = follow(&[&[time_wait(1, 9, 60_000)], &[time_wait(1, 10, 60_000)]]);
        assert_eq!(gone.len(), 1);
        assert_eq!((gone[0].last_seen, gone[0].first_missing), (0, 101 * MS));
    }

    #[test]
    fn a_timer_that_is_rearmed_is_no_departure_where_the_cookie_stays() {
        assert_eq!(follow(&[&[time_wait(1, 9, 5_000)], &[time_wait(1, 9, 60_000)]]), vec![]);
    }

    #[test]
    fn without_cookies_a_timer_that_jumps_up_is_a_departure() {
        assert_eq!(
            follow(&[&[time_wait(1, 0, 5_000)], &[time_wait(1, 0, 60_000)]]).len(),
            1
        );
        assert_eq!(follow(&[&[time_wait(1, 0, 5_000)], &[time_wait(1, 0, 4_900)]]), vec![]);
    }

    #[test]
    fn the_servers_departures_are_named_as_the_client_names_them() {
        let socket = time_wait(1, 9, 60_000);
        let mut departures = Departures::default();
        for (begin, there) in [(0, true), (10, false), (20, false)] {
            departures.begin(begin);
            if there {
                departures.see(Side::Server, &socket);
            }
            departures.end(begin + 1, true);
        }
        assert_eq!(departures.into_gone()[0].tuple, socket.tuple.reversed());
    }

    #[test]
    fn a_broken_dump_makes_nothing_depart() {
        let mut departures = Departures::default();
        departures.begin(0);
        departures.see(Side::Client, &time_wait(1, 9, 60_000));
        departures.end(1, true);
        for begin in [10, 20, 30] {
            departures.begin(begin);
            departures.end(begin + 1, false);
        }
        assert!(!departures.unconfirmed());
        assert_eq!(departures.into_gone(), vec![]);
    }

    proptest! {
        #[test]
        fn every_incarnation_departs_exactly_once(
            looks in prop::collection::vec(prop::collection::btree_set((0u16..6, 0u64..3), 0..6), 1..20)
        ) {
            // At most one incarnation of a port a look, and numbers that only grow, as the kernel gives them.
            let mut dumps: Vec<Vec<Socket>> = Vec::new();
            let mut latest = [0u64; 6];
            let mut incarnations = BTreeSet::new();
            for look in looks {
                let mut sockets: Vec<Socket> = Vec::new();
                for (port, step) in look {
                    if sockets.iter().all(|s| s.tuple.local.port() != port) {
                        latest[usize::from(port)] = (latest[usize::from(port)] + step).max(1);
                        incarnations.insert((port, latest[usize::from(port)]));
                        sockets.push(time_wait(port, latest[usize::from(port)], 60_000));
                    }
                }
                dumps.push(sockets);
            }
            dumps.extend([vec![], vec![]]);
            let views: Vec<&[Socket]> = dumps.iter().map(Vec::as_slice).collect();
            let gone = follow(&views);
            prop_assert!(gone.len() >= incarnations.len());
            for departure in gone {
                prop_assert!(departure.first_missing > departure.last_seen);
                prop_assert!(departure.first_seen >= 1 && departure.first_seen != UNSET && departure.first_missing != UNSET);
            }
        }
    }
}
