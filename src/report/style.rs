//! How a text is to look where it goes: in colour or not, and how wide.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use super::status_name;
use super::table::wrapped;
use crate::record::schema::Status;

/// Columns of what no terminal shows: files, pipes and pages look alike on every machine.
const COLUMNS: usize = 96;
/// The fewest and the most columns on a terminal: tables take the one, and longer lines than the other are hard to read.
const FEWEST: usize = 72;
const MOST: usize = 160;

/// Whether the text is coloured, and how wide it may be. Colour only repeats what the words say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colour: bool,
    columns: usize,
}

impl Style {
    /// No escape codes.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            colour: false,
            columns: COLUMNS,
        }
    }

    #[must_use]
    pub fn coloured() -> Self {
        Self {
            colour: true,
            columns: COLUMNS,
        }
    }

    /// On a terminal as wide as that is, and coloured unless NO_COLOR is set and not empty (no-color.org) or TERM is `dumb`.
    #[must_use]
    pub fn of(stream: &(impl IsTerminal + AsFd)) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb,
            columns: terminal_size::terminal_size_of(stream)
                .map_or(COLUMNS, |(width, _)| usize::from(width.0).clamp(FEWEST, MOST)),
        }
    }

    /// The columns that running text may take.
    #[must_use]
    pub fn columns(self) -> usize {
        self.columns
    }

    /// A text's lines where so many columns are left free before them.
    #[must_use]
    pub fn wrapped(self, text: &str, before: usize) -> Vec<String> {
        wrapped(text, self.columns - before)
    }

    #[cfg(test)]
    pub(super) fn of_columns(columns: usize) -> Self {
        Self { colour: false, columns }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// A status by its name.
    pub(super) fn status(self, status: Status) -> String {
        self.of_status(status, status_name(status))
    }

    /// Any text in a status's colour.
    pub(super) fn of_status(self, status: Status, text: &str) -> String {
        self.paint(
            match status {
                Status::Met => "32",
                Status::Unmet => "31",
                Status::Inconclusive | Status::Unavailable => "33",
            },
            text,
        )
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
