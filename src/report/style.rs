//! Colour, or none.

use std::io::IsTerminal;

use super::status_name;
use crate::record::schema::Status;

/// Whether the text is coloured. Colour only repeats what the words say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No escape codes.
    #[must_use]
    pub fn plain() -> Self {
        Self { colour: false }
    }

    #[must_use]
    pub fn coloured() -> Self {
        Self { colour: true }
    }

    /// Coloured on a terminal, unless NO_COLOR is set and not empty (no-color.org) or TERM is `dumb`.
    #[must_use]
    pub fn of(stream: &impl IsTerminal) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb,
        }
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
