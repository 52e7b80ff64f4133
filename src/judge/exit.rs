//! One exit code for several trials.

use crate::record::schema::Status;

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
    use Status::{Inconclusive, Met, Unavailable, Unmet};

    #[test]
    fn the_gravest_verdict_gives_the_exit_code() {
        assert_eq!(exit_code([Met, Met]), 0);
        assert_eq!(exit_code([Met, Inconclusive]), 5);
        assert_eq!(exit_code([Inconclusive, Unavailable, Met]), 4);
        assert_eq!(exit_code([Inconclusive, Unavailable, Unmet, Met]), 3);
    }

    #[test]
    fn no_trial_at_all_is_not_a_pass() {
        assert_eq!(exit_code([]), 5);
    }
}
