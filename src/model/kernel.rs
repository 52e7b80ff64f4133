//! Kernel versions, and what of TIME_WAIT and port choice changed between them.

use std::fmt;

/// A kernel's version number, without the distribution's suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl KernelVersion {
    /// What is taken for a release that cannot be read: later than every rule.
    pub const NEWEST: Self = Self::new(u32::MAX, 0);

    /// The version `major.minor.0`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor, patch: 0 }
    }

    /// Reads a release as `uname -r` gives it, such as `6.18.44`, `4.4.0-210-generic` or `6.12-rc3`.
    #[must_use]
    pub fn parse(release: &str) -> Option<Self> {
        let numbers = release.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut parts = numbers.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let patch = parts.next().and_then(|patch| patch.parse().ok()).unwrap_or(0);
        Some(Self { major, minor, patch })
    }

    /// Whether this kernel is `major.minor` or later.
    #[must_use]
    pub fn at_least(self, major: u32, minor: u32) -> bool {
        self >= Self::new(major, minor)
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::KernelVersion;

    #[test]
    fn releases_of_distributions_are_read() {
        for (release, expected) in [
            ("6.18.44-fc-v769", Some((6, 18, 44))),
            ("4.4.0-210-generic", Some((4, 4, 0))),
            ("3.13.11", Some((3, 13, 11))),
            ("6.12-rc3", Some((6, 12, 0))),
            ("5.10.0-28-amd64", Some((5, 10, 0))),
            ("Linux", None),
            ("6", None),
        ] {
            let read = KernelVersion::parse(release).map(|v| (v.major, v.minor, v.patch));
            assert_eq!(read, expected, "{release}");
        }
    }
}
