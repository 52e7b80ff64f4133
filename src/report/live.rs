//! Progress while a trial runs, on stderr: two lines that update on a terminal, else a line now and then.
//!
//! The only part of the report that writes. What it writes is gone from the terminal when it is finished or dropped,
//! which is how Ctrl-C leaves it clean: the interrupt ends the load, and the trial's end drops this.

use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::number;

/// Where no terminal is, a line at most this often, and one when a phase begins.
const BETWEEN_LINES: Duration = Duration::from_secs(5);
/// Columns of the bar.
const BAR: usize = 20;

/// How far a trial is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The scenario's id.
    pub scenario: &'a str,
    /// Counts from 1.
    pub trial: usize,
    pub trials: usize,
    /// The matrix cell in words; empty without a matrix.
    pub cell: &'a str,
    /// What is being done, such as `building lab`, `load` or `observing`.
    pub phase: &'a str,
    /// Since the phase began.
    pub seconds: f64,
    /// How long the phase takes at the most, where time bounds it.
    pub total_seconds: Option<f64>,
    /// Attempts in all, where a number bounds the load.
    pub planned: Option<u64>,
    pub attempted: u64,
    pub ok: u64,
    pub failed: u64,
    /// Attempts a second of late.
    pub per_second: f64,
    /// TIME_WAIT sockets now; None where it has not been looked at.
    pub time_wait_client: Option<u64>,
    pub time_wait_server: Option<u64>,
}

/// Shows progress; to be told of it a few times a second.
#[derive(Debug)]
pub struct Live(Output);

#[derive(Debug)]
enum Output {
    Quiet,
    Terminal(ProgressBar),
    Lines { since: Instant, cadence: Cadence },
}

impl Live {
    /// `terminal`: whether stderr is one. `quiet`: show nothing.
    #[must_use]
    pub fn new(terminal: bool, quiet: bool) -> Self {
        Self(if quiet {
            Output::Quiet
        } else if terminal {
            let lines = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template("{prefix}\n{wide_msg}");
            lines.set_style(style.expect("the template is a constant that indicatif accepts"));
            Output::Terminal(lines)
        } else {
            Output::Lines {
                since: Instant::now(),
                cadence: Cadence::default(),
            }
        })
    }

    /// Shows how far the trial is. What cannot be written is not shown: progress is never worth a trial.
    pub fn update(&mut self, progress: &Progress<'_>) {
        match &mut self.0 {
            Output::Quiet => {}
            Output::Terminal(lines) => {
                lines.set_prefix(headline(progress) + &bar(share(progress)));
                lines.set_message(figures(progress, None));
                lines.tick();
            }
            Output::Lines { since, cadence } => {
                if cadence.is_due(since.elapsed(), progress) {
                    let line = format!("{}: {}\n", headline(progress), figures(progress, share(progress)));
                    let _ = std::io::stderr().write_all(line.as_bytes());
                }
            }
        }
    }

