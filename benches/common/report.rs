//! results/bench/NAME.md and NAME.jsonl: what a bench found, and each round of it.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::median;

pub struct Report {
    name: &'static str,
    text: String,
    rounds: Vec<Value>,
}

impl Report {
    /// `about` says what is compared, and how.
    pub fn new(name: &'static str, title: &str, about: &str) -> Self {
        Self::named(name, name, title, about)
    }

    /// The same where the files are not called as the bench is.
    pub fn named(name: &'static str, bench: &str, title: &str, about: &str) -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a.parse::<u64>().is_ok()).collect();
        let command = match arguments.join(" ") {
            none if none.is_empty() => format!("cargo bench --bench {bench}"),
            some => format!("cargo bench --bench {bench} -- {some}"),
        };
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        // Not those of the affinity mask: this thread is pinned.
        let cpus = cpus.lines().filter(|line| line.starts_with("processor")).count();
        let load = read("/proc/loadavg");
        let text = format!(
            "# {title}\n\n`{command}` on Linux {}, {cpus} CPUs, load average {} as it began. {about}\n\n",
            read("/proc/sys/kernel/osrelease").trim(),
            load.split(' ').next().unwrap_or("?"),
        );
        print!("{text}");
        Self {
            name,
            text,
            rounds: vec![],
        }
    }

    /// One round's figures: an object.
    pub fn round(&mut self, figures: Value) {
        println!("{figures}");
        self.rounds.push(figures);
    }

    fn figures(&self, keys: &[(&str, &str)], figure: &str) -> Vec<f64> {
        let wanted = |round: &&Value| keys.iter().all(|(key, value)| round[*key] == *value);
        self.rounds
            .iter()
            .filter(wanted)
            .filter_map(|round| round[figure].as_f64())
            .collect()
    }

    /// The median of a figure over the rounds in which the keys have these values.
    pub fn median(&self, keys: &[(&str, &str)], figure: &str) -> f64 {
        median(self.figures(keys, figure))
    }

    /// The lowest of them.
    pub fn lowest(&self, keys: &[(&str, &str)], figure: &str) -> f64 {
        self.figures(keys, figure).into_iter().fold(f64::NAN, f64::min)
    }

    /// The median over the rounds of the ratio of a figure between two variants of `key` in the same round.
    pub fn ratio(&self, key: &str, over: &str, under: &str, figure: &str) -> f64 {
        self.ratio_where(&[], key, over, under, figure)
    }

    /// The same among the rounds in which further keys have these values.
    pub fn ratio_where(&self, keys: &[(&str, &str)], key: &str, over: &str, under: &str, figure: &str) -> f64 {
        let among = || {
            self.rounds
                .iter()
                .filter(|round| keys.iter().all(|(key, value)| round[*key] == *value))
        };
        let ratios = among().filter(|round| round[key] == over).filter_map(|round| {
            let other = among().find(|other| other[key] == under && other["round"] == round["round"])?;
            Some(round[figure].as_f64()? / other[figure].as_f64()?)
        });
        median(ratios.collect())
    }

    /// A line of Markdown.
    pub fn line(&mut self, line: &str) {
        println!("{line}");
        let _ = writeln!(self.text, "{line}");
    }

    /// Writes both files.
    pub fn write(mut self) {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results/bench");
        let lines: String = self.rounds.iter().map(|round| format!("{round}\n")).collect();
        let _ = writeln!(self.text, "\nEach round: {}.jsonl.", self.name);
        let files = [("md", self.text), ("jsonl", lines)];
        for (kind, content) in files {
            let path = directory.join(format!("{}.{kind}", self.name));
            let written = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, content));
            written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            println!("→ {}", path.display());
        }
    }
}

/// A figure of a round, for [`Report::round`].
pub fn figure(keys: &[(&str, &str)], round: u64, figures: &[(&str, f64)]) -> Value {
    let mut object = json!({ "round": round });
    for (key, value) in keys {
        object[*key] = json!(value);
    }
    for (key, value) in figures {
        object[*key] = json!(value);
    }
    object
}
