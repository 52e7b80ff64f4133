//! The verdict on a claim in words: one line below a scenario's records.

use super::style::Style;
use super::table::wrapped;
use crate::record::schema::{ClaimStatus, ClaimVerdict, Status};

/// `claim: holds: 28232 ports, EADDRNOTAVAIL at attempt 28233`, and below it why where it could not be judged.
#[must_use]
pub fn claim(verdict: &ClaimVerdict, style: Style) -> String {
    let figure = verdict
        .figure
        .as_ref()
        .map_or(String::new(), |figure| format!(": {figure}"));
    let whole = format!("claim: {}{figure}", painted(verdict.status, style));
    let mut text = String::new();
    for (index, line) in wrapped(&whole, style.columns() - 2).into_iter().enumerate() {
        text.push_str(if index == 0 { "" } else { "  " });
        text.push_str(&format!("{line}\n"));
    }
    for reason in verdict
        .reasons
        .iter()
        .flat_map(|reason| wrapped(reason, style.columns() - 2))
    {
        text.push_str(&format!("  {reason}\n"));
    }
    text
}

/// How a claim's verdict is written in tables.
pub(super) fn name(status: ClaimStatus) -> &'static str {
    match status {
        ClaimStatus::Holds => "holds",
        ClaimStatus::Refuted => "refuted",
        ClaimStatus::Unavailable => "unavailable here",
        ClaimStatus::Inconclusive => "inconclusive",
    }
}

/// A claim's verdict in the colour of what it asks of the reader: a refuted claim is a result, and stands out.
pub(super) fn painted(status: ClaimStatus, style: Style) -> String {
    let like = match status {
        ClaimStatus::Holds => Status::Met,
        ClaimStatus::Refuted => Status::Unmet,
        ClaimStatus::Unavailable => Status::Unavailable,
        ClaimStatus::Inconclusive => Status::Inconclusive,
    };
    style.of_status(like, name(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_has_its_figure_beside_it_and_its_reasons_below() {
        let mut verdict = ClaimVerdict {
            status: ClaimStatus::Holds,
            figure: Some("28232 ports".into()),
            reasons: vec![],
        };
        assert_eq!(claim(&verdict, Style::plain()), "claim: holds: 28232 ports\n");
        verdict = ClaimVerdict {
            status: ClaimStatus::Inconclusive,
            figure: None,
            reasons: vec!["1 of 2 trials were run".into()],
        };
        assert_eq!(
            claim(&verdict, Style::plain()),
            "claim: inconclusive\n  1 of 2 trials were run\n"
        );
    }
}