    /// Takes the updating lines off the terminal.
    pub fn finish(&mut self) {
        if let Output::Terminal(lines) = &self.0 {
            lines.finish_and_clear();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.finish();
    }
}

/// When the next plain line is due. Pure: it is told the time.
#[derive(Debug, Default)]
struct Cadence {
    last: Option<(Duration, usize, String)>,
}

impl Cadence {
    fn is_due(&mut self, now: Duration, progress: &Progress<'_>) -> bool {
        let is_due = self.last.as_ref().is_none_or(|(at, trial, phase)| {
            now.saturating_sub(*at) >= BETWEEN_LINES || *trial != progress.trial || phase != progress.phase
        });
        if is_due {
            self.last = Some((now, progress.trial, progress.phase.to_owned()));
        }
        is_due
    }
}

/// `exhaustion 1/4, close.closer = client, load 12.4 s`.
fn headline(progress: &Progress<'_>) -> String {
    let cell = if progress.cell.is_empty() {
        String::new()
    } else {
        format!(", {}", progress.cell)
    };
    let Progress {
        scenario,
        trial,
        trials,
        phase,
        seconds,
        ..
    } = progress;
    format!("{scenario} {trial}/{trials}{cell}, {phase} {seconds:.1} s")
}

/// `60 %; 17,990 ok, 10 failed; 1,389 conn/s; TIME_WAIT client 17,974, server 0`, without the share on a terminal.
fn figures(progress: &Progress<'_>, share: Option<f64>) -> String {
    let mut parts = Vec::new();
    parts.extend(share.map(percent));
    if progress.attempted > 0 {
        let (ok, failed) = (number::count(progress.ok), number::count(progress.failed));
        parts.push(format!("{ok} ok, {failed} failed"));
        parts.push(number::rate(progress.per_second));
    }
    let sides = [
        ("client", progress.time_wait_client),
        ("server", progress.time_wait_server),
    ];
    let sides: Vec<String> = sides
        .into_iter()
        .filter_map(|(side, sockets)| Some(format!("{side} {}", number::count(sockets?))))
        .collect();
    if !sides.is_empty() {
        parts.push(format!("TIME_WAIT {}", sides.join(", ")));
    }
    if parts.is_empty() {
        "…".to_owned()
    } else {
        parts.join("; ")
    }
}

/// How much is done, 0 to 1: by time or by number, whichever is nearer to its end.
fn share(progress: &Progress<'_>) -> Option<f64> {
    let by_time = progress
        .total_seconds
        .filter(|total| *total > 0.0)
        .map(|total| progress.seconds / total);
    let planned = progress.planned.filter(|planned| *planned > 0);
    let by_number = planned.map(|planned| progress.attempted as f64 / planned as f64);
    let share = match (by_time, by_number) {
        (Some(time), Some(number)) => time.max(number),
        (time, number) => time.or(number)?,
    };
    Some(share.clamp(0.0, 1.0))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// ` ████████████░░░░░░░░ 60 %`; nothing where the share is not known.
fn bar(share: Option<f64>) -> String {
    share.map_or(String::new(), |share| {
        let done = (share * BAR as f64).floor() as usize;
        format!(" {}{} {}", "█".repeat(done), "░".repeat(BAR - done), percent(share))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Progress<'_> = Progress {
        scenario: "exhaustion",
        trial: 1,
        trials: 4,
        cell: "close.closer = client",
        phase: "load",
        seconds: 12.44,
        total_seconds: None,
        planned: Some(30_000),
        attempted: 18_000,
        ok: 17_990,
        failed: 10,
        per_second: 1_388.9,
        time_wait_client: Some(17_974),
        time_wait_server: Some(0),
    };

    #[test]
    fn a_line_tells_what_runs_and_how_far_it_is() {
        assert_eq!(headline(&LOAD), "exhaustion 1/4, close.closer = client, load 12.4 s");
        assert_eq!(
            figures(&LOAD, share(&LOAD)),
            "60 %; 17,990 ok, 10 failed; 1,389 conn/s; TIME_WAIT client 17,974, server 0"
        );
        assert_eq!(bar(share(&LOAD)), " ████████████░░░░░░░░ 60 %");
    }

    #[test]
    fn before_the_load_there_are_no_figures() {
        let building = Progress {
            cell: "",
            phase: "building lab",
            seconds: 0.0,
            planned: None,
            attempted: 0,
            time_wait_client: None,
            time_wait_server: None,
            ..LOAD
        };
        assert_eq!(headline(&building), "exhaustion 1/4, building lab 0.0 s");
        assert_eq!(figures(&building, share(&building)), "…");
    }

    #[test]
    fn whichever_bound_is_nearer_tells_how_far_the_load_is() {
        let by_time = Progress {
            total_seconds: Some(13.0),
            ..LOAD
        };
        assert!(share(&by_time).unwrap() > 0.95);
        let over = Progress {
            attempted: 40_000,
            ..LOAD
        };
        assert_eq!(share(&over), Some(1.0));
        let nothing = Progress {
            planned: Some(0),
            total_seconds: Some(0.0),
            ..LOAD
        };
        assert_eq!(share(&nothing), None);
    }

    #[test]
    fn plain_lines_come_every_five_seconds_and_when_a_phase_or_trial_begins() {
        let mut cadence = Cadence::default();
        let mut is_due = |at, progress: &Progress<'_>| cadence.is_due(Duration::from_millis(at), progress);
        assert!(is_due(0, &LOAD));
        assert!(!is_due(4_999, &LOAD));
        assert!(is_due(5_000, &LOAD));
        let observing = Progress {
            phase: "observing",
            ..LOAD
        };
        assert!(is_due(5_100, &observing));
        assert!(!is_due(5_200, &observing));
        assert!(is_due(5_300, &Progress { trial: 2, ..observing }));
    }

    #[test]
    fn quiet_shows_nothing_and_any_order_of_calls_is_allowed() {
        for (terminal, quiet) in [(true, true), (false, true), (true, false)] {
            let mut live = Live::new(terminal, quiet);
            live.update(&LOAD);
            live.finish();
            live.update(&LOAD);
            live.finish();
        }
    }
}
