//! What the conductor looks at, and tells of, while it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Event, Progress};
use crate::load::Control;
use crate::observe::Observer;

/// How often progress is told.
pub(super) const TELL_EVERY: Duration = Duration::from_millis(200);

/// What the conductor looks at while it waits.
pub(super) struct Watch<'a> {
    pub(super) origin: Instant,
    pub(super) stop: &'a AtomicBool,
    pub(super) observer: &'a Observer,
    pub(super) control: Arc<Control>,
}

impl Watch<'_> {
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, observing: bool, tell: &mut dyn FnMut(Event)) {
        let (load, seen) = (self.control.live(), self.observer.latest());
        tell(Event::Progress(Progress {
            observing,
            seconds: self.origin.elapsed().as_secs_f64(),
            attempted: load.attempted,
            ok: load.ok,
            failed: load.failed,
            time_wait_client: seen.time_wait_client,
            time_wait_server: seen.time_wait_server,
        }));
    }

    /// Goes on observing until no TIME_WAIT is left, the time is over, or the user wants to stop.
    pub(super) fn after(&self, limit: Duration, tell: &mut dyn FnMut(Event)) {
        let end = Instant::now() + limit;
        let held = || {
            let seen = self.observer.latest();
            seen.time_wait_client + seen.time_wait_server
        };
        while held() > 0 && Instant::now() < end && !self.stopped() {
            std::thread::sleep(TELL_EVERY.min(end.saturating_duration_since(Instant::now())));
            self.tell(true, tell);
        }
    }
}
