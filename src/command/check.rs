//! `linger check`: what this machine allows, with the remedy for each no.

use anyhow::Result;
use serde_json::json;

use super::{Exit, print};
use crate::cli::Check;
use linger::lab::preflight::{self, Check as Row, State};
use linger::machine::qemu::Qemu;

pub(crate) fn check(options: &Check) -> Result<Exit> {
    let mut checks = preflight::checks();
    checks.push(emulator());
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

/// What `--kernel` needs; everything else does without.
fn emulator() -> Row {
    let (state, found, remedy) = match Qemu::find().map(|qemu| (qemu.version(), qemu)) {
        Ok((Some(version), _)) => (State::Yes, version, None),
        Ok((None, qemu)) => (
            State::No,
            format!("{} does not run", qemu.path().display()),
            Some("install it again; only --kernel needs it".to_owned()),
        ),
        Err(error) => (
            State::No,
            "not found; only --kernel needs it".to_owned(),
            Some(error.to_string()),
        ),
    };
    Row {
        name: "QEMU",
        state,
        found,
        remedy,
    }
}
