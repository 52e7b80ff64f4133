//! A plan for tests to vary: a hundred connections as fast as they go, which the client closes gracefully.

use super::plan::TrialPlan;

pub(crate) fn trial() -> TrialPlan {
    let plan = include_str!("../../tests/fixtures/plan.json");
    serde_json::from_str(plan).expect("the plan of the tests is one")
}
