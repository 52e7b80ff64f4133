//! `linger list`: the catalogue, and whether this machine can run it.

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{Exit, print};
use crate::cli::List;
use linger::lab::{Unavailable, limits, privilege};
use linger::report::{self, Style};
use linger::scenario::catalogue;
use linger::scenario::plan::Plan;
use linger::trial::{self, Means, TrialError, Tuning};

pub(crate) fn list(options: &List) -> Result<Exit> {
    let plans = catalogue::all()?;
    let privilege = privilege::acquire();
    let descriptors = limits::raise_descriptor_limit()?;
    let style = Style::of(&io::stdout());
    let mut text = String::new();
    for plan in &plans {
        let obstacle = match &privilege {
            Ok(privilege) => {
                let means = Means {
                    privilege: *privilege,
                    descriptors,
                    stop: &AtomicBool::new(false),
                    tuning: Tuning::default(),
                };
                obstacle(plan, means)?
            }
            Err(why) => Some(why.clone()),
        };
        text += &if options.json {
            as_json(plan, obstacle.as_ref())
        } else {
            as_text(plan, obstacle.as_ref(), style)
        };
    }
    print(text.as_bytes())
}

/// Why the first of the scenario's labs cannot be had here; None when it can: it was built.
fn obstacle(plan: &Plan, means: Means<'_>) -> Result<Option<Unavailable>> {
    let Some(trial) = plan.trials.first() else {
        return Ok(None);
    };
    if let Err(why) = super::needs::require(trial) {
        return Ok(Some(why));
    }
    match trial::foresee(trial, means) {
        Ok(_) => Ok(None),
        Err(TrialError::Unavailable(why)) => Ok(Some(why)),
        Err(error) => Err(error.into()),
    }
}

fn as_json(plan: &Plan, obstacle: Option<&Unavailable>) -> String {
    let first = plan.trials.first();
    let line = json!({
        "id": plan.id,
        "claim": plan.claim,
        "holds": first.and_then(|trial| trial.holds.as_ref()),
        "figure": first.and_then(|trial| trial.figure.as_ref()),
        "sources": plan.sources,
        "alone": first.is_some_and(|trial| trial.alone),
        "trials": plan.trials.len(),
        "expected_seconds": plan.expected_duration().as_secs_f64(),
        "available": obstacle.is_none(),
        "reason": obstacle.map(|why| &why.reason),
        "remedy": obstacle.map(|why| &why.remedy),
    });
    format!("{line}\n")
}

fn as_text(plan: &Plan, obstacle: Option<&Unavailable>, style: Style) -> String {
    let trials = match plan.trials.len() {
        1 => "1 trial".to_owned(),
        count => format!("{count} trials"),
    };
    let mut text = format!(
        "{:<26} {:>9}  ~{:<7} {}\n",
        plan.id,
        trials,
        rounded(plan.expected_duration()),
        if obstacle.is_none() {
            "runs here"
        } else {
            "unavailable here"
        },
    );
    let claim = report::with_sources(&plan.claim, &plan.sources.join("; "));
    let why = obstacle.map(ToString::to_string);
    for line in [Some(claim), why]
        .iter()
        .flatten()
        .flat_map(|said| style.wrapped(said, 4))
    {
        text += &format!("    {line}\n");
    }
    text
}

/// To the second below two minutes, to the minute above.
fn rounded(duration: Duration) -> String {
    match duration.as_secs_f64().ceil() as u64 {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}
