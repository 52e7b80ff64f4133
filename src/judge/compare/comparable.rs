//! Whether two sets of records may be compared: what they ran, where, and how these differ.
//!
//! A difference of one class only (another kernel, another sysctl) is what the comparison is about and becomes its
//! heading; which classes may differ has to be said, for none of them can be told from noise in the figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

use crate::record::schema::Record;

/// What kind of thing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The question: the scenario, its resolved plan, its cells.
    Scenario,
    /// The kernel's release, its tick, how it was run, and the sysctls that only one of two kernels has.
    Kernel,
    Sysctl,
    /// Hardware, number of CPUs, virtual machine or not.
    Machine,
    /// How the lab was made, as with or without a user namespace.
    Lab,
    /// linger's own version.
    Linger,
}

impl Class {
    pub const ALL: [Self; 6] = [
        Self::Scenario,
        Self::Kernel,
        Self::Sysctl,
        Self::Machine,
        Self::Lab,
        Self::Linger,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Kernel => "kernel",
            Self::Sysctl => "sysctl",
            Self::Machine => "machine",
            Self::Lab => "lab",
            Self::Linger => "linger",
        }
    }

    fn of(path: &str) -> Self {
        match path {
            "environment.kernel"
            | "environment.hz"
            | "environment.clock"
            | "environment.emulated"
            | "environment.sysctl.global" => Self::Kernel,
            "environment.lab" => Self::Lab,
            "linger.version" => Self::Linger,
            path if path.starts_with("environment.sysctl.") || path.starts_with("scenario.sysctl.") => Self::Sysctl,
            path if path.starts_with("environment.") => Self::Machine,
            _ => Self::Scenario,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|class| class.name() == text).ok_or_else(|| {
            format!(
                "`{text}` is not a class of differences; allowed are {}",
                Self::ALL.map(Self::name).join(", ")
            )
        })
    }
}

/// One thing that base and new do not share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    pub class: Class,
    /// The record's key.
    pub path: String,
    /// The values in base, joined by commas where it has several; `absent` where it has none.
    pub base: String,
    pub new: String,
    /// The sides that have several values themselves: their records are not of one measurement.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mixed: Vec<&'static str>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            class, path, base, new, ..
        } = self;
        write!(f, "{class}: {path}: base {base}, new {new}")
    }
}

/// Keys of the resolved plan that do not change what is measured.
const NOT_THE_QUESTION: [&str; 15] = [
    "claim",
    "holds",
    "figure",
    "alone",
    "real_time",
    "kernel",
    "scaled",
    "sources",
    "why",
    "origin",
    "cell",
    "trial",
    "trials",
    "repeat",
    "expect",
];

const ABSENT: &str = "absent";

/// Nanoseconds that a clock may step by and be as good as any.
const FINE_STEP: u64 = 1_000;

/// The command that `linger exec` ran: base's and new's may differ, but each side's is one.
const COMMAND: &str = "exec.command";

/// Everything that differs between, or within, two sets of records of the same cell.
#[must_use]
pub fn differences(base: &[&Record], new: &[&Record]) -> BTreeSet<Difference> {
    let (base, new) = (facts_of(base), facts_of(new));
    let values = |side: &BTreeMap<String, BTreeSet<String>>, path: &str| match side.get(path) {
        Some(values) => values.iter().cloned().collect::<Vec<_>>().join(", "),
        None => ABSENT.to_owned(),
    };
    let paths: BTreeSet<&String> = base.keys().chain(new.keys()).collect();
    let mut differences: BTreeSet<Difference> = paths
        .into_iter()
        .map(|path| Difference {
            class: Class::of(path),
            path: path.clone(),
            base: values(&base, path),
            new: values(&new, path),
            mixed: [("base", &base), ("new", &new)]
                .into_iter()
                .filter(|(_, side)| side.get(path).is_some_and(|values| values.len() > 1))
                .map(|(name, _)| name)
                .collect(),
        })
        .filter(|it| !it.mixed.is_empty() || (it.base != it.new && it.path != COMMAND))
        .collect();
    if differences
        .iter()
        .any(|difference| difference.path == "environment.kernel")
    {
        let asked = |name: &str| {
            let path = format!("scenario.sysctl.{name}");
            base.contains_key(&path) || new.contains_key(&path)
        };
        differences = differences
            .into_iter()
            .map(|difference| sysctl_of_a_kernel(difference, &asked))
            .collect();
    }
    differences
}

