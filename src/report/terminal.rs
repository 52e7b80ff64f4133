//! One trial on one screen, to be read by whoever has the incident: what was asked, what was predicted, what came.
//!
//! Eighty columns, because it is pasted into reports and tickets. What the record lacks is left out, never shown as 0.

use super::asked::{asked, lab, text_at};
use super::card::card;
use super::measured::{latency, memory, outcomes, port_reuse, prediction, rates, time_wait};
use super::over_time::over_time;
use super::sequence::steps;
use super::style::Style;
use super::table::wrapped;
use super::trust::{ledger, observation};
use super::{cell_text, expectation, number, pool, sides};
use crate::record::schema::{Latencies, Record};

const WIDTH: usize = 80;
/// Where a section's body begins.
const INDENT: usize = 13;
pub(super) const BODY: usize = WIDTH - INDENT;

/// Renders one record.
#[must_use]
pub fn trial(record: &Record, style: Style) -> String {
    if record.exec.is_some() || record.scenario.pointer("/exec").is_some() {
        card(record, style)
    } else {
        plain_trial(record, style)
    }
}

/// A record that is no program's.
pub(super) fn plain_trial(record: &Record, style: Style) -> String {
    let mut screen = Screen::new(style);
    title(&mut screen, record);
    screen.section("asked", asked(&record.scenario));
    screen.section("cell", wrapped(&cell_text(record), BODY));
    screen.section("lab", lab(record));
    screen.gap();
    screen.section("steps", steps(record, style));
    screen.gap();
    screen.section("prediction", prediction(record));
    screen.gap();
    if let Some(ran) = &record.pool {
        let predicted = record
            .prediction
            .as_ref()
            .and_then(|prediction| prediction.pool.as_ref());
        let residual = record.residual.as_ref().and_then(|residual| residual.churn_per_second);
        screen.section("requests", pool::requests(ran));
        screen.gap();
        screen.section("pool", pool::connections(ran, predicted, residual));
        screen.gap();
    }
    let outcomes_of = if record.pool.is_some() {
        "connections"
    } else {
        "outcomes"
    };
    screen.section(outcomes_of, outcomes(record));
    screen.gap();
    screen.section(
        "latency",
        record
            .latency
            .as_ref()
            .map(|latencies| told(latencies, record))
            .unwrap_or_default(),
    );
    screen.gap();
    screen.section("rates", rates(record));
    screen.section(
        "TIME_WAIT",
        record.time_wait.as_ref().map(time_wait).unwrap_or_default(),
    );
    screen.section("left on", sides::lines(record));
    screen.section("port reuse", port_reuse(record));
    screen.section("memory", memory(record));
    screen.gap();
    screen.section("over time", over_time(&record.timeline, style));
    screen.gap();
    screen.section("ledger", record.ledger.as_ref().map(ledger).unwrap_or_default());
    screen.section("observation", observation(record));
    screen.section("verdict", verdict(record, style));
    screen.text
}

/// Latencies, unless the clock only ticks.
fn told(latencies: &Latencies, record: &Record) -> Vec<String> {
    match record.environment.ticking_clock() {
        Some(step) => wrapped(
            &format!(
                "left out: the clock ticks at {}, so that each is a multiple of it",
                number::seconds(step as f64 / 1e9)
            ),
            BODY,
        ),
        None => latency(latencies),
    }
}

pub(super) struct Screen {
    style: Style,
    pub(super) text: String,
}

impl Screen {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            text: String::new(),
        }
    }

    pub(super) fn section(&mut self, name: &str, lines: Vec<String>) {
        for (index, line) in lines.into_iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            let padding = " ".repeat(INDENT - name.len());
            let line = format!("{}{padding}{line}", self.style.dim(name));
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    /// One empty line, unless there is one.
    pub(super) fn gap(&mut self) {
        if !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }
}

fn title(screen: &mut Screen, record: &Record) {
    let id = text_at(&record.scenario, "/id").unwrap_or_else(|| "a trial".to_owned());
    let status = screen.style.status(record.verdict.status);
    let interrupted = if record.interrupted { ", interrupted" } else { "" };
    screen
        .text
        .push_str(&format!("{}: {status}{interrupted}\n", screen.style.bold(&id)));
    for line in wrapped(&text_at(&record.scenario, "/claim").unwrap_or_default(), WIDTH) {
        screen.text.push_str(&format!("{line}\n"));
    }
    screen.gap();
}

