//! Waits until both sides are at rest after the load, so that the ledger's books are of one moment.
//!
//! The kernel's counters and the dump are taken by a look here, the server's own counts when it stops, later. They
//! agree only where nothing happens in between: the server holds nothing open, and each of our sockets listens or is in
//! TIME_WAIT. A handshake that hangs (SYN_RECV) has no end in any book. Where that rest does not come, it is told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Event;
use super::watch::Watch;
use crate::load::server::ServerControl;
use crate::observe::LookError;
use crate::tcp::State;

/// How long rest may take: a FIN is sent again after 0.2, 0.6, 1.4, 3 and 6.2 s.
const LIMIT: Duration = Duration::from_secs(10);
/// The same once the user wants to stop.
const LIMIT_STOPPED: Duration = Duration::from_secs(1);
/// Between two looks, and how long the first waits for the server to tell that it is done and for the kernel's count of
/// sockets to say the same.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The first look waits for that so many times what it will take, and no shorter than [`LOOK_EVERY`].
const LOOKS_WORTH: u32 = 10;
/// Between two readings of the server's numbers.
const READ_EVERY: Duration = Duration::from_millis(1);
/// A glance at the sockets is followed by so many times what it took: with a million it takes a tenth of a second.
const GLANCES_REST: u32 = 50;

/// Hurries the server on and looks until both sides are at rest. Returns what was still under way at the limit.
///
/// # Errors
/// A look failed.
pub(super) fn wait(
    server: Option<&ServerControl>,
    connected: u64,
    watch: &Watch<'_>,
    tell: &mut dyn FnMut(Event),
) -> Result<Option<String>, LookError> {
    let (accepted, open) = (
        || server.map_or(connected, ServerControl::accepted),
        || server.map_or(0, ServerControl::open),
    );
    if let Some(server) = server {
        server.hurry();
    }
    let began = Instant::now();
    let mut limit = began + LIMIT;
    // With millions in TIME_WAIT a look takes a second, and last FINs are sent again meanwhile: it is worth some patience.
    let patience = (watch.observer.price() * LOOKS_WORTH).clamp(LOOK_EVERY, LIMIT / 2);
    while began.elapsed() < patience
        && !watch.stopped()
        && (accepted() < connected || open() > 0 || !watch.observer.is_idle()?)
    {
        std::thread::sleep(READ_EVERY);
    }
    let (mut first, mut next_glance) = (true, began);
    loop {
        // Before the look: what the server still holds then, the look may find ended.
        let held = open();
        if watch.stopped() {
            limit = limit.min(Instant::now() + LIMIT_STOPPED);
        }
        let over = Instant::now() >= limit;
        // The look for the books lists everything, which is dear: it is made again only where a cheaper one finds rest.
        let mut books = std::mem::take(&mut first) || over;
        if !books && held == 0 && Instant::now() >= next_glance {
            let glance = Instant::now();
            books = watch.observer.glance()?.is_some_and(|states| moving(states).is_empty());
            next_glance = Instant::now() + glance.elapsed() * GLANCES_REST;
        }
        if books {
            let moving = moving(watch.observer.look_now()?);
            if held == 0 && moving.is_empty() {
                return Ok(None);
            }
            if over {
                let seconds = began.elapsed().as_secs_f64();
                return Ok(Some(told(seconds, &moving, [accepted(), connected, open()])));
            }
        }
        std::thread::sleep(LOOK_EVERY);
        watch.tell(true, tell);
    }
}

/// The sockets that will still do something, by state.
fn moving(mut states: BTreeMap<State, u64>) -> BTreeMap<State, u64> {
    states.retain(|state, _| {
        !matches!(
            state,
            State::Listen | State::TimeWait | State::SynRecv | State::NewSynRecv
        )
    });
    states
}

fn told(seconds: f64, moving: &BTreeMap<State, u64>, [accepted, connected, open]: [u64; 3]) -> String {
    let sockets: Vec<String> = moving.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let sockets = if sockets.is_empty() {
        "none".to_owned()
    } else {
        sockets.join(", ")
    };
    format!(
        "{seconds:.1} s after the load, sockets under way: {sockets}; the server had accepted {accepted} of {connected} \
         connections and held {open} open"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_wait_or_hang_in_the_handshake_are_at_rest() {
        let all = State::ALL.into_iter().map(|state| (state, 1)).collect();
        let moving: Vec<State> = moving(all).into_keys().collect();
        let expected = [
            State::Established,
            State::SynSent,
            State::FinWait1,
            State::FinWait2,
            State::Close,
            State::CloseWait,
            State::LastAck,
            State::Closing,
        ];
        assert_eq!(moving, expected);
    }

    #[test]
    fn what_is_under_way_is_told_by_state() {
        let moving = BTreeMap::from([(State::FinWait1, 53), (State::LastAck, 2)]);
        assert_eq!(
            told(10.04, &moving, [47, 100, 0]),
            "10.0 s after the load, sockets under way: 53 FIN_WAIT1, 2 LAST_ACK; the server had accepted 47 of 100 \
             connections and held 0 open"
        );
    }
}
