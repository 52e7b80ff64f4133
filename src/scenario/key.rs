//! Dotted keys, as `--set` and the matrix name them: `load.rate`, `sysctl.client.net.ipv4.tcp_tw_reuse`.
//!
//! A sysctl's name has dots of its own and is one segment, quoted or not: what follows `sysctl.SIDE.` is the name. A
//! key that begins with `net.` is a sysctl of both sides.

use std::fmt;

/// A key, split into its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Vec<String>);

impl Key {
    /// Reads a dotted key; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let segments = split(text.trim())?;
        Ok(Self(match segments[0].as_str() {
            "net" => vec!["sysctl".into(), "both".into(), segments.join(".")],
            "sysctl" => fold(segments, 2),
            "matrix" => fold(segments, 1),
            _ => segments,
        }))
    }

    pub(super) fn segments(&self) -> &[String] {
        &self.0
    }

    /// The sysctl's name and side, if this is one's key.
    pub(super) fn sysctl(&self) -> Option<(&str, &str)> {
        match self.0.as_slice() {
            [root, side, name] if root == "sysctl" => Some((side, name)),
            _ => None,
        }
    }

    /// The keys that setting this one sets: for a sysctl of both sides, each side's.
    pub(super) fn sides(&self) -> Vec<Self> {
        match self.sysctl() {
            Some(("both", name)) => ["client", "server"]
                .map(|side| Self(vec!["sysctl".into(), side.into(), name.into()]))
                .to_vec(),
            _ => vec![self.clone()],
        }
    }

    /// Whether setting this key settles `other` too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let both = matches!((self.sysctl(), other.sysctl()), (Some(("both", a)), Some((_, b))) if a == b);
        both || self == other
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Joins the segments from `head` on into one.
fn fold(mut segments: Vec<String>, head: usize) -> Vec<String> {
    if segments.len() > head {
        let name = segments.split_off(head).join(".");
        segments.push(name);
    }
    segments
}

/// Splits at the dots that are outside quotes, and takes the quotes off.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut segments = vec![String::new()];
    let mut quote = None;
    for character in text.chars() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (None, '.') => segments.push(String::new()),
            _ => segments
                .last_mut()
                .expect("there is one from the start")
                .push(character),
        }
    }
    match quote {
        Some(open) => Err(format!("the quote {open} is not closed")),
        None if segments.iter().any(String::is_empty) => Err("a part of the key is empty".to_owned()),
        None => Ok(segments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(text: &str) -> Vec<String> {
        Key::parse(text).unwrap().segments().to_vec()
    }

    #[test]
    fn a_sysctl_is_one_segment_quoted_or_not() {
        let expected = ["sysctl", "client", "net.ipv4.tcp_tw_reuse"];
        assert_eq!(segments("sysctl.client.net.ipv4.tcp_tw_reuse"), expected);
        assert_eq!(segments("sysctl.client.\"net.ipv4.tcp_tw_reuse\""), expected);
        assert_eq!(segments("sysctl.'client'.'net.ipv4.tcp_tw_reuse'"), expected);
        assert_eq!(segments("matrix.\"close.closer\""), ["matrix", "close.closer"]);
        assert_eq!(segments("matrix.close.closer"), ["matrix", "close.closer"]);
    }

    #[test]
    fn a_bare_sysctl_is_of_both_sides() {
        let key = Key::parse("net.ipv4.tcp_tw_reuse").unwrap();
        assert_eq!(key.sysctl(), Some(("both", "net.ipv4.tcp_tw_reuse")));
        assert_eq!(
            key.sides().iter().map(Key::to_string).collect::<Vec<_>>(),
            [
                "sysctl.client.net.ipv4.tcp_tw_reuse",
                "sysctl.server.net.ipv4.tcp_tw_reuse"
            ]
        );
        assert!(key.covers(&Key::parse("sysctl.client.net.ipv4.tcp_tw_reuse").unwrap()));
        assert!(!key.covers(&Key::parse("sysctl.client.net.ipv4.tcp_timestamps").unwrap()));
    }

    #[test]
    fn a_key_that_cannot_be_read_says_why() {
        assert_eq!(Key::parse("load..rate"), Err("a part of the key is empty".to_owned()));
        assert_eq!(Key::parse("load.\"rate"), Err("the quote \" is not closed".to_owned()));
        assert!(Key::parse("").is_err());
    }
}