/// What the records of each file have for this key: `http in a.jsonl, redis in b.jsonl`.
#[must_use]
pub fn by_file(path: &str, files: &[(String, Vec<Record>)]) -> String {
    let of_file = |(name, records): &(String, Vec<Record>)| {
        let values = facts_of(&records.iter().collect::<Vec<_>>()).remove(path);
        let values = values.map_or_else(
            || ABSENT.to_owned(),
            |values| values.into_iter().collect::<Vec<_>>().join(", "),
        );
        format!("{values} in {name}")
    };
    files.iter().map(of_file).collect::<Vec<_>>().join(", ")
}

/// A sysctl that only one of two kernels has belongs to the kernel, and so does a default that nobody set.
fn sysctl_of_a_kernel(mut difference: Difference, asked: &dyn Fn(&str) -> bool) -> Difference {
    let name = difference.path.strip_prefix("environment.sysctl.");
    let of_one = difference.base == ABSENT || difference.new == ABSENT;
    if name.is_some_and(|name| of_one || !asked(name)) {
        difference.class = Class::Kernel;
    }
    difference
}

/// What differs, in one line, where it is of one class that is worth a heading.
#[must_use]
pub fn heading(differences: &BTreeSet<Difference>) -> Option<String> {
    let classes: BTreeSet<Class> = differences.iter().map(|difference| difference.class).collect();
    let [class] = classes.into_iter().collect::<Vec<_>>()[..] else {
        return None;
    };
    match class {
        Class::Kernel => {
            let kernel = differences
                .iter()
                .find(|difference| difference.path == "environment.kernel")?;
            Some(format!("kernel {} against {}", kernel.base, kernel.new))
        }
        Class::Sysctl => Some(sysctls(differences).join(", ")),
        Class::Linger => differences
            .first()
            .map(|it| format!("linger {} against {}", it.base, it.new)),
        Class::Scenario | Class::Machine | Class::Lab => None,
    }
}

/// `net.ipv4.tcp_tw_reuse 0 against 1`, once however many sides and keys show it.
fn sysctls(differences: &BTreeSet<Difference>) -> Vec<String> {
    let mut shown = Vec::new();
    // What was read back tells more than what was asked for, and comes first by its path.
    for Difference { path, base, new, .. } in differences {
        let key = ["environment.sysctl.", "scenario.sysctl."]
            .iter()
            .find_map(|prefix| path.strip_prefix(prefix));
        let name = key
            .and_then(|key| key.split_once('.'))
            .map_or(path.as_str(), |(_side, name)| name);
        if !shown.iter().any(|line: &String| line.starts_with(&format!("{name} "))) {
            shown.push(format!("{name} {base} against {new}"));
        }
    }
    shown
}

/// Every fact of these records with the values it takes.
fn facts_of(records: &[&Record]) -> BTreeMap<String, BTreeSet<String>> {
    let mut facts = BTreeMap::<String, BTreeSet<String>>::new();
    let mut add = |path: String, value: String| {
        facts.entry(path).or_default().insert(value);
    };
    for record in records {
        add("linger.version".into(), record.linger.version.clone());
        if let Ok(mut environment) = serde_json::to_value(&record.environment) {
            forget_fine_clocks(&mut environment);
            leaves(&environment, "environment", &mut add);
        }
        if let Some(exec) = &record.exec {
            add(COMMAND.to_owned(), exec.command.join(" "));
        }
        for (key, value) in record.scenario.as_object().into_iter().flatten() {
            if !NOT_THE_QUESTION.contains(&key.as_str()) {
                leaves(value, &format!("scenario.{key}"), &mut add);
            }
        }
    }
    facts
}

/// A step measured anew by each record differs by nanoseconds, and a record made before steps were has none: only a clock
/// that ticks makes a difference.
fn forget_fine_clocks(environment: &mut Value) {
    let step = environment.get("clock_step_ns").and_then(Value::as_u64).unwrap_or(0);
    if let Some(environment) = environment.as_object_mut().filter(|_| step <= FINE_STEP) {
        environment.retain(|key, _| !["clock_step_ns", "clock_source"].contains(&key.as_str()));
    }
}

fn leaves(value: &Value, path: &str, add: &mut impl FnMut(String, String)) {
    match value {
        Value::Object(keys) => keys
            .iter()
            .for_each(|(key, value)| leaves(value, &format!("{path}.{key}"), add)),
        Value::Null => {}
        Value::String(text) => add(path.to_owned(), text.clone()),
        other => add(path.to_owned(), other.to_string()),
    }
}
