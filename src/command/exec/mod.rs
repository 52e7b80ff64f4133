//! `linger exec`: runs a program in the lab, keeps its record, shows what it did to connections, ends as it ended.

mod limits;
mod plan;
mod signals;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};
use console::Term;
use nix::sys::resource::{Resource, getrlimit};

use self::signals::Signals;
use super::{Exit, compare, print, run, tell};
use crate::cli;
use linger::foreign::connects::Choice;
use linger::judge;
use linger::judge::compare::limit::Limit;
use linger::judge::compare::{self as comparing, Options};
use linger::lab::{self, Privilege, Unavailable, privilege};
use linger::record::schema::{ExecEndKind, Record, Status};
use linger::record::store::{self, Store};
use linger::report::{self, Style};
use linger::scenario::plan::TrialPlan;
use linger::trial::exec::{self, Exec};
use linger::trial::{Means, Tuning};

/// As timeout(1) has it.
const TIMED_OUT: u8 = 124;

pub(crate) fn exec(options: &cli::Exec) -> Result<ExitCode> {
    let (limits, repeats) = limits::limits(options)?;
    let plans = plan::plans(options, repeats)?;
    let port = plan::port(options)?;
    // Before any thread is started: only a process of one thread may enter a user namespace.
    let privilege = privilege::acquire();
    let session = Session {
        options,
        port,
        privilege,
        own_descriptors: getrlimit(Resource::RLIMIT_NOFILE).context("reading RLIMIT_NOFILE")?,
        descriptors: lab::limits::raise_descriptor_limit().context("raising RLIMIT_NOFILE")?,
        signals: Signals::install()?,
    };
    match &options.against {
        None => session.alone(&plans),
        Some(base) => session.against(base, &plans, limits),
    }
}

struct Session<'a> {
    options: &'a cli::Exec,
    port: u16,
    privilege: Result<Privilege, Unavailable>,
    /// RLIMIT_NOFILE before it was raised.
    own_descriptors: (u64, u64),
    descriptors: u64,
    signals: Signals,
}

