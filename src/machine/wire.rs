//! What guest and host say to each other over the second serial port: lines of text.
//!
//! `linger-begin` when the guest's program runs; `> TEXT` for each line of the caller's; at last `linger-end`, with how
//! many lines and bytes were sent, so that a line lost on the way is noticed, and with the failure if there was one.
#![forbid(unsafe_code)]

/// Where the guest finds its job. The file also tells the program that it is the guest.
pub(super) const JOB: &str = "linger-job";
/// The directory of modules; their names begin with the place in which they load.
pub(super) const MODULES: &str = "linger-modules";
/// The second serial port: character device 4:65.
pub(super) const RESULT_PORT: &str = "dev/ttyS1";
pub(super) const RESULT_PORT_NUMBER: (u32, u32) = (4, 65);

/// A line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Begin,
    Line(String),
    End(End),
}

/// The guest's last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) failure: Option<String>,
}

/// Counts what goes by, on either side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl Count {
    pub(super) fn add(&mut self, line: &str) {
        self.lines += 1;
        self.bytes += line.len() as u64;
    }
}

impl Said {
    /// The line's text, without its end. A line break inside a text would be two lines: it becomes a space.
    pub(super) fn encode(&self) -> String {
        let one_line = |text: &str| text.replace(['\n', '\r'], " ");
        match self {
            Self::Begin => "linger-begin".to_owned(),
            Self::Line(text) => format!("> {}", one_line(text)),
            Self::End(End {
                lines,
                bytes,
                failure: None,
            }) => format!("linger-end {lines} {bytes} ok"),
            Self::End(End {
                lines,
                bytes,
                failure: Some(why),
            }) => {
                format!("linger-end {lines} {bytes} failed {}", one_line(why))
            }
        }
    }

    /// None where the line is none of these: noise of a BIOS or of another program on the port.
    pub(super) fn decode(line: &str) -> Option<Self> {
        if let Some(text) = line.strip_prefix("> ") {
            return Some(Self::Line(text.to_owned()));
        }
        if line == "linger-begin" {
            return Some(Self::Begin);
        }
        let mut words = line.strip_prefix("linger-end ")?.splitn(4, ' ');
        let (lines, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let failure = match (words.next()?, words.next()) {
            ("ok", None) => None,
            ("failed", Some(why)) => Some(why.to_owned()),
            _ => return None,
        };
        Some(Self::End(End { lines, bytes, failure }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_said_is_understood(text in "[^\r\n]{0,40}", lines: u64, bytes: u64, failed: bool) {
            let end = End { lines, bytes, failure: failed.then(|| text.clone()) };
            for said in [Said::Begin, Said::Line(text), Said::End(end)] {
                prop_assert_eq!(Said::decode(&said.encode()), Some(said));
            }
        }

        #[test]
        fn any_line_is_read_without_panic(line in ".{0,60}") {
            let _ = Said::decode(&line);
        }
    }

    #[test]
    fn a_text_stays_on_its_line() {
        assert_eq!(
            Said::Line("a\nlinger-end 0 0 ok".into()).encode(),
            "> a linger-end 0 0 ok"
        );
    }
}
