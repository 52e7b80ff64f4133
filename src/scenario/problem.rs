//! What is wrong with a scenario: where, which key, what came and what is allowed.
//!
//! Problems are collected, never thrown one by one: whoever mends a file wants the whole list.

use std::fmt;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in the file, both counted from 1; the column counts characters.
    File { line: usize, column: usize },
    /// The command line, such as `--set load.rate=0`.
    Option(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path as it was given, or `scenarios/ID.toml` for the catalogue's; None when no file is to blame.
    pub file: Option<String>,
    pub origin: Option<Origin>,
    /// Dotted; empty when no key is to blame.
    pub key: String,
    /// What came, what is allowed and, where there is one, the nearest name.
    pub message: String,
    /// The matrix cell that is wrong, where not all of them are.
    pub cell: Option<String>,
}

impl Problem {
    pub(super) fn new(origin: &Origin, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: None,
            origin: Some(origin.clone()),
            key: key.into(),
            message: message.into(),
            cell: None,
        }
    }

    /// A problem of what was asked for, before any file was read.
    pub(super) fn unplaced(message: impl Into<String>) -> Self {
        Self {
            file: None,
            origin: None,
            key: String::new(),
            message: message.into(),
            cell: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, &self.origin) {
            (Some(file), Some(Origin::File { line, column })) => write!(f, "{file}:{line}:{column}: ")?,
            (Some(file), Some(Origin::Option(option))) => write!(f, "{file}: {option}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some(Origin::Option(option))) => write!(f, "{option}: ")?,
            (None, _) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.cell {
            Some(cell) => write!(f, " (in the cell {cell})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, in the order of the file; printed a line each. Never empty as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The same problem found twice (an option that fits none of two files' keys) is told once.
    pub(super) fn push(&mut self, problem: Problem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The name that was probably meant, if one is near enough.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One letter of three wrong is 0.67, two of four 0.5: `foo` is no slip of the pen for `pool`.
    const NEAR: f64 = 0.6;
    // Longer than any name here, and the comparison's cost is the product of the lengths.
    const LONGEST: usize = 100;
    if name.len() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean `NAME`?`, or nothing.
pub(super) fn did_you_mean(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// A text from outside: control characters escaped, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let escape = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        _ => c.escape_debug().to_string(),
    };
    let mut shown: String = text.chars().take(LONGEST).map(escape).collect();
    if text.chars().count() > LONGEST {
        shown.push('…');
    }
    shown
}

/// The same in backticks.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

/// One of a list, as its key is told: steps by their number from 1, as records and verdicts count them, all others by
/// their index as in the record's paths.
pub(super) fn member(key: &str, index: usize) -> String {
    match key {
        "step" => format!("step {}", index + 1),
        _ => format!("{key}[{index}]"),
    }
}

/// Names in backticks, joined by commas.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near_or_none() {
        let known = ["rate", "in_flight", "connections"];
        assert_eq!(nearest("rat", known), Some("rate"));
        assert_eq!(nearest("in-flight", known), Some("in_flight"));
        assert_eq!(nearest("conections", known), Some("connections"));
        assert_eq!(nearest("loopbak", ["loopback", "pair", "host"]), Some("loopback"));
        assert_eq!(nearest("foo", ["pool", "load", "fill"]), None);
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"rate".repeat(1000), known), None);
    }

    #[test]
    fn a_quoted_text_cannot_break_the_line() {
        assert_eq!(quoted("a\nb\u{1b}[31m"), "`a\\nb\\u{1b}[31m`");
        assert_eq!(quoted("say \"it\""), "`say \"it\"`");
        assert!(quoted(&"x".repeat(500)).chars().count() < 100);
    }
}
