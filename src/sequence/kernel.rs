//! Steps that ask the kernel or tell it: states, counters, sysctls, time.

use std::time::{Duration, Instant};

use super::SequenceError;
use super::finding::Finding;
use super::stage::Stage;
use crate::observe::Socket;
use crate::record::schema::Status;
use crate::scenario::step::{Counter, Mark, SetSysctl, SideName, StateOf, WITHIN, Wait};

/// How long a wait sleeps before the user's wish to stop is looked at.
const NAP: Duration = Duration::from_millis(100);

impl Stage<'_> {
    pub(super) fn expect_state(&mut self, step: &StateOf) -> Result<Finding, SequenceError> {
        let found = self.look(&step.end)?;
        Ok(state(step, found))
    }

    pub(super) fn await_state(&mut self, step: &StateOf) -> Result<Finding, SequenceError> {
        let within = step.within.map_or(WITHIN, |within| within.0);
        let mut last = None;
        self.until(within, |stage| {
            let finding = stage.expect_state(step)?;
            let met = finding.is_met().then_some(());
            last = Some(finding);
            Ok(met)
        })?;
        Ok(last.unwrap_or_else(|| Finding::impossible("no look at all")))
    }

    pub(super) fn expect_counter(&mut self, step: &Counter) -> Result<Finding, SequenceError> {
        let counted = self.counted_since(step.since.as_deref())?;
        let side = usize::from(step.side == SideName::Server);
        Ok(counter(step, counted[side].get(&step.name).copied()))
    }

    pub(super) fn await_counter(&mut self, step: &Counter) -> Result<Finding, SequenceError> {
        let within = step.within.map_or(WITHIN, |within| within.0);
        let mut last = None;
        self.until(within, |stage| {
            let finding = stage.expect_counter(step)?;
            // What the kernel does not count will not grow.
            let over = (finding.status != Status::Unmet).then_some(());
            last = Some(finding);
            Ok(over)
        })?;
        Ok(last.unwrap_or_else(|| Finding::impossible("no look at all")))
    }

    pub(super) fn mark(&mut self, step: &Mark) -> Result<Finding, SequenceError> {
        self.remember(&step.moment)?;
        Ok(Finding::done())
    }

    pub(super) fn sysctl(&mut self, step: &SetSysctl) -> Result<Finding, SequenceError> {
        self.side(step.side).set_sysctl(&step.name, &step.value.to_string())?;
        Ok(Finding::done())
    }

    pub(super) fn wait(&mut self, step: &Wait) -> Finding {
        let end = Instant::now() + step.time.0;
        while Instant::now() < end && !self.stopped() {
            std::thread::sleep(NAP.min(end.saturating_duration_since(Instant::now())));
        }
        Finding::done()
    }
}

/// A state found against the one that is expected.
fn state(step: &StateOf, found: Option<Socket>) -> Finding {
    let expected = step.state.of_kernel();
    let bounds = [
        step.expires_at_least.map(|least| format!("at least {least}")),
        step.expires_at_most.map(|most| format!("at most {most}")),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    let mut wanted = name(expected).to_owned();
    if !bounds.is_empty() {
        wanted.push_str(&format!(", timer {}", bounds.join(" and ")));
    }
    let left = found.map(|socket| Duration::from_millis(socket.expires_ms.into()));
    let in_time = left.is_none_or(|left| {
        step.expires_at_least.is_none_or(|least| left >= least.0)
            && step.expires_at_most.is_none_or(|most| left <= most.0)
    });
    let came = found.map(|socket| socket.state);
    let mut actual = name(came).to_owned();
    if let (Some(left), false) = (left, bounds.is_empty()) {
        actual.push_str(&format!(" {} s", left.as_secs_f64()));
    }
    let finding = Finding::new(wanted, actual, came == expected && in_time).with("state", name(came));
    match left {
        Some(left) => finding.with("expires_seconds", left.as_secs_f64()),
        None => finding,
    }
}

fn name(state: Option<crate::tcp::State>) -> &'static str {
    state.map_or("ABSENT", crate::tcp::State::name)
}

fn counter(step: &Counter, found: Option<i64>) -> Finding {
    let bounds = [
        step.is.map(|is| format!("{is}")),
        step.at_least.map(|least| format!("at least {least}")),
        step.at_most.map(|most| format!("at most {most}")),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    let expected = bounds.join(" and ");
    match found {
        None => Finding::unknown(expected, format!("this kernel has no counter {}", step.name)),
        Some(count) => {
            let met = step.is.is_none_or(|is| count == is)
                && step.at_least.is_none_or(|least| count >= least)
                && step.at_most.is_none_or(|most| count <= most);
            Finding::new(expected, count.to_string(), met).with("count", count)
        }
    }
}
