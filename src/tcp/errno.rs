//! Errno numbers and their names.
#![forbid(unsafe_code)]

use nix::errno::Errno;

/// The symbolic name of a raw errno, such as `EADDRNOTAVAIL`; `errno 200` for a number that Linux does not name.
#[must_use]
pub fn name(raw: i32) -> String {
    match Errno::from_raw(raw) {
        Errno::UnknownErrno => format!("errno {raw}"),
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn errnos_have_the_names_of_errno_h() {
        assert_eq!(name(99), "EADDRNOTAVAIL");
        assert_eq!(name(98), "EADDRINUSE");
        assert_eq!(name(111), "ECONNREFUSED");
        assert_eq!(name(110), "ETIMEDOUT");
        assert_eq!(name(4000), "errno 4000");
    }
}
