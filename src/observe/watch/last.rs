//! The look at the load's end: its counts are the `end` values, and the counters stop here.
//!
//! A listing of all sockets, where the budget has its price; else the kernel's own counts, where they tell whose the
//! sockets are, and a listing of what is in no TIME_WAIT. Where the counts cannot tell, there is a listing whatever it
//! costs. The record says which, and what it took.

use super::*;

/// Listings that may be tried for the load's end, where the kernel calls one interrupted.
const LOOKS_AT_END: u32 = 3;

impl Watch {
    pub(super) fn look_at_end(&mut self) -> Result<BTreeMap<State, u64>, LookError> {
        let cpu = thread_time();
        let mut sockets = 0;
        for namespace in &mut self.namespaces {
            sockets += namespace.eyes.mini_sockets()?.unwrap_or(0);
        }
        let affords = self.budget.affords_the_last(sockets, cpu, self.began.elapsed());
        let by = if affords || self.must_list || !self.counts_tell() {
            self.list_all()?;
            "listing"
        } else {
            self.count_all()?;
            "counts"
        };
        for namespace in &mut self.namespaces {
            namespace.after = namespace.eyes.counters()?;
        }
        for (side, census) in self.sides.iter_mut().zip(&self.census) {
            side.end = census.time_wait();
            side.held = census.minis;
            let by_name = |(state, count): (State, u64)| (state.name().to_owned(), count);
            side.states = census.by_state().into_iter().map(by_name).collect();
        }
        self.looked = true;
        self.end_seconds = self.seconds();
        let mut both = self.census[0].clone();
        both.add(&self.census[1]);
        self.last_look = Some(LastLook {
            by: by.to_owned(),
            sockets: both.by_state().values().sum(),
            cpu_seconds: (thread_time() - cpu).as_secs_f64(),
        });
        Ok(both.by_state())
    }

    /// Whether some that are followed have gone since the last listing, and another can be afforded. Where none is left,
    /// it costs nothing.
    pub(super) fn went_unseen(&self) -> bool {
        let before: u64 = self.namespaces.iter().filter_map(|namespace| namespace.total).sum();
        let now = self.totals[1];
        self.departures.is_some() && now < before && (now == 0 || !self.budget.is_dear(now))
    }

    fn list_all(&mut self) -> Result<(), LookError> {
        let mut looks = 1;
        while let Err(error) = self.dump(Listing::All) {
            if looks == LOOKS_AT_END || !matches!(error, LookError::Interrupted) {
                return Err(error);
            }
            looks += 1;
        }
        Ok(())
    }

    /// Whether sockstat's counts tell whose the sockets are: each side has a namespace of its own, and the last listing
    /// found nobody else's there.
    fn counts_tell(&self) -> bool {
        let theirs = |(side, namespace): (Side, &Namespace)| match namespace.holder {
            Holder::Only { side: holder, .. } => holder == side,
            Holder::Nobody => namespace.total.is_some(),
            Holder::Mixed => false,
        };
        let sides = [Side::Client, Side::Server];
        self.namespaces.len() == sides.len() && sides.into_iter().zip(&self.namespaces).all(theirs)
    }

    /// Counts mini-sockets by sockstat, and lists what is in no TIME_WAIT.
    fn count_all(&mut self) -> Result<(), LookError> {
        let (mut sides, mut listed) = (<[Census; 2]>::default(), 0);
        let cpu = thread_time();
        for (namespace, census) in self.namespaces.iter_mut().zip(&mut sides) {
            if namespace.is_empty()? {
                continue;
            }
            listed += namespace.list_moving(&self.endpoints, census)?;
            census.count_time_wait(namespace.eyes.mini_sockets()?.unwrap_or(0));
        }
        self.count_look("listing of what moves", listed, cpu);
        self.longest_gap = self.longest_gap.max(self.last_dump.elapsed());
        (self.time_waits, self.client_ports) = (None, None);
        // Each side has a namespace of its own, with nobody else in it.
        let [client, server] = &sides;
        let holders = [
            Holder::of(client, &Census::default(), 0),
            Holder::of(&Census::default(), server, 0),
        ];
        self.settle(holders);
        self.take(sides);
        Ok(())
    }

    /// Whether no namespace has more sockets in use than before the load: mini-sockets and handshakes aside.
    pub(super) fn is_idle(&mut self) -> Result<bool, LookError> {
        let mut idle = true;
        for namespace in &mut self.namespaces {
            idle &= namespace.is_idle()?;
        }
        Ok(idle)
    }

    /// What of both sides has still something to do, by state: neither TIME_WAIT nor listeners.
    /// None where each side has a namespace of its own and one of them has more sockets in use than before the load.
    pub(super) fn glance(&mut self) -> Result<Option<BTreeMap<State, u64>>, LookError> {
        if self.namespaces.len() > 1 && !self.is_idle()? {
            return Ok(None);
        }
        let (mut census, mut listed) = (Census::default(), 0);
        let cpu = thread_time();
        for namespace in &mut self.namespaces {
            if namespace.is_empty()? {
                continue;
            }
            listed += namespace.list_moving(&self.endpoints, &mut census)?;
        }
        self.count_look("listing of what moves", listed, cpu);
        Ok(Some(census.by_state()))
    }
}
