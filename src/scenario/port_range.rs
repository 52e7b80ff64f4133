//! A range of ports as the kernel writes it: `LOW HIGH`, both inclusive (ip_local_port_range).

use super::problem::quoted;

/// Reads `LOW HIGH`.
///
/// # Errors
/// Says what came and what is allowed.
pub fn parse(text: &str) -> Result<(u16, u16), String> {
    let allowed = "expected \"LOW HIGH\" with 1 ≤ LOW ≤ HIGH ≤ 65535, such as \"32768 60999\"";
    let came = quoted(text);
    let ports: Vec<u16> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("{came} is no range of ports; {allowed}"))?;
    match ports[..] {
        [low, high] if low > high => Err(format!("{came} has its low port above its high one; {allowed}")),
        [low, high] if low > 0 => Ok((low, high)),
        _ => Err(format!("{came} is no range of ports; {allowed}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_a_low_and_a_high_port_in_that_order() {
        assert_eq!(parse("32768 60999"), Ok((32768, 60999)));
        assert_eq!(parse("32768\t60999"), Ok((32768, 60999)));
        assert_eq!(parse("1 1"), Ok((1, 1)));
        for wrong in ["60999 32768", "0 10", "1 65536", "1", "1 2 3", "", "a b", "-1 5"] {
            let message = parse(wrong).unwrap_err();
            assert!(message.contains("LOW ≤ HIGH"), "{wrong}: {message}");
        }
    }
}
