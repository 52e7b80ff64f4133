//! How a program ended, and what is known of it then.

use std::fmt;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::Signal;

use crate::record::schema::Connects;

/// The end of a program and of its tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub how: How,
    /// From its start to its own end.
    pub after: Duration,
    /// Processes beside the program that were alive when it ended, or when the tree was killed, and were killed.
    pub left_behind: u32,
    /// Of the whole tree, user and system.
    pub cpu_seconds: f64,
    /// What could not be arranged for the program, in words.
    pub trouble: Vec<&'static str>,
    /// What its connect() calls gave, where that was asked for.
    pub connects: Option<Connects>,
}

impl Ended {
    /// Nothing is known of it but that it is no more.
    pub(crate) fn lost() -> Self {
        Self {
            how: How::Lost,
            after: Duration::ZERO,
            left_behind: 0,
            cpu_seconds: 0.0,
            trouble: Vec::new(),
            connects: None,
        }
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Exited(i32),
    Signal {
        number: i32,
        core_dumped: bool,
    },
    /// Its first process was killed from outside, and with it the whole tree.
    Lost,
}

impl How {
    pub(super) fn of(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal {
                number: libc::WTERMSIG(status),
                core_dumped: libc::WCOREDUMP(status),
            }
        } else {
            Self::Exited(libc::WEXITSTATUS(status))
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(code) => write!(f, "ended with exit code {code}"),
            Self::Signal { number, core_dumped } => {
                let name =
                    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string());
                let core = if core_dumped { " (core dumped)" } else { "" };
                write!(f, "was ended by {name}{core}")
            }
            Self::Lost => f.write_str("was ended from outside"),
        }
    }
}
