//! `linger check`: what this machine allows, with the remedy for each no.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use serde_json::json;

use super::{Exit, print};
use crate::cli::Check;
use linger::lab::preflight::{self, Check as Row, State};
use linger::lab::{limits, privilege};
use linger::load::uring;
use linger::machine::qemu::Qemu;
use linger::scenario;
use linger::trial::{self, Means, TrialError, Tuning};

pub(crate) fn check(options: &Check) -> Result<Exit> {
    let mut checks = preflight::checks();
    checks.extend([address_translation()?, io_uring(), emulator(), kvm()]);
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

/// What topology `nat` needs: its lab is built, as a scenario's would be, and thrown away.
fn address_translation() -> Result<Row> {
    const SCENARIO: &str = "id = \"nat\"\nclaim = \"clients can share an address\"\n\
        [lab]\ntopology = \"nat\"\nnat_ports = \"40000 40015\"\n[[step]]\nlisten = {}\n";
    let plan = scenario::from_text("check", SCENARIO)?;
    let foreseen = privilege::acquire().map(|privilege| {
        let means = Means {
            privilege,
            descriptors: limits::raise_descriptor_limit().unwrap_or(0),
            stop: &AtomicBool::new(false),
            tuning: Tuning::default(),
        };
        plan.trials
            .iter()
            .try_for_each(|trial| trial::foresee(trial, means).map(drop))
    });
    let (state, found, remedy) = match foreseen {
        Ok(Ok(())) => (State::Yes, "nft made a router's rules".to_owned(), None),
        Ok(Err(TrialError::Unavailable(why))) => (State::No, why.reason, Some(why.remedy)),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => (
            State::Unknown,
            "not tried: it takes a network namespace".to_owned(),
            None,
        ),
    };
    Ok(Row {
        name: "topology nat (nft)",
        state,
        found,
        remedy,
    })
}

/// What the engine of `--engine uring` needs; everything else does without.
fn io_uring() -> Row {
    let (state, found, remedy) = match uring::probe() {
        Ok(()) => (State::Yes, "has all that the engine uring needs".to_owned(), None),
        Err(why) => (
            State::No,
            why,
            Some(
                "use Linux 6.7 or later with kernel.io_uring_disabled = 0; the engine epoll serves without".to_owned(),
            ),
        ),
    };
    Row {
        name: "io_uring",
        state,
        found,
        remedy,
    }
}

/// Whether booted kernels run on the processor itself in real time, by the probe that decides it when one is booted.
fn kvm() -> Row {
    let (state, found, remedy) = match Qemu::find().map(|qemu| qemu.kvm()) {
        Ok(Ok(())) => (State::Yes, "executes instructions as fast as the processor".to_owned(), None),
        Ok(Err(why)) => (
            State::No,
            why,
            Some(
                "load kvm_intel or kvm_amd, join the group kvm, or have a virtual machine's host pass it on; without it \
                 --kernel emulates"
                    .to_owned(),
            ),
        ),
        Err(_) => (State::Unknown, "not tried: it takes QEMU".to_owned(), None),
    };
    Row {
        name: "KVM",
        state,
        found,
        remedy,
    }
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
