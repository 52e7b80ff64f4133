//! Names what went wrong in a guest, from what it left: pure, so that each case is tested without a machine.
//!
//! A guest's panic and its orderly end look the same from outside (QEMU ends with 0), so the guest's end marker is
//! demanded and everything else is read from the console, in the kernel's own words.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::wire::{Count, End};

/// What a guest left behind.
#[derive(Clone, Debug)]
pub(super) struct Evidence<'a> {
    pub(super) console: &'a str,
    /// The guest's program ran.
    pub(super) begun: bool,
    pub(super) received: Count,
    pub(super) end: Option<&'a End>,
    pub(super) stop: Stop,
    pub(super) memory_mib: u32,
}

/// Why the host listened no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// QEMU ended, with this code (None: by a signal).
    Exited(Option<i32>),
    /// Nothing came at all, for this long from the start.
    Mute(Duration),
    /// Nothing came for this long.
    Silent(Duration),
    /// The limit of the whole run.
    Overdue(Duration),
}

/// What went wrong in a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("QEMU ended with {}", code.map_or("a signal".to_owned(), |code| format!("exit code {code}")))]
    Emulator { code: Option<i32> },
    #[error("the guest ran out of memory with {memory_mib} MiB; give it more")]
    OutOfMemory { memory_mib: u32 },
    #[error("the guest's files did not fit into its {memory_mib} MiB of memory (no space left); give it more")]
    NoSpace { memory_mib: u32 },
    #[error("the guest's kernel could not start its first program: {message}")]
    InitFailed { message: String },
    #[error("the guest's kernel panicked: {message}")]
    Panic { message: String },
    #[error(
        "the kernel said nothing within {} s of its start: it halted at once, or has no console on the first serial port \
         (CONFIG_SERIAL_8250_CONSOLE)", .after.as_secs()
    )]
    Mute { after: Duration },
    #[error("the guest hung: nothing came from it for {} s", .after.as_secs())]
    Hang { after: Duration },
    #[error("the guest was not done after {} s, its time limit", .after.as_secs())]
    Overdue { after: Duration },
    #[error("the guest's output is truncated: {received} lines came, {}", sent.map_or("and no end marker".to_owned(), |sent| format!("{sent} were sent")))]
    Truncated { received: u64, sent: Option<u64> },
    #[error(
        "the guest ended before its first program ran; {memory_mib} MiB may be too little, or its kernel lacks initramfs or \
         serial ports"
    )]
    NeverBegan { memory_mib: u32 },
    #[error("inside the guest: {message}")]
    Conduct { message: String },
}

const PANIC: &str = "Kernel panic - not syncing: ";
/// Words of the kernel (init/main.c) and of the C library's loader when /init cannot run.
const INIT_FAILED: [&str; 5] = [
    "No working init found",
    "Requested init",
    "Unable to mount root fs",
    "FATAL: kernel too old",
    "error while loading shared libraries",
];
const OUT_OF_MEMORY: [&str; 4] = [
    "Out of memory",
    "out of memory",
    "System is deadlocked on memory",
    "invoked oom-killer",
];
const NO_SPACE: [&str; 3] = [
    "No space left on device",
    "Initramfs unpacking failed: write error",
    "rootfs image is not initramfs",
];

impl Evidence<'_> {
    /// None: the guest ended as it should.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self.end {
            Some(End { lines, bytes, .. })
                if self.received
                    != (Count {
                        lines: *lines,
                        bytes: *bytes,
                    }) =>
            {
                Some(Failure::Truncated {
                    received: self.received.lines,
                    sent: Some(*lines),
                })
            }
            Some(End {
                failure: Some(message), ..
            }) => Some(Failure::Conduct {
                message: message.clone(),
            }),
            Some(End { failure: None, .. }) => None,
            None => Some(self.cause()),
        }
    }

    /// The cause of an end without a marker: the first that the console names, else how it ended.
    fn cause(&self) -> Failure {
        let said = |words: &[&str]| words.iter().find_map(|words| self.line_with(words));
        let memory_mib = self.memory_mib;
        if said(&NO_SPACE).is_some() {
            return Failure::NoSpace { memory_mib };
        }
        if said(&OUT_OF_MEMORY).is_some() {
            return Failure::OutOfMemory { memory_mib };
        }
        if let Some(message) = said(&INIT_FAILED) {
            return Failure::InitFailed { message };
        }
        if let Some(line) = self.line_with(PANIC) {
            return Failure::Panic {
                message: line.replacen(PANIC, "", 1),
            };
        }
        match self.stop {
            Stop::Mute(after) => Failure::Mute { after },
            Stop::Silent(after) => Failure::Hang { after },
            Stop::Overdue(after) => Failure::Overdue { after },
            Stop::Exited(Some(0)) if self.begun => Failure::Truncated {
                received: self.received.lines,
                sent: None,
            },
            Stop::Exited(Some(0)) => Failure::NeverBegan { memory_mib },
            Stop::Exited(code) => Failure::Emulator { code },
        }
    }

    /// A line of the console with these words, without the kernel's time stamp.
    fn line_with(&self, words: &str) -> Option<String> {
        let line = self.console.lines().find(|line| line.contains(words))?.trim();
        let text = match line.split_once("] ") {
            Some((stamp, text)) if stamp.starts_with('[') => text,
            _ => line,
        };
        Some(text.to_owned())
    }
}

