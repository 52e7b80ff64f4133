//! One namespace, and what the last looks at it gave.

use crate::observe::census::{Census, Endpoints};
use crate::observe::counters::Snapshot;
use crate::observe::eyes::{Eyes, LookError};
use crate::observe::samples::Holder;
use crate::observe::sock_diag::Listing;

/// One namespace, and what the last looks at it gave.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) eyes: Eyes,
    pub(super) before: Snapshot,
    pub(super) after: Snapshot,
    pub(super) holder: Holder,
    /// sockstat just before the last dump; None on kernels that do not count by namespace.
    pub(super) total: Option<u64>,
    /// Before the load: sockets in use, and both sides' by state.
    pub(super) before_load: Option<(u64, [Census; 2])>,
}

impl Namespace {
    /// Takes the counters' first snapshot.
    pub(super) fn new(mut eyes: Eyes) -> Result<Self, LookError> {
        let before = eyes.counters()?;
        Ok(Self {
            eyes,
            after: before.clone(),
            before,
            holder: Holder::Nobody,
            total: None,
            before_load: None,
        })
    }

    /// Whether no more sockets are in use than before the load. Handshakes that hang are not counted there.
    pub(super) fn is_idle(&mut self) -> Result<bool, LookError> {
        let now = self.eyes.in_use()?;
        Ok(self.before_load.as_ref().is_some_and(|(before, _)| now <= *before))
    }

    /// Lists what is neither in TIME_WAIT nor a listener, and counts those of the trial. Returns how many were listed.
    pub(super) fn list_moving(&mut self, endpoints: &Endpoints, census: &mut Census) -> Result<u64, LookError> {
        let mut listed = 0;
        self.eyes.list(Listing::Moving, |socket| {
            listed += 1;
            if endpoints.side(&socket.tuple).is_some() {
                census.count(&socket);
            }
        })?;
        Ok(listed)
    }

    /// Whether there are no mini-sockets either.
    pub(super) fn is_empty(&mut self) -> Result<bool, LookError> {
        Ok(self.eyes.mini_sockets()? == Some(0) && self.is_idle()?)
    }
}
