//! What became of attempts that their call left under way: a thread looks at them by sock_diag, ever more seldom.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::diag::Diag;
use super::watched::{Connecting, Watched};

/// Between the first looks at one attempt; later ones are a quarter of its age apart.
const AT_FIRST: Duration = Duration::from_millis(10);
const AT_MOST: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Due {
    attempt: Connecting,
    at: Instant,
}

/// Follows what comes until all senders are gone; a last look is at the end.
pub(super) fn follow(attempts: &Receiver<Connecting>, watched: &Watched) {
    let mut diag = match Diag::open() {
        Ok(diag) => diag,
        Err(error) => {
            watched.note(format!(
                "attempts that take longer cannot be followed: sock_diag: {error}"
            ));
            return;
        }
    };
    let mut due: Vec<Due> = Vec::new();
    loop {
        let next = due.iter().map(|due| due.at).min();
        let received = match next {
            None => attempts.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => attempts.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(attempt) => due.push(Due {
                attempt,
                at: attempt.since + AT_FIRST,
            }),
            Err(RecvTimeoutError::Timeout) => look(&mut due, &mut diag, watched, false),
            Err(RecvTimeoutError::Disconnected) => {
                look(&mut due, &mut diag, watched, true);
                return;
            }
        }
    }
}

/// Looks at those whose time has come, and keeps those that are still under way.
fn look(due: &mut Vec<Due>, diag: &mut Diag, watched: &Watched, all: bool) {
    let now = Instant::now();
    due.retain_mut(|due| {
        if due.at > now && !all {
            return true;
        }
        let Connecting { tuple, cookie, since } = due.attempt;
        match diag.state(tuple, cookie) {
            Ok(state) => watched.tally().found(cookie, state),
            Err(error) => watched.note(format!(
                "a look at an attempt that takes longer failed: sock_diag: {error}"
            )),
        }
        due.at = now + (since.elapsed() / 4).clamp(AT_FIRST, AT_MOST);
        watched.tally().is_connecting(cookie)
    });
}
