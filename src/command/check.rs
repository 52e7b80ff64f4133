//! `linger check`: what this machine allows, with the remedy for each no.

use anyhow::Result;
use serde_json::json;

use super::{Exit, print};
use crate::cli::Check;
use linger::lab::preflight::{self, State};

pub(crate) fn check(options: &Check) -> Result<Exit> {
    let checks = preflight::checks();
    let mut text = String::new();
    for check in &checks {
        let state = match check.state {
            State::Yes => "yes",
            State::No => "no",
            State::Unknown => "unknown",
        };
        if options.json {
            let line = json!({"name": check.name, "state": state, "found": check.found, "remedy": check.remedy});
            text += &format!("{line}\n");
            continue;
        }
        text += &format!("{:<8} {:<34} {}\n", state, check.name, check.found);
        if let Some(remedy) = &check.remedy {
            text += &format!("{:<8} {:<34} → {remedy}\n", "", "");
        }
    }
    print(text.as_bytes())?;
    Ok(if preflight::allows_a_lab(&checks) {
        Exit::Met
    } else {
        Exit::Unavailable
    })
}
