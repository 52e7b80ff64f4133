//! What is wrong with limits before anything has run: measuring for minutes to learn of a misspelt metric is in vain.

use anyhow::Result;

use crate::cli::Exec;
use crate::command::{Usage, compare};
use linger::judge::compare::limit::Limit;
use linger::judge::compare::{Options, known};

/// Repeats of base and new, where nobody says: enough for the rank test to tell.
const REPEATS_TO_COMPARE: u32 = 10;

/// What only the load of a scenario has.
const NOT_OF_A_PROGRAM: [&str; 11] = [
    "load",
    "fill",
    "residual",
    "requests",
    "offered",
    "outcomes",
    "latency",
    "rates",
    "pool",
    "steps",
    "port_reuse_seconds",
];

/// What is known of requests, which are counted by the built-in server.
const OF_THE_BUILT_IN_SERVER: [&str; 4] = [
    "server",
    "exec.connections.requests",
    "exec.connections.requests_per_second",
    "exec.connections.per_request",
];

/// The limits of --fail-if, and how often base and new run.
///
/// # Errors
/// A limit that cannot be read, one on what no record of this command has, or too few repeats for them.
pub(super) fn limits(options: &Exec) -> Result<(Vec<Limit>, u32)> {
    let limits = options.fail_if.iter().map(|text| {
        let limit = compare::limit(text)?;
        check(&limit, options).map_err(|why| Usage(format!("--fail-if `{text}`: {why}")))?;
        Ok(limit)
    });
    let question = Options {
        limits: limits.collect::<Result<Vec<_>>>()?,
        ..Options::default()
    };
    let ratios = question.limits.iter().filter(|limit| limit.metric().is_some()).count();
    let fewest = u32::try_from(question.fewest_repeats(1)).unwrap_or(u32::MAX);
    let repeats = match (options.repeat, &options.against) {
        (Some(repeats), Some(_)) if ratios > 0 && repeats < fewest => {
            let limits = if ratios == 1 {
                "a limit on a ratio takes"
            } else {
                "limits on ratios take"
            };
            return Err(Usage(format!(
                "--repeat {repeats} cannot tell: {ratios} {limits} {fewest} runs a side; expected --repeat {fewest} or more"
            ))
            .into());
        }
        (Some(repeats), _) => repeats,
        (None, Some(_)) => REPEATS_TO_COMPARE.max(fewest),
        (None, None) => 1,
    };
    Ok((question.limits, repeats))
}

fn check(limit: &Limit, options: &Exec) -> Result<(), String> {
    for path in known::paths(limit)? {
        let is_of = |key: &&&str| {
            path.strip_prefix(**key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if let Some(section) = NOT_OF_A_PROGRAM.iter().find(is_of) {
            return Err(format!(
                "{path}: `{section}` is of a scenario's load, a program's record has exec, connects, closings, time_wait, server"
            ));
        }
        if options.server_exec.is_some() && OF_THE_BUILT_IN_SERVER.iter().any(|key| is_of(&key)) {
            return Err(format!(
                "{path} is of the built-in server, and --server-exec puts a real one in its place"
            ));
        }
        if options.no_trace && is_of(&&"connects") {
            return Err(format!(
                "{path} is of the program's connect() calls, and --no-trace leaves them alone"
            ));
        }
    }
    Ok(())
}
