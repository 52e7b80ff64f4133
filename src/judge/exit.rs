//! One exit code for several trials.

use crate::record::schema::{Record, Status};
use crate::scenario::kernel_range::is_in_range;

/// Whether a record says no more than that its claim is about other kernels (`kernels` of the scenario) than the one that it
/// was to be put to. Nothing is amiss then and nothing can be mended, so that it has no part in an exit code.
#[must_use]
pub fn is_of_another_kernel(record: &Record) -> bool {
    let kernels = record.scenario["kernels"].as_str();
    record.verdict.status == Status::Unavailable
        && kernels.is_some_and(|range| is_in_range(&record.environment.kernel, range) == Ok(false))
}

/// The program's exit code for these verdicts: 0 all met, 3 one unmet, 4 one unavailable, 5 one inconclusive.
///
/// Unmet comes first: it is an answer, and no other trial can take it back. Unavailable comes before inconclusive,
/// because its remedy (mend the machine) comes before the other's (measure again). No verdict at all is inconclusive:
/// what was not measured does not pass.
#[must_use]
pub fn exit_code(statuses: impl IntoIterator<Item = Status>) -> i32 {
    match gravest(statuses) {
        Status::Unmet => 3,
        Status::Unavailable => 4,
        Status::Inconclusive => 5,
        Status::Met => 0,
    }
}

/// The verdict that stands for several, in the order of [`exit_code`].
#[must_use]
pub fn gravest(statuses: impl IntoIterator<Item = Status>) -> Status {
    let gravest = statuses.into_iter().min_by_key(|status| severity(*status));
    gravest.unwrap_or(Status::Inconclusive)
}

/// The most severe is 0.
fn severity(status: Status) -> u8 {
    match status {
        Status::Unmet => 0,
        Status::Unavailable => 1,
        Status::Inconclusive => 2,
        Status::Met => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use Status::{Inconclusive, Met, Unavailable, Unmet};

    #[test]
    fn the_gravest_verdict_gives_the_exit_code() {
        assert_eq!(exit_code([Met, Met]), 0);
        assert_eq!(exit_code([Met, Inconclusive]), 5);
        assert_eq!(exit_code([Inconclusive, Unavailable, Met]), 4);
        assert_eq!(exit_code([Inconclusive, Unavailable, Unmet, Met]), 3);
    }

    #[test]
    fn what_is_unavailable_is_of_another_kernel_only_where_the_scenario_says_so() {
        let mut record = fixture::unavailable();
        assert!(!is_of_another_kernel(&record));
        record.scenario["kernels"] = "< 4.12".into();
        assert!(is_of_another_kernel(&record));
        record.scenario["kernels"] = ">= 4.12".into();
        assert!(!is_of_another_kernel(&record));
        record.scenario["kernels"] = "< 4.12".into();
        record.verdict.status = Met;
        assert!(!is_of_another_kernel(&record));
    }

    #[test]
    fn no_trial_at_all_is_not_a_pass() {
        assert_eq!(exit_code([]), 5);
    }
}
