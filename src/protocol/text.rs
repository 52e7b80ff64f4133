//! Lines, words and decimal numbers: what the text protocols are made of.

/// The first line of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Its end is not there yet.
    Incomplete,
    /// Its end is not within the limit.
    TooLong,
    /// The line without its LF or CR LF, and its length with it.
    Complete(&'a [u8], usize),
}

/// Splits the first line off; `limit` bounds its length with its end. A bare LF ends a line too, as RFC 9112 section
/// 2.2, memcached and Redis' inline commands allow.
pub(super) fn first_line(input: &[u8], limit: usize) -> Line<'_> {
    let window = &input[..input.len().min(limit)];
    match window.iter().position(|&byte| byte == b'\n') {
        Some(end) => {
            let line = &input[..end];
            Line::Complete(line.strip_suffix(b"\r").unwrap_or(line), end + 1)
        }
        None if input.len() >= limit => Line::TooLong,
        None => Line::Incomplete,
    }
}

/// The words between spaces.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// A decimal number of digits alone, without sign or space.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    number(digits, 10)
}

/// A hexadecimal number of digits alone.
pub(super) fn hexadecimal(digits: &[u8]) -> Option<u64> {
    number(digits, 16)
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        let digit = char::from(byte).to_digit(radix)?;
        value.checked_mul(radix.into())?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_lf_or_crlf_within_the_limit() {
        assert_eq!(first_line(b"ab\r\ncd", 8), Line::Complete(b"ab", 4));
        assert_eq!(first_line(b"ab\ncd", 8), Line::Complete(b"ab", 3));
        assert_eq!(first_line(b"ab\r", 8), Line::Incomplete);
        assert_eq!(first_line(b"abcd\n", 4), Line::TooLong);
        assert_eq!(first_line(b"abc\n", 4), Line::Complete(b"abc", 4));
    }

    #[test]
    fn numbers_are_digits_alone_and_do_not_overflow() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for not_a_number in [&b"18446744073709551616"[..], b"", b"+1", b"-1", b" 1", b"1a"] {
            assert_eq!(decimal(not_a_number), None);
        }
        assert_eq!(hexadecimal(b"fF"), Some(255));
    }
}
