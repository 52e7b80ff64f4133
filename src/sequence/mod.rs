//! Sequences: steps done in order over named connections, for claims about an order of events — a lost ACK, a restart, a
//! replayed segment — that no load can put.
//!
//! **One conductor.** One thread does one step after the other and nothing else goes on, so that a sequence does the
//! same each time. A socket belongs to the network namespace of the thread that made it, whoever uses it later: the
//! conductor stays outside and has each socket made on the side where it belongs ([`crate::lab::Side::run`]).
//!
//! **No bare sleeps.** A step that waits for something waits for that: a socket by poll(2), a state by sock_diag, a
//! counter by /proc/net, a segment by the tap; each at most as long as the step says (10 s where it says nothing).
//! Only the step `wait` lets time pass, where time is what is asked about.
//!
//! **Names.** `connect` names a connection; `NAME.client` and `NAME.server` are its ends, whether they have a socket (till
//! `close`) or the kernel alone still holds them, which sock_diag tells by the four-tuple. A later incarnation of the
//! same four-tuple is a connection of another name.
//!
//! **Faults without privileges.** `drop` attaches a classic BPF filter to one end's socket ([`crate::tcp::Loss`]). `inject` and
//! `replay` send through a raw socket on the side of the alleged sender; a packet socket on the server's side, the tap,
//! has seen every segment since the first step, so that numbers are said relative to what the connection is at. A router that
//! translates changes a crafted segment as it changes the client's own: it has the sender's addresses as the sender's side
//! has them (the router would drop its own address as a source), and a step whose segment does not come as the connection's
//! is not met. A namespace's own root may open both.
//!
//! **Verdict.** A step whose expectation is not met, or about which the kernel does not tell, ends the sequence: what follows
//! would mean nothing. The record has each
//! step with what was expected and what came, each segment, and under `captured` what the steps with a name (`as`) found.
//!
//! Knows the plan's steps, the lab and the eyes of `observe`; must not know scenarios' text, verdicts or how a record is shown.
#![forbid(unsafe_code)]

mod endpoints;
mod finding;
mod kernel;
mod segment;
mod stage;
mod stream;
mod tap;
#[cfg(test)]
mod tests;
mod wire;
mod words;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::lab::{Lab, Unavailable};
use crate::observe::{LookError, counters};
use crate::record::ledger::reconcile_sequence;
use crate::record::schema::{Captured, Counters, Ledger, SegmentSeen, StepResult};
use crate::scenario::plan::StepPlan;
use crate::scenario::step::Action;
use finding::Finding;
use stage::Stage;

/// Why a sequence could not be conducted. A step that finds something else than expected is no error.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Look(#[from] LookError),
    #[error("{at}: {call} failed: {source}")]
    Call {
        at: String,
        call: &'static str,
        source: io::Error,
    },
}

/// What a sequence did.
#[derive(Clone, Debug)]
pub struct Conducted {
    pub steps: Vec<StepResult>,
    pub captured: BTreeMap<String, Captured>,
    pub segments: Vec<SegmentSeen>,
    pub counters: Counters,
    pub ledger: Ledger,
}

/// Does the steps in order till the last, the first that is not met, or the user's wish to stop. `tell` is told the
/// number (from 1) and the words of each step before it is done.
///
/// # Errors
/// What the lab or the kernel refused that no step asked about.
pub fn conduct(
    steps: &[StepPlan],
    lab: &Lab,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(usize, &str),
) -> Result<Conducted, SequenceError> {
    let mut stage = Stage::set(lab, stop)?;
    let began = Instant::now();
    let mut results = Vec::with_capacity(steps.len());
    let mut captured = BTreeMap::new();
    let mut over = false;
    for (index, step) in steps.iter().enumerate() {
        let does = words::of(&step.action);
        if over || stage.stopped() {
            results.push(not_done(index + 1, step, does));
            continue;
        }
        tell(index + 1, &does);
        let begun = Instant::now();
        let finding = stage.perform(index + 1, step)?;
        let took = begun.elapsed();
        over = !finding.is_met();
        if let Some(name) = &step.named {
            captured.insert(name.clone(), finding.captured(took));
        }
        results.push(StepResult {
            number: index + 1,
            at: step.at.clone(),
            does,
            expected: finding.expected,
            actual: Some(finding.actual),
            status: Some(finding.status),
            began_seconds: Some((begun - began).as_secs_f64()),
            took_seconds: Some(took.as_secs_f64()),
        });
    }
    stage.end(results, captured)
}

fn not_done(number: usize, step: &StepPlan, does: String) -> StepResult {
    StepResult {
        number,
        at: step.at.clone(),
        does,
        expected: String::new(),
        actual: None,
        status: None,
        began_seconds: None,
        took_seconds: None,
    }
}

impl Stage<'_> {
    fn perform(&mut self, number: usize, step: &StepPlan) -> Result<Finding, SequenceError> {
        self.begin(number, &step.at)?;
        let finding = match &step.action {
            Action::Listen(step) => self.listen(step),
            Action::StopListening(step) => Ok(self.stop_listening(step)),
            Action::Connect(step) => self.connect(step),
            Action::StartConnect(step) => self.start_connect(step),
            Action::AwaitConnect(step) => self.await_connect(&step.connection, step.expect, step.within.0),
            Action::Accept(step) => self.accept(step),
            Action::Send(step) => self.send(step),
            Action::Recv(step) => self.recv(step),
            Action::Transfer(step) => self.transfer(step),
            Action::Shutdown(step) => self.shutdown(step),
            Action::Close(step) => self.close(step),
            Action::Drop(step) => self.lose(step),
            Action::Undrop(step) => self.lose_nothing(step),
            Action::ExpectState(step) => self.expect_state(step),
            Action::AwaitState(step) => self.await_state(step),
            Action::ExpectCounter(step) => self.expect_counter(step),
            Action::AwaitCounter(step) => self.await_counter(step),
            Action::Mark(step) => self.mark(step),
            Action::Inject(step) => self.inject(step),
            Action::Replay(step) => self.replay(step),
            Action::AwaitSegment(step) => self.await_segment(step),
            Action::Sysctl(step) => self.sysctl(step),
            Action::Wait(step) => Ok(self.wait(step)),
        }?;
        self.drain_tap()?;
        Ok(finding)
    }

    fn end(mut self, steps: Vec<StepResult>, captured: BTreeMap<String, Captured>) -> Result<Conducted, SequenceError> {
        let [client, server] = self.counted_since(None)?;
        let counters = Counters { client, server };
        Ok(Conducted {
            steps,
            captured,
            segments: self.segments(),
            ledger: reconcile_sequence(self.opens, &counters.client),
            counters,
        })
    }
}

/// Deltas of both sides.
fn deltas(before: &stage::Snapshots, after: &stage::Snapshots) -> [BTreeMap<String, i64>; 2] {
    [0, 1].map(|side| counters::delta(&before[side], &after[side]))
}
