//! A server of somebody else's in place of the built-in one: started in the lab's server namespace before anything is
//! counted, told where to listen, stopped when the books are made up.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Means, TrialError};
use crate::foreign::{CommandLine, Group, Lives, Program, Server, ServerError, Streams, Threads, Used};
use crate::lab::{Lab, Unavailable};
use crate::record::schema::{ProgramUsed, ServerProgram};
use crate::scenario::plan::TrialPlan;

/// How long a server may take until it listens: a database makes its tables first.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// What a program finds in its environment of where the server is to listen, or listens.
pub(super) fn told_where(server: SocketAddr) -> Vec<(OsString, OsString)> {
    [
        ("LINGER_SERVER", server.to_string()),
        ("LINGER_HOST", server.ip().to_string()),
        ("LINGER_PORT", server.port().to_string()),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into()
}

#[derive(Debug)]
pub(super) struct RealServer {
    command: String,
    server: Server,
    before_load: Threads,
    during_load: Option<Used>,
}

impl RealServer {
    /// The plan's program, which listens on `address`; None where the built-in server serves.
    pub(super) fn start(
        plan: &TrialPlan,
        lab: &Lab,
        means: Means<'_>,
        address: SocketAddr,
    ) -> Result<Option<Self>, TrialError> {
        let Some(command) = plan.server.exec.clone() else {
            return Ok(None);
        };
        let program = Program {
            command: CommandLine::Shell(command.clone()),
            environment: told_where(address),
            directory: None,
            streams: Streams::Kept,
            group: Group::Own,
            lives: Lives::AsTheProgram,
            names: vec![],
            descriptors: None,
            contained: true,
            connects: None,
        };
        let stopped = || means.stop.load(Ordering::Relaxed);
        match Server::start(program, &lab.server, means.privilege, address, STARTS_WITHIN, &stopped) {
            Ok(server) => Ok(Some(Self {
                command,
                server,
                before_load: Threads::default(),
                during_load: None,
            })),
            Err(ServerError::Lab(why)) => Err(TrialError::Unavailable(why)),
            Err(ServerError::Look(error)) => Err(TrialError::Look(error)),
            Err(error) => Err(TrialError::Unavailable(Unavailable {
                reason: error.to_string(),
                remedy:
                    "let server.exec run in the foreground and listen on $LINGER_HOST:$LINGER_PORT, or install what it \
                         starts"
                        .into(),
            })),
        }
    }

    /// What it does from now on, it does for the load.
    pub(super) fn load_begins(&mut self) {
        self.before_load = self.server.threads();
    }

    /// The load has ended.
    pub(super) fn load_ends(&mut self) {
        self.during_load = self.server.threads().since(&self.before_load);
    }

    /// Ends it with all its processes.
    pub(super) fn stop(self) -> ServerProgram {
        let stopped = self.server.stop();
        let ended = stopped.ended;
        ServerProgram {
            command: self.command,
            ended: ended.as_ref().map(|ended| ended.how.to_string()),
            ended_early: stopped.early,
            killed: stopped.killed,
            cpu_seconds: ended.as_ref().map(|ended| ended.cpu_seconds),
            during_load: self.during_load.map(|used| ProgramUsed {
                cpu_seconds: used.cpu_seconds,
                waited_seconds: used.waited_seconds,
                busiest_thread_seconds: used.busiest_seconds,
                threads: used.threads,
            }),
            trouble: ended
                .map(|ended| ended.trouble.into_iter().map(str::to_owned).collect())
                .unwrap_or_default(),
        }
    }
}
