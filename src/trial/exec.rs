//! Conducts a program of somebody else's: lab → server (built-in or real) → observer and witness → the program → rest and
//! last look → books. The program is not touched; the lab is the instrument.

mod books;
mod forecast;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::crew::{Crew, Serving};
use super::prepared::{each_with_each, effective_sysctls, facts, listen, server_eyes};
use super::program::told_where;
use super::watch::Watch;
use super::{Means, TrialError, Tuning, rest};
use crate::foreign::connects::Choice;
use crate::foreign::{CommandLine, Ended, Group, Lives, Program, Running, Server, ServerError, StartError, Streams};
use crate::lab::machine::Machine;
use crate::lab::{Lab, Privilege, Side, Unavailable};
use crate::load::server::{Served, ServerWork};
use crate::model::Facts;
use crate::observe::closings::{Destinations, Witness};
use crate::observe::{self, Eyes, Observed, Observer};
use crate::record::schema::{Closings, Record, SideSysctls};
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Protocol;

/// The server's name in the program's /etc/hosts.
pub const SERVER_NAME: &str = "server.linger";
/// Between two looks at whether signals came for the program.
const PASS_EVERY: Duration = Duration::from_millis(10);
/// From SIGTERM to SIGKILL when the program's time is over.
const GRACE: Duration = Duration::from_secs(2);
/// Ports below it are for root alone, unless the namespace says otherwise.
const PRIVILEGED: u16 = 1024;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// The program and its arguments; the first is there.
    pub command: &'a [OsString],
    /// A real server's command line; None: the built-in server, as the plan says.
    pub server_command: Option<&'a str>,
    /// What the program is told that the server speaks.
    pub protocol: Protocol,
    pub port: u16,
    /// How long the program may take; none, or 0: as long as it likes.
    pub timeout: Option<Duration>,
    /// How long a real server may take until it listens.
    pub server_within: Duration,
    /// Whether the program's stdout goes to stderr.
    pub stdout_is_taken: bool,
    /// Whether and how the program's connect() calls are observed.
    pub connects: Choice,
    /// RLIMIT_NOFILE, soft and hard, before linger raised it.
    pub descriptors: (u64, u64),
}

impl Exec<'_> {
    /// `echo` and so on; `none` where a real server speaks who knows what.
    fn protocol_name(&self) -> String {
        let name = serde_json::to_value(self.protocol).unwrap_or_default();
        name.as_str().unwrap_or("none").to_owned()
    }

    fn command_words(&self) -> Vec<String> {
        let words = self.command.iter().map(|word| word.to_string_lossy().into_owned());
        words.collect()
    }
}

/// Everything that was measured, not yet summed up.
#[derive(Debug)]
struct Results {
    lab: String,
    shared: bool,
    sysctl: SideSysctls,
    facts: Facts,
    server: SocketAddr,
    server_ended: Option<String>,
    end: End,
    served: Option<Served>,
    observed: Observed,
    closings: Option<Closings>,
    unsettled: Option<String>,
    unknown: Vec<String>,
    notes: Vec<String>,
    interrupted: bool,
}

/// How the program came to its end.
#[derive(Debug)]
enum End {
    Ran { ended: Box<Ended>, timed_out: bool },
    NotStarted { why: String, not_found: bool },
}

/// Runs a program in a lab of its own. `signals` gives those that came for it since it was last asked.
///
/// A lab or a real server that cannot be had gives a record with the verdict `unavailable`; a program that cannot be
/// started gives a whole record that says so.
///
/// # Errors
/// The machine refused what every trial needs (threads, epoll, /proc).
pub fn conduct(
    plan: &TrialPlan,
    exec: &Exec<'_>,
    means: Means<'_>,
    signals: &mut dyn FnMut() -> Vec<i32>,
) -> Result<Record, TrialError> {
    let started_at = SystemTime::now();
    let machine = Machine::here();
    match run(plan, exec, means, &machine, signals) {
        Ok(results) => Ok(books::record(plan, exec, &machine, started_at, results)),
        Err(TrialError::Unavailable(why)) => Ok(books::unavailable(plan, exec, &machine, started_at, &why)),
        Err(error) => Err(error),
    }
}

