//! The load put to the running kernel: each test in a network namespace of its own, counts compared with arithmetic
//! and with the kernel's own counters.

mod closing;
mod conversing;
mod failing;
mod misbehaving;
mod namespace;
mod offering;
mod pooling;
mod speaking;
mod telling;

use std::time::Duration;

use self::namespace::Counters;
use super::server::{Listeners, Served, ServerControl, ServerWork};
use super::{Choice, Clock, Control, Measured, Pacing, Shard, Work, threads};
use crate::record::tally::{Cause, Phase};
use crate::scenario::fixture;
use crate::scenario::plan::{ClosePlan, LoadPlan, ServerPlan};
use crate::scenario::spec::{Arrival, Protocol};
use crate::tcp::{CloseMode, Closer};

/// A plan for tests to vary: ten connections as fast as they go.
pub(super) fn load_plan() -> LoadPlan {
    LoadPlan {
        connections: Some(10),
        ..fixture::trial().load
    }
}

/// Work for tests to vary: the client closes gracefully, source and port are connect()'s choice.
pub(super) fn work() -> Work {
    Work {
        load: load_plan(),
        pool: None,
        close: fixture::trial().close,
        client: fixture::trial().client,
        protocol: Protocol::None,
        sources: vec![[127, 0, 0, 1].into()],
        destinations: vec![([127, 0, 0, 1], 7_000).into()],
        tuples: false,
        tuples_a_pair: None,
        ports: vec![],
        shard: Shard::WHOLE,
        pacing: Pacing::Timer,
        reuse_descriptor: false,
    }
}

/// Both engines: what holds for one holds for the other.
const ENGINES: [Choice; 2] = [Choice::Epoll, Choice::Uring];

/// Runs the client's side alone.
fn offer(choice: Choice, work: &Work, control: &Control) -> Result<Measured, super::EngineError> {
    offer_by(choice, 1, work, control)
}

fn offer_by(engine: Choice, threads: u32, work: &Work, control: &Control) -> Result<Measured, super::EngineError> {
    let means = threads::Means {
        threads,
        engine,
        pin: None,
    };
    let (measured, name) = threads::run(work, &means, &Clock::start(), control)?;
    // The test machine must have io_uring: else half of the tests would pass by not running.
    assert_eq!(name, engine.to_string());
    Ok(measured)
}

/// The server that fits the work.
pub(super) fn server_of(work: &Work) -> ServerWork {
    ServerWork::of_load(
        ServerPlan {
            protocol: work.protocol,
            ..fixture::trial().server
        },
        work.close.clone(),
        &work.load,
    )
}

/// What both ends and the kernel counted.
struct Trial {
    measured: Measured,
    served: Served,
    kernel: Counters,
}

impl Trial {
    fn count(&self, phase: Phase, cause: Cause) -> u64 {
        self.measured.tally.count(phase, cause)
    }

    /// What holds for every trial whatever happened: nothing is lost, nothing is counted twice.
    fn assert_balanced(&self) {
        let (tally, endings, counts) = (&self.measured.tally, self.measured.endings, &self.served.counts);
        assert_eq!(tally.attempted, tally.ok + tally.failed(), "{:?}", tally.failures());
        let ended = endings.closed_first
            + endings.aborted
            + endings.peer_closed_first
            + endings.peer_reset
            + endings.quit_closed;
        assert_eq!(ended, tally.connected, "{endings:?}");
        let ended = counts.closed_by_peer + counts.closed_first + counts.reset_by_peer + counts.open_at_end;
        assert_eq!(ended, counts.accepted, "{counts:?}");
        let points = self.measured.timeline.points();
        assert_eq!(points.iter().map(|point| point.ok).sum::<u64>(), tally.ok);
        assert_eq!(self.measured.session.count(), tally.ok);
        assert_eq!(self.measured.connect.count(), tally.connected);
    }
}

/// Runs both ends in the calling thread's namespace. `watch` sees the load while it runs, on a thread of its own.
fn run_watched(
    engine: Choice,
    work: &Work,
    server: &ServerWork,
    watch: impl FnOnce(&Control, &ServerControl) + Send,
) -> Trial {
    run_on_threads(engine, 1, work, server, watch)
}

/// The same with as many threads a side.
fn run_on_threads(
    engine: Choice,
    threads: u32,
    work: &Work,
    server: &ServerWork,
    watch: impl FnOnce(&Control, &ServerControl) + Send,
) -> Trial {
    let before = Counters::read();
    let listeners = Listeners::bind_shared(&work.destinations, server.server.backlog, threads).unwrap();
    let (control, server_control) = (Control::default(), ServerControl::default());
    let (measured, served) = std::thread::scope(|scope| {
        let serving = scope.spawn(|| listeners.serve(server, &server_control, None).unwrap());
        scope.spawn(|| watch(&control, &server_control));
        // A panic must not leave the server running: the scope would wait for it for ever.
        let offering = scope.spawn(|| offer_by(engine, threads, work, &control).unwrap());
        let measured = offering.join();
        server_control.stop();
        (measured.unwrap(), serving.join().unwrap())
    });
    assert_eq!(
        (control.live().open, server_control.open()),
        (0, served.counts.open_at_end)
    );
    assert_eq!(control.live().ok, measured.tally.ok);
    assert_eq!(control.live().failed, measured.tally.failed());
    let kernel = Counters::read().since(&before);
    let trial = Trial {
        measured,
        served,
        kernel,
    };
    trial.assert_balanced();
    trial
}

fn run(engine: Choice, work: &Work) -> Trial {
    run_watched(engine, work, &server_of(work), |_, _| ())
}