/// The last lines of a console that say something, for an error message.
pub(super) fn last_lines(console: &str, count: usize) -> String {
    let lines: Vec<_> = console.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| format!("  | {line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: End = End {
        lines: 2,
        bytes: 10,
        failure: None,
    };

    fn evidence<'a>(console: &'a str, end: Option<&'a End>, stop: Stop) -> Evidence<'a> {
        let received = Count { lines: 2, bytes: 10 };
        Evidence {
            console,
            begun: true,
            received,
            end,
            stop,
            memory_mib: 64,
        }
    }

    fn cause(console: &str) -> Failure {
        evidence(console, None, Stop::Exited(Some(0))).failure().unwrap()
    }

    #[test]
    fn an_end_marker_with_all_lines_is_an_orderly_end() {
        assert_eq!(evidence("", Some(&WHOLE), Stop::Exited(Some(0))).failure(), None);
        let overdue = Stop::Overdue(Duration::from_secs(9));
        assert_eq!(
            evidence("", Some(&WHOLE), overdue).failure(),
            None,
            "only its power-off was slow"
        );
    }

    #[test]
    fn lines_lost_before_the_end_marker_or_with_it_are_a_truncation() {
        let more = End { lines: 3, ..WHOLE };
        let lost = evidence("", Some(&more), Stop::Exited(Some(0))).failure();
        assert_eq!(
            lost,
            Some(Failure::Truncated {
                received: 2,
                sent: Some(3)
            })
        );
        assert_eq!(
            cause("[ 1.0] all is well\n"),
            Failure::Truncated {
                received: 2,
                sent: None
            }
        );
    }

    #[test]
    fn the_programs_own_failure_is_passed_on() {
        let end = End {
            failure: Some("no veth".into()),
            ..WHOLE
        };
        let failure = evidence("", Some(&end), Stop::Exited(Some(0))).failure();
        assert_eq!(failure.unwrap().to_string(), "inside the guest: no veth");
    }

    #[test]
    fn a_panic_is_told_from_what_brought_it_about() {
        let panic = "[    1.2] Kernel panic - not syncing: Fatal exception in interrupt\n";
        assert_eq!(
            cause(panic),
            Failure::Panic {
                message: "Fatal exception in interrupt".into()
            }
        );
        let memory = "[    1.0] Out of memory: Kill process 1 (init)\n[    1.2] Kernel panic - not syncing: Attempted to kill init!\n";
        assert_eq!(cause(memory), Failure::OutOfMemory { memory_mib: 64 });
        let space = "[    1.0] Initramfs unpacking failed: write error\n[    1.2] Kernel panic - not syncing: x\n";
        assert_eq!(cause(space), Failure::NoSpace { memory_mib: 64 });
        let init = "[    1.2] Kernel panic - not syncing: No working init found.  Try passing init= option\n";
        assert!(matches!(cause(init), Failure::InitFailed { .. }));
    }

    #[test]
    fn silence_and_lateness_are_told_apart_from_an_emulator_that_failed() {
        let nine = Duration::from_secs(9);
        let failure = |stop| evidence("booting\n", None, stop).failure().unwrap();
        assert_eq!(failure(Stop::Silent(nine)), Failure::Hang { after: nine });
        assert_eq!(failure(Stop::Mute(nine)), Failure::Mute { after: nine });
        assert_eq!(failure(Stop::Overdue(nine)), Failure::Overdue { after: nine });
        assert_eq!(failure(Stop::Exited(Some(1))), Failure::Emulator { code: Some(1) });
        let unbegun = Evidence {
            begun: false,
            ..evidence("", None, Stop::Exited(Some(0)))
        };
        assert_eq!(unbegun.failure(), Some(Failure::NeverBegan { memory_mib: 64 }));
    }

    #[test]
    fn the_last_lines_are_those_that_say_something() {
        assert_eq!(last_lines("a\n\nb\n  \nc\n\n", 2), "  | b\n  | c\n");
        assert_eq!(last_lines("", 2), "");
    }
}
