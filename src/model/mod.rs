//! The prediction: what the kernel will do, before it is asked.
//!
//! Pure: from a plan and the facts of a lab (kernel version, HZ, effective sysctls, ports already bound) to
//! [`Prediction`]. It rests on docs/model.md; what it gets wrong shows as the record's residual.
#![forbid(unsafe_code)]

pub mod hold;
pub mod kernel;
mod pool;
pub mod ports;
pub mod residual;
mod search;
mod wheel;

use std::collections::BTreeMap;

use crate::record::schema::Prediction;
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::{Order, Source};
use crate::tcp::Closer;
use hold::{Held, Time};
use kernel::KernelVersion;

/// What must be known of a lab to predict.
#[derive(Clone, Debug)]
pub struct Facts {
    pub kernel: KernelVersion,
    /// Timer ticks per second.
    pub hz: Option<u32>,
    /// Effective sysctls of the client's and the server's namespace.
    pub client: BTreeMap<String, String>,
    pub server: BTreeMap<String, String>,
    /// Ports that explicitly bound or listening sockets of the client's namespace hold.
    pub bound: Vec<u16>,
    /// Whether each pair of source and destination has an end in 127/8 or is ::1, which tcp_tw_reuse=2 asks for.
    pub loopback: bool,
}

/// A sysctl as a number, if the kernel has it.
pub(crate) fn number(sysctls: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    sysctls.get(name)?.trim().parse().ok()
}

/// Predicts a trial.
#[must_use]
pub fn predict(plan: &TrialPlan, facts: &Facts) -> Prediction {
    let mut because = Vec::new();
    let usable_ports = ports::usable(plan, facts, &mut because);
    if plan.server.exec.is_some() && plan.close.closer == Closer::Server {
        because.push("the server is a program of its own: that it closes first, and when, is taken on trust".into());
    }
    because.extend(search::told(plan, facts.kernel));
    let tuples = four_tuples(plan, facts, usable_ports, &mut because);
    if let Some(pool) = &plan.pool {
        return pool::predict(plan, pool, facts, (usable_ports, tuples), because);
    }
    let (after_close, undetermined) = match hold::after_close(plan, facts, tuples, &mut because) {
        Held::Free => (None, None),
        Held::For(time) => (Some(time), None),
        Held::Undetermined(why) => (None, Some(why.to_owned())),
    };
    let open_at_once = u64::from(plan.load.in_flight);

    let limited = after_close.is_some() || open_at_once > tuples;
    if !limited && undetermined.is_none() {
        because.push(format!(
            "a port is free again as soon as its connection is closed, and at most {open_at_once} are open at once: \
             ports do not limit this load"
        ));
    }
    let nominal = plan.held_open().as_secs_f64() + after_close.unwrap_or_default().nominal;
    let mut prediction = Prediction {
        usable_ports,
        capacity: (limited && undetermined.is_none()).then_some(tuples),
        hold_seconds: nominal,
        sustained_per_second: (limited && undetermined.is_none() && nominal > 0.0).then(|| tuples as f64 / nominal),
        first_failure_at: None,
        first_failure_attempt: None,
        undetermined,
        pool: None,
        because,
    };
    if limited && prediction.undetermined.is_none() {
        first_failure(
            plan,
            facts.kernel,
            tuples,
            after_close.unwrap_or_default(),
            &mut prediction,
        );
    }
    prediction
}

/// Whether bind() takes ports for one socket alone, whatever the destination, and leaves those in TIME_WAIT.
fn binds_alone(plan: &TrialPlan, facts: &Facts) -> bool {
    match plan.client.source {
        Source::BindAddress => true,
        Source::Owned => !facts.kernel.at_least(6, 3),
        _ => false,
    }
}

/// Four-tuples over all sources and destinations.
fn four_tuples(plan: &TrialPlan, facts: &Facts, usable_ports: u64, because: &mut Vec<String>) -> u64 {
    let sources = u64::from(plan.client.addresses);
    let destinations = u64::from(plan.server.addresses) * u64::from(plan.server.ports);
    if binds_alone(plan, facts) {
        let call = match plan.client.source {
            Source::Owned => "bind(address, port) without SO_REUSEADDR (before Linux 6.3)",
            _ => "bind(address, 0)",
        };
        because.push(format!(
            "{call} takes one pool of ports per source address, whatever the destination: \
             {usable_ports} ports × {}",
            counted(sources, "source address", "source addresses")
        ));
        usable_ports * sources
    } else {
        because.push(format!(
            "{usable_ports} ports × {} × {}",
            counted(sources, "source address", "source addresses"),
            counted(destinations, "destination", "destinations")
        ));
        usable_ports * sources * destinations
    }
}

