//! What was observed, as the record tells it: of a load, and of a program in its place.

use crate::observe::slab::Slab;
use crate::observe::{Observed, SideObserved};
use crate::record::schema::{Counters, Overdue, PeakEnd, SlabRow, TimeWait};
use crate::trial::Results;

/// TIME_WAIT of both sides as it was counted; how long each lasted, and whose it was close by close, is not told here.
pub(in crate::trial) fn time_wait(observed: &Observed) -> TimeWait {
    let peak_end = |side: &SideObserved| PeakEnd {
        peak: side.peak,
        end: side.end,
    };
    TimeWait {
        client: peak_end(&observed.client),
        server: peak_end(&observed.server),
        lifetime_seconds: None,
        sides: None,
        no_sides: None,
        overdue: Overdue {
            client_peak: observed.client.overdue_peak,
            server_peak: observed.server.overdue_peak,
        },
        source: observed.cost.source.clone(),
    }
}

/// TIME_WAIT sockets of client and server at a moment, by the last look before it; moments are asked for in their order.
pub(in crate::trial) fn time_wait_at(observed: &Observed) -> impl FnMut(f64) -> (Option<u64>, Option<u64>) {
    let mut samples = observed.samples.iter().peekable();
    let mut seen = (None, None);
    move |seconds| {
        while let Some(sample) = samples.next_if(|sample| sample.t <= seconds) {
            seen = (sample.client, sample.server);
        }
        seen
    }
}

pub(in crate::trial) fn counters(observed: &Observed) -> Counters {
    let (client, server) = &observed.counters;
    Counters {
        client: client.clone(),
        // One namespace has one set of counters: both sides read it.
        server: server.as_ref().unwrap_or(client).clone(),
    }
}

pub(super) fn slab(results: &Results) -> Option<Vec<SlabRow>> {
    let [before, after] = &results.slab;
    let (before, after) = (before.as_ref()?, after.as_ref()?);
    let row = |(cache, slab): (&String, &Slab)| SlabRow {
        cache: cache.clone(),
        object_bytes: slab.object_bytes,
        active_before: before.get(cache).map_or(0, |slab| slab.active_objects),
        active_after: slab.active_objects,
    };
    Some(after.iter().map(row).collect())
}
