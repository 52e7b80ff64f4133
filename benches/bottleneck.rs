//! Who was in the way, in a run for each of the four: does the summary name the right one, and with what evidence?
//!
//! `cargo bench --bench bottleneck`: runs benches/bottleneck/*.toml, whose names are who should be found, with this
//! build's `linger`. On a machine that has no CPU to give, the client's own is what every rate lacks first.

mod common;

use common::report::{Report, figure};
use common::trial;

const FOUR: [&str; 4] = ["client-cpu", "server-cpu", "port-search", "ports"];

fn main() {
    let mut report = Report::new(
        "bottleneck",
        "Who kept a load from its rate",
        "One run each of benches/bottleneck/*.toml.",
    );
    report.line("| scenario | offered | found | evidence |");
    report.line("|---|---|---|---|");
    for scenario in FOUR {
        let record = trial(&format!("benches/bottleneck/{scenario}.toml"), &[]);
        let text = |pointer: &str| {
            record
                .pointer(pointer)
                .map_or("nobody: the rate was kept".to_owned(), |v| v.to_string())
        };
        let evidence: Vec<&str> = record
            .pointer("/load/bottleneck/evidence")
            .and_then(serde_json::Value::as_array)
            .map(|lines| lines.iter().filter_map(|line| line.as_str()).collect())
            .unwrap_or_default();
        let who = text("/load/bottleneck/who").replace('"', "");
        let mut round = figure(&[("scenario", scenario), ("found", &who)], 1, &[]);
        round["evidence"] = serde_json::json!(evidence);
        report.round(round);
        let rate = text("/scenario/load/rate");
        report.line(&format!("| {scenario} | {rate}/s | {who} | {} |", evidence.join("; ")));
    }
    report.write();
}