/// Below this many seconds a hold is not TIME_WAIT's own life, and a load at the highest rate may outlast it.
pub const TIME_WAIT_LONG: f64 = 50.0;

/// Why the first failure comes before the last four-tuple is taken: some pool of ports is used up before the others.
fn pools_fill_apart(plan: &TrialPlan) -> Option<&'static str> {
    let destinations = plan.server.addresses * plan.server.ports;
    if plan.client.order == Order::Random && plan.client.addresses * destinations > 1 {
        Some("pairs are taken at random: one runs out of ports before the others, at an attempt that chance decides")
    } else if plan.client.source == Source::BindAddress && plan.client.addresses > 1 {
        Some("each source address has a pool of its own: the first in turn runs out a few attempts before the last")
    } else {
        None
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Fills in when the first attempt fails, if one does before the load is over.
fn first_failure(plan: &TrialPlan, kernel: KernelVersion, tuples: u64, after_close: Time, prediction: &mut Prediction) {
    let attempt = tuples + 1;
    if plan.load.planned().is_some_and(|planned| planned < attempt) {
        prediction
            .because
            .push(format!("the load ends before attempt {attempt}"));
        return;
    }
    if let Some(why) = pools_fill_apart(plan) {
        prediction.because.push(why.to_owned());
        return;
    }
    let open = plan.held_open().as_secs_f64();
    let Some(rate) = plan.load.rate else {
        let sooner = open + after_close.shortest;
        let (fails, why) = if after_close == Time::default() {
            (
                true,
                format!("more are held open at once than there are four-tuples: attempt {attempt} fails"),
            )
        } else if sooner >= TIME_WAIT_LONG {
            let why = "at the highest rate every four-tuple is taken before the first comes back";
            (true, format!("{why}: attempt {attempt} fails"))
        } else {
            let why = "whether one fails depends on how many the load takes till then";
            (false, format!("four-tuples come back after {sooner:.3} s: {why}"))
        };
        prediction.because.push(why);
        prediction.first_failure_attempt = fails.then_some(attempt);
        return;
    };
    if !kernel.at_least(4, 1) && open == 0.0 && after_close.shortest >= TIME_WAIT_LONG {
        return full_on_the_wheel(plan, rate, tuples, prediction);
    }
    let (shortest, longest) = (open + after_close.shortest, open + after_close.longest);
    if rate * shortest > tuples as f64 {
        let at = tuples as f64 / rate;
        prediction.because.push(format!(
            "{rate}/s × {shortest:.3} s is more than {tuples}: all are taken after {tuples} / {rate} = {at:.3} s"
        ));
        prediction.first_failure_attempt = Some(attempt);
        prediction.first_failure_at = Some(at);
    } else if rate * longest > tuples as f64 {
        prediction.because.push(format!(
            "{rate}/s × {shortest:.3} to {longest:.3} s straddles {tuples}: it fails {:.3} s after the beginning or, by the \
             timer's phase, later",
            tuples as f64 / rate
        ));
    } else {
        prediction
            .because
            .push(format!("{rate}/s × {longest:.3} s is at most {tuples}: it never fails"));
    }
}

/// Before 4.1: the wheel's lag builds up, so that ports run out later than at the longest life, or never.
fn full_on_the_wheel(plan: &TrialPlan, rate: f64, tuples: u64, prediction: &mut Prediction) {
    let attempts = |at: f64| (rate * at).floor() as u64 + 1;
    let planned = plan.load.planned().unwrap_or(u64::MAX);
    match wheel::full_after(rate, tuples).filter(|at| attempts(*at) <= planned) {
        Some(at) => {
            prediction.because.push(format!(
                "at {rate}/s the TIME_WAIT wheel holds {tuples} at once after {at:.1} s, and gives some back each 7.5 s"
            ));
            prediction.first_failure_attempt = Some(attempts(at));
            prediction.first_failure_at = Some(at);
        }
        None => prediction.because.push(format!(
            "at {rate}/s the TIME_WAIT wheel does not hold {tuples} at once before the load ends"
        )),
    }
}

#[cfg(test)]
pub(crate) mod tests;
