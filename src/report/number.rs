//! Numbers for people: thousands parted, a unit that fits the size, and the unit always there.

/// `28,232`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A difference with its sign: `+3`, `-1,204`, `0`.
pub(super) fn difference(value: i64) -> String {
    let sign = match value {
        1.. => "+",
        0 => "",
        _ => "-",
    };
    format!("{sign}{}", count(value.unsigned_abs()))
}

/// Microseconds in the unit that fits, three digits: `18.4 µs`, `2.90 ms`, `1.02 s`.
pub(super) fn micros(us: f64) -> String {
    let digits = |value: f64| match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => whole(value),
    };
    match us {
        us if us < 0.9995 => format!("{us:.2} µs"),
        us if us < 999.5 => format!("{} µs", digits(us)),
        us if us < 999_500.0 => format!("{} ms", digits(us / 1e3)),
        us => format!("{} s", digits(us / 1e6)),
    }
}

/// Seconds to the millisecond: `60 s`, `60.007 s`; shorter ones in ms or µs.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds == 0.0 {
        "0 s".to_owned()
    } else if seconds.abs() < 0.0995 {
        let sign = if seconds < 0.0 { "-" } else { "" };
        format!("{sign}{}", micros(seconds.abs() * 1e6))
    } else {
        format!("{} s", trimmed(format!("{seconds:.3}")))
    }
}

/// Connections a second: `470.5 conn/s`, `23,412 conn/s`.
pub(super) fn rate(per_second: f64) -> String {
    format!("{} conn/s", per_second_of(per_second))
}

/// A time that is a forecast: whole seconds, where there are several.
pub(super) fn forecast(seconds: f64) -> String {
    self::seconds(if seconds < 10.0 { seconds } else { seconds.round() })
}

/// The number of [`rate`] alone.
pub(super) fn per_second_of(per_second: f64) -> String {
    if per_second < 999.95 {
        trimmed(format!("{per_second:.1}"))
    } else {
        whole(per_second)
    }
}

/// `94.1 %`; what is not nothing is not shown as 0, and of nothing there is no share.
pub(super) fn percent(part: u64, of: u64) -> String {
    match part as f64 / of as f64 * 100.0 {
        _ if of == 0 => String::new(),
        share if share > 0.0 && share < 0.05 => "<0.1 %".to_owned(),
        share => format!("{share:.1} %"),
    }
}

/// Bytes in the unit that fits: `512 B`, `4.0 KiB`, `10.2 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", value / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", value / 1_048_576.0),
        _ => format!("{:.1} GiB", value / 1_073_741_824.0),
    }
}

/// `1 socket`, `2 sockets`.
pub(super) fn things(number: u64, name: &str) -> String {
    let plural = match (number, name.strip_suffix("ss")) {
        (1, _) => "",
        (_, Some(_)) => "es",
        (_, None) => "s",
    };
    format!("{} {name}{plural}", count(number))
}

fn whole(value: f64) -> String {
    count(value.round().max(0.0) as u64)
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_are_parted_by_thousands() {
        let shown = [0, 7, 999, 1_000, 28_232, 1_000_000].map(count);
        assert_eq!(shown, ["0", "7", "999", "1,000", "28,232", "1,000,000"]);
        assert_eq!([-1_204, 0, 3].map(difference), ["-1,204", "0", "+3"]);
    }

    #[test]
    fn latencies_have_three_digits_and_the_unit_that_fits() {
        let shown = [0.05, 1.0, 9.999, 18.42, 99.96, 999.4, 999.6, 2_900.0, 62_048_000.0].map(micros);
        let expected = [
            "0.05 µs", "1.00 µs", "10.0 µs", "18.4 µs", "100 µs", "999 µs", "1.00 ms", "2.90 ms", "62.0 s",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn seconds_keep_their_milliseconds_and_lose_their_zeros() {
        let shown = [60.0, 60.007, 0.0, 0.0042, 18.4123, -0.5].map(seconds);
        assert_eq!(shown, ["60 s", "60.007 s", "0 s", "4.20 ms", "18.412 s", "-0.5 s"]);
    }

    #[test]
    fn rates_sizes_and_shares_have_their_units() {
        assert_eq!([470.533, 28_232.4].map(rate), ["470.5 conn/s", "28,232 conn/s"]);
        assert_eq!([256, 4_096, 10_695_475].map(bytes), ["256 B", "4.0 KiB", "10.2 MiB"]);
        assert_eq!(
            [percent(28_232, 30_000), percent(1, 30_000), percent(0, 0)],
            ["94.1 %", "<0.1 %", ""]
        );
        assert_eq!(
            [things(1, "address"), things(2, "address"), things(3, "port")],
            ["1 address", "2 addresses", "3 ports"]
        );
    }

    proptest! {
        #[test]
        fn no_number_is_too_large_or_small(value in any::<f64>(), number in any::<i64>()) {
            for text in [micros(value), seconds(value), rate(value), difference(number), bytes(number.unsigned_abs())] {
                prop_assert!(!text.is_empty());
            }
        }

        #[test]
        fn a_latency_of_less_than_an_hour_fits_its_column(us in 0.0..3.6e9) {
            prop_assert!(micros(us).chars().count() <= 7, "{}", micros(us));
        }
    }
}
