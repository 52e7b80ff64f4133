//! Aligned columns and wrapped lines, by what is seen: escape codes take no room.

/// Lines of columns two blanks apart. The first `left` columns and the last are aligned left, the others right.
pub(super) fn aligned(rows: &[Vec<String>], left: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|text| width(text))
                .max()
                .unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate().map(|(column, text)| {
                let padding = " ".repeat(widths[column] - width(text));
                if column < left || column + 1 == columns {
                    format!("{text}{padding}")
                } else {
                    format!("{padding}{text}")
                }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// The columns a text takes on a terminal, for the characters that linger prints.
pub(super) fn width(text: &str) -> usize {
    let mut in_escape = false;
    text.chars()
        .filter(|character| {
            let hidden = in_escape || *character == '\x1b';
            in_escape = hidden && *character != 'm';
            !hidden
        })
        .count()
}

/// Breaks a text between words, never between a number and its unit; a word longer than `limit` keeps a line of its own.
pub(super) fn wrapped(text: &str, limit: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words(text) {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(&word) <= limit => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// Words, a unit being one with the number before it.
fn words(text: &str) -> Vec<String> {
    const UNITS: [&str; 9] = ["s", "ms", "µs", "%", "B", "KiB", "MiB", "GiB", "conn/s"];
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_unit = UNITS.contains(&word.trim_end_matches([',', ';', ':', '.', ')']));
        match words.last_mut() {
            Some(number) if is_unit && number.ends_with(|c: char| c.is_ascii_digit()) => {
                number.push(' ');
                number.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_align_right_and_escape_codes_take_no_room() {
        let rows = [["name", "ok", "verdict"], ["a", "28,232", "\x1b[32mmet\x1b[0m"]]
            .map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            aligned(&rows, 1),
            ["name      ok  verdict", "a     28,232  \x1b[32mmet\x1b[0m"]
        );
    }

    #[test]
    fn a_text_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("indivisible word", 4), ["indivisible", "word"]);
        assert_eq!(wrapped("after 60 s, on", 8), ["after", "60 s, on"]);
        assert!(wrapped("", 4).is_empty());
    }
}