fn verdict(record: &Record, style: Style) -> Vec<String> {
    let verdict = &record.verdict;
    let mut lines = vec![style.status(verdict.status)];
    for reason in &verdict.reasons {
        lines.extend(wrapped(reason, BODY));
    }
    for judged in &verdict.expectations {
        lines.extend(expectation::lines(judged, style, BODY));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::record::schema::{Distribution, Latency, LedgerRow, SlabRow, Status, StepResult};
    use crate::report::table::width;
    use crate::scenario::plan::Expectation;

    fn screen(record: &Record) -> String {
        let text = trial(record, Style::plain());
        for line in text.lines() {
            assert!(width(line) <= WIDTH, "wider than {WIDTH}: {line}");
        }
        assert!(!text.contains('\x1b'), "no escape codes without colour");
        text
    }

    #[test]
    fn exhaustion_fits_one_screen() {
        insta::assert_snapshot!(screen(&fixture::exhaustion()));
    }

    #[test]
    fn an_unmet_expectation_and_an_unbalanced_ledger_are_shown_in_full() {
        let mut record = fixture::active_closer().remove(3);
        let ledger = record.ledger.as_mut().unwrap();
        ledger.balanced = false;
        ledger.rows[1] = LedgerRow {
            kernel: Some(28_230),
            balanced: false,
            note: Some("SYN cookies are not counted".into()),
            ..ledger.rows[1].clone()
        };
        ledger.rows[3].kernel = None;
        ledger.rows[3].note = Some("not checked: this kernel has no TW".into());
        let expectation = Expectation {
            when: None,
            kernel: None,
            that: record.verdict.expectations[0].that.clone(),
            at: record.verdict.expectations[0].at.clone(),
        };
        crate::judge::judge(&mut record, &[expectation]);
        insta::assert_snapshot!(screen(&record));
    }

    #[test]
    fn an_open_loop_with_lifetimes_shows_lateness_reuse_and_memory() {
        let mut record = fixture::exhaustion();
        for (key, value) in [
            ("arrival", "poisson".into()),
            ("rate", 480.5.into()),
            ("duration", 90.0.into()),
        ] {
            record.scenario["load"][key] = value;
        }
        (
            record.scenario["server"]["addresses"],
            record.scenario["server"]["ports"],
        ) = (2.into(), 2.into());
        record.scenario["server"]["protocol"] = "echo".into();
        record.scenario["load"]["requests_per_connection"] = 1.into();
        let latency = record.latency.as_mut().unwrap();
        latency.from_intended_start.clone_from(&latency.session);
        latency.lag = Some(Latency {
            p50_us: 1.5,
            ..latency.connect.clone().unwrap()
        });
        let lifetimes = Distribution {
            count: 28_232,
            min: 60.007,
            p50: 60.788,
            p99: 61.998,
            max: 62.048,
            max_at_least: Some(61.9),
            resolution_seconds: 1.021,
        };
        record.time_wait.as_mut().unwrap().lifetime_seconds = Some(lifetimes.clone());
        record.port_reuse_seconds = Some(Distribution {
            max_at_least: None,
            ..lifetimes
        });
        record.slab = Some(vec![SlabRow {
            cache: "tw_sock_TCP".into(),
            object_bytes: 256,
            active_before: 12,
            active_after: 28_244,
        }]);
        let predicted = record.prediction.as_mut().unwrap();
        predicted.first_failure_at = Some(58.9);
        record.residual.as_mut().unwrap().first_failure_seconds = Some(-40.488);
        insta::assert_snapshot!(screen(&record));
    }

    #[test]
    fn a_sequence_shows_its_steps_and_where_it_ended() {
        let mut record = fixture::unavailable();
        record.environment.lab = "pair, root".into();
        record.scenario["steps"] = serde_json::json!([{}, {}, {}]);
        let step = |number, does: &str, actual: Option<&str>, status: Option<Status>| StepResult {
            number,
            at: format!("scenarios/a.toml:{}", 10 + 2 * number),
            does: does.to_owned(),
            expected: "TIME_WAIT".into(),
            actual: actual.map(str::to_owned),
            status,
            began_seconds: status.map(|_| 0.25),
            took_seconds: status.map(|_| 0.000_262),
        };
        record.steps = vec![
            step(1, "connect a from port 40000", Some("ok"), Some(Status::Met)),
            step(2, "await state a.client", Some("FIN_WAIT2"), Some(Status::Unmet)),
            step(3, "drop segments acknowledging its FIN to a.server", None, None),
        ];
        record.ledger = fixture::exhaustion().ledger;
        record.verdict.status = Status::Inconclusive;
        crate::judge::judge(&mut record, &[]);
        assert_eq!(record.verdict.status, Status::Unmet);
        insta::assert_snapshot!(screen(&record));
    }

    #[test]
    fn a_trial_that_could_not_begin_tells_why() {
        insta::assert_snapshot!(screen(&fixture::unavailable()));
    }

    #[test]
    fn colour_only_repeats_what_the_words_say() {
        let coloured = trial(&fixture::exhaustion(), Style::coloured());
        let escapes = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"];
        let stripped = escapes.iter().fold(coloured, |text, escape| text.replace(escape, ""));
        assert_eq!(stripped, trial(&fixture::exhaustion(), Style::plain()));
    }

    #[test]
    fn no_figure_is_too_large_to_be_shown() {
        let mut record = fixture::exhaustion();
        record.verdict.status = Status::Unmet;
        let outcomes = record.outcomes.as_mut().unwrap();
        (outcomes.ok, outcomes.failed_total, outcomes.failed[0].count) = (u64::MAX, u64::MAX, u64::MAX);
        record.timeline[3].ok = u64::MAX;
        record.timeline[4].failed = [("a".to_owned(), u64::MAX), ("b".to_owned(), u64::MAX)].into();
        record.residual.as_mut().unwrap().capacity = Some(i64::MIN);
        record.slab = Some(vec![SlabRow {
            cache: "tw_sock_TCP".into(),
            object_bytes: u64::MAX,
            active_before: 0,
            active_after: u64::MAX,
        }]);
        assert!(trial(&record, Style::plain()).contains("18,446,744,073,709,551,615"));
    }
}
