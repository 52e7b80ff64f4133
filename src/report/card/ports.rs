//! The card's lines about ports: how many were taken, and whether they will do.

use super::super::number;
use super::super::table::wrapped;
use super::super::terminal::BODY;
use super::percent;
use crate::record::schema::{ExecForecast, ExecForecastOf, ExecRan};

pub(super) fn lines(exec: &ExecRan) -> Vec<String> {
    let ports = &exec.ports;
    let mut taken = format!(
        "{} of {} held at the end",
        number::count(ports.held_at_end),
        number::count(ports.usable)
    );
    if let (Some(peak), Some(share)) = (ports.peak_at_most, ports.share_at_most) {
        taken.push_str(&format!(
            "; at most {} ({}) in use at once",
            number::count(peak),
            percent(share)
        ));
    }
    let lines = [Some(taken), used_up(exec), forecast(exec)];
    lines
        .into_iter()
        .flatten()
        .flat_map(|line| wrapped(&line, BODY))
        .collect()
}

fn used_up(exec: &ExecRan) -> Option<String> {
    let calls = exec.ports.not_found.filter(|calls| *calls > 0)?;
    Some(format!(
        "used up in this run: {} found none",
        number::things(calls, "connect() call")
    ))
}

fn forecast(exec: &ExecRan) -> Option<String> {
    let opened = exec.connections.opened.filter(|opened| *opened > 0)?;
    let share = exec.connections.client_first_share?;
    let held = (share * opened as f64).round() as u64;
    let Some(forecast) = &exec.forecast else {
        return Some("too few were opened in place of others for a rate: no ceiling is told".to_owned());
    };
    Some(match (forecast.ceiling_per_second, forecast.exhausted_after_seconds) {
        (Some(ceiling), after) => {
            let end = match after {
                _ if exec.ports.not_found.is_some_and(|calls| calls > 0) => String::new(),
                Some(seconds) => format!(": kept up, used up after {}", number::forecast(seconds)),
                None => ": not used up at this rate".to_owned(),
            };
            format!("{}; {} is the ceiling{end}", rate(forecast), number::rate(ceiling))
        }
        (None, _) if held == 0 => "no port stays held: ports set no ceiling".to_owned(),
        (None, _) => format!(
            "{} of {} stay held, too few to set a ceiling",
            number::count(held),
            number::things(opened, "port")
        ),
    })
}

/// The rate that the forecast goes on with, and what it is of.
fn rate(forecast: &ExecForecast) -> String {
    let holding = number::per_second_of(forecast.holding_per_second);
    match (forecast.of, forecast.of_seconds) {
        (Some(ExecForecastOf::Replacements), Some(seconds)) => {
            format!("{holding} ports/s held while it opened ({})", number::seconds(seconds))
        }
        _ => format!("{holding} ports/s held, over its whole life"),
    }
}
