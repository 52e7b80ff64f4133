//! Which kernels an expectation is about.
//!
//! A release as `uname -r` gives it is not a semantic version: `6.18.44-fc-v769`, `4.4.0-210-generic`, `6.12-rc3`. Its
//! leading numbers are what behaviour follows; the suffix is the distribution's name for its build, and a semantic
//! version would take it for a pre-release, which no range matches.

use semver::{Version, VersionReq};

/// Whether the kernel `release` is in `range`, such as `>=4.1, <6.8`.
///
/// # Errors
/// A range or a release that cannot be read, in words.
pub fn is_in_range(release: &str, range: &str) -> Result<bool, String> {
    let request = VersionReq::parse(range)
        .map_err(|error| format!("kernel `{range}` is not a range of versions such as \">=4.1, <6.8\": {error}"))?;
    let version = leading_numbers(release)
        .ok_or_else(|| format!("the kernel's release `{release}` does not begin with a version such as 6.18"))?;
    Ok(request.matches(&version))
}

/// Up to three numbers parted by dots; those that are absent are 0.
fn leading_numbers(release: &str) -> Option<Version> {
    let end = release
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(release.len());
    let mut numbers = release[..end].split('.').map(str::parse::<u64>);
    let major = numbers.next()?.ok()?;
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    Some(Version::new(major, next(), next()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn releases_of_real_kernels_are_read_without_their_suffix() {
        for (release, version) in [
            ("6.18.44-fc-v769", (6, 18, 44)),
            ("4.4.0-210-generic", (4, 4, 0)),
            ("3.13.11", (3, 13, 11)),
            ("6.12-rc3", (6, 12, 0)),
            ("5.15.0.1", (5, 15, 0)),
            ("6.1+", (6, 1, 0)),
        ] {
            let (major, minor, patch) = version;
            assert_eq!(
                leading_numbers(release),
                Some(Version::new(major, minor, patch)),
                "{release}"
            );
        }
        assert_eq!(leading_numbers("next-20260101"), None);
        assert_eq!(leading_numbers(""), None);
    }

    #[test]
    fn a_range_holds_for_a_kernel_with_a_suffix() {
        assert_eq!(is_in_range("6.18.44-fc-v769", ">=4.1"), Ok(true));
        assert_eq!(is_in_range("6.12-rc3", ">=6.12, <6.14"), Ok(true));
        assert_eq!(is_in_range("3.13.11", ">=4.1"), Ok(false));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_not_a_no() {
        assert!(is_in_range("6.18", "newer").unwrap_err().contains("`newer`"));
        assert!(is_in_range("unknown", ">=4.1").unwrap_err().contains("`unknown`"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(release in ".*", range in ".*") {
            let _ = is_in_range(&release, &range);
            let _ = is_in_range(&release, ">=4.1");
        }
    }
}