/// The record of a program for whose lab the means could not be had.
#[must_use]
pub fn unavailable(plan: &TrialPlan, exec: &Exec<'_>, why: &Unavailable) -> Record {
    books::unavailable(plan, exec, &Machine::here(), SystemTime::now(), why)
}

fn run(
    plan: &TrialPlan,
    exec: &Exec<'_>,
    means: Means<'_>,
    machine: &Machine,
    signals: &mut dyn FnMut() -> Vec<i32>,
) -> Result<Results, TrialError> {
    let lab = Lab::build(plan, means.privilege)?;
    if exec.server_command.is_some() && exec.port < PRIVILEGED {
        // The server is not root in the lab, as it would be elsewhere. Absent before Linux 4.11.
        let _ = lab.server.set_sysctl("net.ipv4.ip_unprivileged_port_start", "0");
    }
    let sysctl = effective_sysctls(&lab)?;
    let destinations = each_with_each(lab.server.addresses(), exec.port, plan.server.ports);
    let server = destinations[0];
    let crew = Crew::of(plan, Tuning::default());
    let real = exec
        .server_command
        .map(|line| start_server(line, exec, &lab, server, means))
        .transpose()?;
    let listeners = match &real {
        Some(_) => None,
        None => listen(plan, &lab, &destinations, crew.server)?,
    };
    let mut client_eyes = lab.client.run(Eyes::open)??;
    let facts = facts(&lab, machine, &sysctl, &destinations, &mut client_eyes)?;
    let server_eyes = server_eyes(&lab)?;
    let origin = Instant::now();
    let config = observe::Config {
        ports: true,
        server_endpoints: destinations.clone(),
        tuples: false,
        origin,
    };
    let observer = Observer::start(client_eyes, server_eyes, config)?;
    let mut unknown = Vec::new();
    let witness = match lab
        .client
        .run(|| Witness::open(Destinations::To(destinations.clone()), origin))?
    {
        Ok(witness) => Some(witness),
        Err(error) => {
            unknown.push(error.to_string());
            None
        }
    };
    let work = ServerWork::by_itself(plan.server.clone(), plan.close.clone(), plan.load.response_bytes);
    let serving = listeners
        .map(|listeners| Serving::begin(work, &lab, listeners, &crew))
        .transpose()?;

    let (end, notes) = attend(exec, &lab, server, means.privilege, signals)?;

    let control = serving.as_ref().map(|serving| &*serving.control);
    let watch = Watch {
        origin,
        stop: means.stop,
        observer: &observer,
        control: Arc::default(),
    };
    let unsettled = rest::wait(control, 0, &watch, &mut |_| {})?;
    let closings = witness.map(Witness::finish);
    let served = serving.map(Serving::stop).transpose()?;
    Ok(Results {
        lab: lab.description().to_owned(),
        shared: lab.shares_namespace(),
        sysctl,
        facts,
        server,
        server_ended: real.and_then(stop_server),
        end,
        served,
        observed: observer.finish(),
        closings,
        unsettled,
        unknown,
        notes,
        interrupted: means.stop.load(Ordering::Relaxed),
    })
}

/// The program's surroundings, alike for the client and for a real server.
fn program(command: CommandLine, exec: &Exec<'_>, server: SocketAddr) -> Program {
    let mut environment = told_where(server);
    environment.push(("LINGER_PROTOCOL".into(), exec.protocol_name().into()));
    Program {
        command,
        environment,
        directory: None,
        streams: Streams::Inherited,
        group: Group::Ours,
        lives: Lives::AsTheProgram,
        names: vec![(SERVER_NAME.to_owned(), server.ip())],
        descriptors: Some(exec.descriptors),
        contained: true,
        connects: None,
    }
}

