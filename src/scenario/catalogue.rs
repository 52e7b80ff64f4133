//! The scenarios that linger ships: `scenarios/ID.toml`, embedded in the binary.

use include_dir::{Dir, include_dir};

use super::plan::Plan;
use super::problem::Problems;
use super::read;

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// Every scenario's id, sorted.
#[must_use]
pub fn ids() -> Vec<&'static str> {
    let mut ids: Vec<&str> = FILES
        .files()
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "toml"))
        .filter_map(|file| file.path().file_stem()?.to_str())
        .collect();
    ids.sort_unstable();
    ids
}

/// A scenario's file; None where there is no such id.
#[must_use]
pub fn text(id: &str) -> Option<&'static str> {
    FILES.get_file(format!("{id}.toml"))?.contents_utf8()
}

/// How a scenario's file is named in problems and expectations.
#[must_use]
pub fn file(id: &str) -> String {
    format!("scenarios/{id}.toml")
}

/// Every scenario's plan, sorted by id.
///
/// # Errors
/// A scenario that is wrong, which the tests keep from being shipped.
pub fn all() -> Result<Vec<Plan>, Problems> {
    let ids: Vec<String> = ids().into_iter().map(str::to_owned).collect();
    read::load(&ids, &[], None, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::plan::TrialPlan;

    #[test]
    fn every_scenario_is_valid_and_named_as_its_file() {
        let plans = all().unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(plans.iter().map(|plan| plan.id.as_str()).collect::<Vec<_>>(), ids());
        for plan in &plans {
            assert_eq!(plan.origin, "catalogue");
            assert!(plan.why.len() > 40, "{} does not say why it is", plan.id);
            assert!(!plan.sources.is_empty(), "{} names no source", plan.id);
            // The longest keeps a load up for 225 s and waits for the last TIME_WAIT; `verify` has them side by side.
            let longest = plan.trials.iter().map(TrialPlan::expected_duration).max();
            assert!(
                longest < Some(Duration::from_secs(300)),
                "{} takes {longest:?}",
                plan.id
            );
        }
    }

    /// A figure that an expectation or the table asks for must have a step that finds it.
    #[test]
    fn every_fact_that_a_sequence_asks_for_is_found_by_a_step() {
        for trial in all().unwrap().iter().flat_map(|plan| &plan.trials) {
            let expressions = trial.expect.iter().map(|expect| &expect.that);
            for expression in expressions.chain(&trial.holds).chain(&trial.figure) {
                for rest in expression.split("captured.").skip(1) {
                    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let found = trial.steps.iter().any(|step| step.named.as_deref() == Some(&name));
                    assert!(found, "{}: no step finds `{name}` of {expression}", trial.id);
                }
            }
            if trial.is_sequence() {
                assert!(!trial.expect.is_empty(), "nothing is expected of {}", trial.id);
                assert!(
                    trial.holds.is_some() && trial.figure.is_some(),
                    "{}: the claim's verdict",
                    trial.id
                );
            }
        }
    }

    fn figures(id: &str, figure: impl Fn(&TrialPlan) -> u64) -> Vec<u64> {
        let plan = read::from_text(&file(id), text(id).unwrap()).unwrap();
        plan.trials.iter().map(figure).collect()
    }

    /// The arithmetic of the files: enough attempts to reach each limit, and not many more.
    #[test]
    fn attempts_exceed_the_ports_there_are() {
        let ports = |trial: &TrialPlan| {
            let range = trial.sysctl.client.get("net.ipv4.ip_local_port_range");
            // Linux's own, since 4.2.
            let range = range.map_or("32768 60999", String::as_str);
            let (low, high) = crate::scenario::port_range::parse(range).unwrap();
            u64::from(high - low) + 1
        };
        let four_tuples = |trial: &TrialPlan| {
            ports(trial) * u64::from(trial.client.addresses * trial.server.addresses * trial.server.ports)
        };
        assert_eq!(figures("exhaustion", ports), [28_232]);
        assert_eq!(figures("exhaustion-established", ports), [1000]);
        // A tenth of 28232 and 36775, and even.
        assert_eq!(figures("widen-range", ports), [2_824, 3_678]);
        assert_eq!(
            figures("more-destinations", four_tuples),
            [1000, 2000, 2000, 4000, 4000, 8000]
        );
        assert_eq!(figures("more-sources", four_tuples), [300, 600, 1200, 300, 600, 1200]);
        for id in [
            "exhaustion",
            "exhaustion-established",
            "widen-range",
            "reserved-ports",
            "more-destinations",
            "more-sources",
        ] {
            let attempts = figures(id, |trial| trial.load.planned().unwrap());
            for (ports, attempts) in figures(id, four_tuples).into_iter().zip(attempts) {
                assert!(attempts > ports, "{id}: {attempts} attempts at {ports} four-tuples");
            }
        }
        assert_eq!(
            figures("reuse-one-second", |trial| trial.load.planned().unwrap()),
            [2900]
        );
        assert_eq!(
            figures("reuse-matrix", |trial| trial.load.planned().unwrap()),
            [950; 12]
        );
    }
}