impl Session<'_> {
    /// One command, once or several times.
    fn alone(&self, plans: &[TrialPlan]) -> Result<ExitCode> {
        let mut store = self.store("exec")?;
        let mut records = Vec::new();
        for (index, plan) in plans.iter().enumerate() {
            if plans.len() > 1 {
                tell(format_args!("linger: run {} of {}", index + 1, plans.len()));
            }
            records.push(self.run(&self.options.command, plan, &mut store)?);
            if self.signals.raised() {
                break;
            }
        }
        // The program's last line may have no end.
        tell("");
        tell(run::screen(&records, Style::of(&io::stderr())).trim_end());
        tell_path(store.as_ref());
        let codes: Vec<u8> = records.iter().map(|record| self.code(record)).collect();
        // The first failure is what whoever called wants to know of.
        Ok(codes.into_iter().find(|code| *code != 0).unwrap_or(0).into())
    }

    /// Base and new by turns, each first as often as the other, and then compared.
    fn against(&self, base: &str, plans: &[TrialPlan], limits: Vec<Limit>) -> Result<ExitCode> {
        let base_command = ["/bin/sh", "-c", base].map(OsString::from);
        let sides: [(&[OsString], &str); 2] = [(&base_command, "base"), (&self.options.command, "new")];
        let mut stores = [self.store("exec/base")?, self.store("exec/new")?];
        let mut records: [Vec<Record>; 2] = Default::default();
        'plans: for (index, plan) in plans.iter().enumerate() {
            let order = if index % 2 == 0 { [0, 1] } else { [1, 0] };
            for (turn, side) in order.into_iter().enumerate() {
                let (_, name) = sides[side];
                tell(format_args!(
                    "linger: run {} of {}, {name}",
                    2 * index + turn + 1,
                    2 * plans.len()
                ));
                records[side].push(self.run(sides[side].0, plan, &mut stores[side])?);
                if self.signals.raised() {
                    break 'plans;
                }
            }
        }
        for ((_, name), records) in sides.iter().zip(&records) {
            tell(format_args!("{name}"));
            tell(run::screen(records, Style::of(&io::stderr())).trim_end());
        }
        stores.iter().for_each(|store| tell_path(store.as_ref()));
        let all = || records.iter().flatten();
        if self.signals.raised() {
            return Ok(Exit::Interrupted.into());
        }
        if all().any(|record| record.verdict.status == Status::Unavailable) {
            return Ok(Exit::Unavailable.into());
        }
        self.compare(&records, limits)
    }

    fn compare(&self, [base, new]: &[Vec<Record>; 2], limits: Vec<Limit>) -> Result<ExitCode> {
        let question = Options {
            limits,
            ..Options::default()
        };
        let comparison = comparing::compare(base, new, &question, &|record, cel| judge::is_true(record, cel))
            .map_err(|error| super::Usage(error.to_string()))?;
        // Where stdout is not taken by the records, it is the comparison's; the programs' own goes to stderr.
        if self.options.json {
            let columns = compare::columns(&Term::stderr());
            tell(report::compare::terminal(&comparison, columns).trim_end());
        } else {
            let columns = compare::columns(&Term::stdout());
            print(report::compare::terminal(&comparison, columns).as_bytes())?;
        }
        Ok(comparison.exit_code().into())
    }

    /// One run, judged and written.
    fn run(&self, command: &[OsString], plan: &TrialPlan, store: &mut Option<Store>) -> Result<Record> {
        let asked = Exec {
            command,
            server_command: self.options.server_exec.as_deref(),
            protocol: plan::protocol(self.options),
            port: self.port,
            timeout: self.options.timeout,
            server_within: self.options.server_within,
            stdout_is_taken: self.options.json || self.options.against.is_some(),
            connects: match self.options.trace {
                _ if self.options.no_trace => Choice::Off,
                None => Choice::Automatic,
                Some(cli::TraceWay::Notify) => Choice::Notify,
                Some(cli::TraceWay::Ptrace) => Choice::Trace,
            },
            descriptors: self.own_descriptors,
        };
        let mut record = match &self.privilege {
            Err(why) => exec::unavailable(plan, &asked, why),
            Ok(privilege) => {
                let means = Means {
                    privilege: *privilege,
                    descriptors: self.descriptors,
                    stop: self.signals.flag(),
                    tuning: Tuning::default(),
                };
                exec::conduct(plan, &asked, means, &mut || self.signals.pending())?
            }
        };
        judge::judge(&mut record, &plan.expect);
        if let Some(store) = store {
            store.append(&record)?;
        }
        if self.options.json {
            let mut line = serde_json::to_vec(&record)?;
            line.push(b'\n');
            let mut stdout = io::stdout();
            stdout
                .write_all(&line)
                .and_then(|()| stdout.flush())
                .context("writing a record to stdout")?;
        }
        Ok(record)
    }

    fn store(&self, id: &str) -> Result<Option<Store>> {
        let directory = match (&self.options.out, self.options.json) {
            (Some(directory), _) => directory.clone(),
            (None, false) => PathBuf::from(run::DEFAULT_OUT),
            (None, true) => return Ok(None),
        };
        let path = store::default_path(&directory, id, SystemTime::now());
        Ok(Some(Store::create(&path)?))
    }

    /// The program's own exit code where it ran, ours where it could not.
    fn code(&self, record: &Record) -> u8 {
        let Some(exec) = &record.exec else {
            return if self.signals.raised() {
                Exit::Interrupted as u8
            } else {
                Exit::Unavailable as u8
            };
        };
        if exec.ended.timed_out {
            return TIMED_OUT;
        }
        match (exec.ended.kind, exec.ended.code) {
            (ExecEndKind::Lost, _) | (_, None) => 128 + 9,
            (_, Some(code)) => u8::try_from(code).unwrap_or(u8::MAX),
        }
    }
}

fn tell_path(store: Option<&Store>) {
    if let Some(store) = store {
        tell(format_args!("record → {}", store.path().display()));
    }
}