fn start_server(
    line: &str,
    exec: &Exec<'_>,
    lab: &Lab,
    address: SocketAddr,
    means: Means<'_>,
) -> Result<Server, TrialError> {
    let program = Program {
        streams: Streams::Kept,
        group: Group::Own,
        lives: Lives::AsItsLast,
        ..program(CommandLine::Shell(line.to_owned()), exec, address)
    };
    let stopped = || means.stop.load(Ordering::Relaxed);
    let started = Server::start(
        program,
        &lab.server,
        means.privilege,
        address,
        exec.server_within,
        &stopped,
    );
    started.map_err(|error| match error {
        ServerError::Lab(why) => TrialError::Unavailable(why),
        ServerError::Look(error) => TrialError::Look(error),
        error => TrialError::Unavailable(Unavailable {
            reason: error.to_string(),
            remedy: "let it run in the foreground and listen on $LINGER_HOST:$LINGER_PORT, or name its port by --port"
                .into(),
        }),
    })
}

/// Ends a real server; says how, where that was not as it should be.
fn stop_server(server: Server) -> Option<String> {
    let stopped = server.stop();
    match &stopped.ended {
        None => Some("did not end, not even by SIGKILL".to_owned()),
        Some(ended) if stopped.early => Some(format!("{}, before it was told to", ended.how)),
        Some(_) if stopped.killed => Some("did not end by SIGTERM and was killed".to_owned()),
        Some(_) => None,
    }
}

/// Starts the program and waits for its end.
fn attend(
    exec: &Exec<'_>,
    lab: &Lab,
    server: SocketAddr,
    privilege: Privilege,
    signals: &mut dyn FnMut() -> Vec<i32>,
) -> Result<(End, Vec<String>), TrialError> {
    let command = CommandLine::Argv(exec.command[0].clone(), exec.command[1..].to_vec());
    let mut program = program(command, exec, server);
    program.connects = Some(exec.connects);
    if exec.stdout_is_taken {
        program.streams = Streams::OnStderr;
    }
    let mut running = match start(program, &lab.client, privilege)? {
        Ok(running) => running,
        Err(end) => return Ok((end, vec![])),
    };
    let mut notes = Vec::new();
    if !running.is_contained() {
        notes.push("no PID namespace could be had: what the program left was found by its parents".to_owned());
    }
    let timeout = exec.timeout.filter(|timeout| !timeout.is_zero());
    let over = timeout.map(|timeout| Instant::now() + timeout);
    let mut timed_out = false;
    while running.wait(PASS_EVERY).is_none() {
        for signal in signals() {
            running.signal(signal);
        }
        if over.is_some_and(|over| Instant::now() >= over) {
            timed_out = true;
            if running.end(GRACE) {
                notes.push("it did not end by SIGTERM and was killed".to_owned());
            }
            break;
        }
    }
    let ended = match running.wait(Duration::ZERO) {
        Some(ended) => ended.clone(),
        None => {
            notes.push("not even SIGKILL ended it: a process hangs in a system call".to_owned());
            Ended::lost()
        }
    };
    notes.extend(ended.trouble.iter().map(|&trouble| trouble.to_owned()));
    let ended = Box::new(ended);
    Ok((End::Ran { ended, timed_out }, notes))
}

/// That a program cannot be started is a result.
fn start(program: Program, side: &Side, privilege: Privilege) -> Result<Result<Running, End>, TrialError> {
    match program.start(side, privilege) {
        Ok(running) => Ok(Ok(running)),
        Err(StartError::Lab(why)) => Err(TrialError::Unavailable(why)),
        Err(error) => Ok(Err(End::NotStarted {
            not_found: matches!(error, StartError::NotFound { .. }),
            why: error.to_string(),
        })),
    }
}
