//! The threads of both ends: how many there are, what each is told, and how they come to their end.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use super::watch::{TELL_EVERY, Watch};
use super::{Event, TrialError, Tuning};
use crate::lab::Lab;
use crate::load::server::{Listeners, Served, ServerControl, ServerWork};
use crate::load::{Choice, Clock, Control, Cpus, EngineError, Measured, Pacing, Work, choice, threads};
use crate::scenario::plan::TrialPlan;

/// What a plan and a machine come to: threads, pacing, CPUs.
#[derive(Clone, Debug)]
pub(super) struct Crew {
    pub(super) client: u32,
    pub(super) server: u32,
    pub(super) pacing: Pacing,
    pub(super) pin: Option<Cpus>,
}

impl Crew {
    pub(super) fn of(plan: &TrialPlan, tuning: Tuning) -> Self {
        let cpus = Cpus::allowed();
        let client = choice::client_threads(&plan.load, cpus.count());
        let server = choice::server_threads(plan.server.threads, client);
        let threads = (client + if plan.server.listen { server } else { 0 }) as usize;
        Self {
            client,
            server,
            pacing: tuning.pacing.unwrap_or(Pacing::for_cpus(cpus.count(), threads)),
            pin: tuning.pin.then_some(cpus),
        }
    }
}

/// The server's thread.
pub(super) struct Serving {
    pub(super) control: Arc<ServerControl>,
    thread: JoinHandle<Result<Served, EngineError>>,
}

impl Serving {
    pub(super) fn start(plan: &TrialPlan, lab: &Lab, listeners: Listeners, crew: &Crew) -> Result<Self, TrialError> {
        let work = ServerWork::of_load(plan.server.clone(), plan.close.clone(), &plan.load);
        Self::begin(work, lab, listeners, crew)
    }

    pub(super) fn begin(work: ServerWork, lab: &Lab, listeners: Listeners, crew: &Crew) -> Result<Self, TrialError> {
        let cpus = crew.pin.as_ref().map(|cpus| cpus.from(crew.client as usize));
        let control = Arc::new(ServerControl::default());
        let shared = Arc::clone(&control);
        let thread = lab
            .server
            .spawn("server", move || listeners.serve(&work, &shared, cpus.as_ref()))?;
        Ok(Self { control, thread })
    }

    pub(super) fn stop(self) -> Result<Served, TrialError> {
        self.control.stop();
        Ok(join(self.thread)?)
    }
}

/// The client's thread, or the one that waits for the client's threads.
pub(super) struct Loading {
    pub(super) control: Arc<Control>,
    done: mpsc::Receiver<()>,
    thread: JoinHandle<Result<(Measured, &'static str), EngineError>>,
}

impl Loading {
    pub(super) fn start(
        lab: &Lab,
        work: Work,
        crew: &Crew,
        engine: Choice,
        origin: Instant,
    ) -> Result<Self, TrialError> {
        let control = Arc::new(Control::default());
        let means = threads::Means {
            threads: crew.client,
            engine,
            pin: crew.pin.clone(),
        };
        let (finished, done) = mpsc::channel();
        let shared = Arc::clone(&control);
        let thread = lab.client.spawn("client", move || {
            std::thread::sleep(origin.saturating_duration_since(Instant::now()));
            let result = threads::run(&work, &means, &Clock::starting_at(origin), &shared);
            // The conductor may have given up waiting; then nobody needs to know.
            let _ = finished.send(());
            result
        })?;
        Ok(Self { control, done, thread })
    }

    /// Waits for the load's end and tells of it meanwhile.
    pub(super) fn finish(
        self,
        watch: &Watch<'_>,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(Measured, &'static str), TrialError> {
        while let Err(mpsc::RecvTimeoutError::Timeout) = self.done.recv_timeout(TELL_EVERY) {
            watch.tell(false, tell);
            if watch.stopped() {
                self.control.stop();
            }
        }
        Ok(join(self.thread)?)
    }
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
