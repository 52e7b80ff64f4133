//! `linger show ID`: why, claim, sources, text, and what the model predicts here.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::booted::HOST;
use super::{Exit, print};
use crate::cli::Show;
use linger::lab::{limits, privilege};
use linger::record::schema::Prediction;
use linger::scenario::catalogue;
use linger::scenario::plan::TrialPlan;
use linger::scenario::{self};
use linger::trial::{self, Means, Tuning};

pub(crate) fn show(options: &Show) -> Result<Exit> {
    let plans = scenario::load(std::slice::from_ref(&options.scenario), &options.set, Some(1), None)?;
    let privilege = privilege::acquire();
    let descriptors = limits::raise_descriptor_limit()?;
    let mut text = String::new();
    for plan in &plans {
        writeln!(text, "{}\n\nclaim    {}", plan.id, plan.claim)?;
        for source in &plan.sources {
            writeln!(text, "source   {source}")?;
        }
        writeln!(text, "why      {}\n\nprediction here", plan.why)?;
        for trial in &plan.trials {
            let foreseen = match (&privilege, elsewhere(trial)) {
                (_, true) => {
                    text += &told(trial, "  predicted when it is booted: by its own version and sysctls\n");
                    continue;
                }
                (Ok(privilege), false) => {
                    let stop = AtomicBool::new(false);
                    let means = Means {
                        privilege: *privilege,
                        descriptors,
                        stop: &stop,
                        tuning: Tuning::default(),
                    };
                    trial::foresee(trial, means).map_err(|error| error.to_string())
                }
                (Err(why), false) => Err(why.to_string()),
            };
            text += &prediction(trial, &foreseen);
        }
        writeln!(
            text,
            "\n{}\n\n{}",
            plan.origin,
            source_text(&options.scenario)?.trim_end()
        )?;
    }
    print(text.as_bytes())
}

/// The scenario as it is written.
fn source_text(argument: &str) -> Result<String> {
    match catalogue::text(argument) {
        Some(text) => Ok(text.to_owned()),
        None => std::fs::read_to_string(argument).with_context(|| format!("reading {argument}")),
    }
}

/// Whether another kernel than this one is to run the trial: what is known here holds for this one.
fn elsewhere(trial: &TrialPlan) -> bool {
    trial.kernel.as_deref().is_some_and(|kernel| kernel != HOST)
}

/// What is said of a trial, below its cell.
fn told(trial: &TrialPlan, said: &str) -> String {
    let pairs = trial.cell.iter().map(|(key, value)| format!("{key} = {value}"));
    match trial.cell.is_empty() {
        true => said.to_owned(),
        false => format!("  {}\n{said}", pairs.collect::<Vec<_>>().join(", ")),
    }
}

fn prediction(trial: &TrialPlan, foreseen: &Result<Option<Prediction>, String>) -> String {
    let mut text = String::new();
    match foreseen {
        Ok(None) => text += "  a sequence of steps, each with what is expected of it\n",
        Ok(Some(prediction)) => {
            for step in &prediction.because {
                text += &format!("  - {step}\n");
            }
            if let Some(capacity) = prediction.capacity {
                text += &format!("  capacity {capacity}");
                if let Some(rate) = prediction.sustained_per_second {
                    text += &format!(", sustained {rate:.1} conn/s");
                }
                text += "\n";
            }
        }
        Err(why) => text += &format!("  unavailable: {why}\n"),
    }
    told(trial, &text)
}
