//! One line of block characters for a series over time.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How the values that share a column become one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fold {
    /// For rates.
    Mean,
    /// For levels.
    Max,
}

/// Fits `values` into `width` columns; fewer values than columns are stretched.
pub(super) fn resampled(values: &[f64], width: usize, fold: Fold) -> Vec<f64> {
    if values.is_empty() {
        return Vec::new();
    }
    let edge = |column: usize| column * values.len() / width;
    (0..width)
        .map(|column| {
            let begin = edge(column).min(values.len() - 1);
            let shared = &values[begin..edge(column + 1).clamp(begin + 1, values.len())];
            match fold {
                Fold::Mean => shared.iter().sum::<f64>() / shared.len() as f64,
                Fold::Max => shared.iter().copied().fold(0.0, f64::max),
            }
        })
        .collect()
}

/// A column a value, from 0 to the largest. Zero is blank, and anything above it is seen.
pub(super) fn bars(values: &[f64]) -> String {
    let top = values.iter().copied().fold(0.0, f64::max);
    values
        .iter()
        .map(|value| {
            if *value > 0.0 {
                let level = (value / top * BLOCKS.len() as f64).ceil() as usize;
                BLOCKS[level.clamp(1, BLOCKS.len()) - 1]
            } else {
                ' '
            }
        })
        .collect()
}

/// The axis below: a line, and the times at its ends and in its middle.
pub(super) fn axis(width: usize, end: &str, middle: &str) -> [String; 2] {
    let half = width / 2;
    let rule = format!("└{}┴{}┘", "─".repeat(half - 1), "─".repeat(width - half - 2));
    let mut labels = "0 s".to_owned();
    let mut place = |text: &str, at: usize| {
        let used = labels.chars().count();
        labels.push_str(&" ".repeat(at.saturating_sub(used).max(1)));
        labels.push_str(text);
    };
    place(middle, half - middle.chars().count() / 2);
    place(end, width - end.chars().count());
    [rule, labels]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bar_is_as_high_as_its_share_of_the_largest() {
        assert_eq!(bars(&[0.0, 1.0, 4.0, 8.0]), " ▁▄█");
        assert_eq!(bars(&[0.0, 0.0]), "  ");
        assert_eq!(
            bars(&[1.0, 1_000_000.0]),
            "▁█",
            "a single failure among a million is seen"
        );
    }

    #[test]
    fn many_values_share_a_column_and_few_are_stretched() {
        assert_eq!(resampled(&[1.0, 3.0, 5.0, 7.0], 2, Fold::Mean), [2.0, 6.0]);
        assert_eq!(resampled(&[1.0, 3.0, 5.0, 7.0], 2, Fold::Max), [3.0, 7.0]);
        assert_eq!(resampled(&[1.0, 2.0], 4, Fold::Max), [1.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn the_axis_has_its_ends_under_the_plot() {
        let [rule, labels] = axis(40, "21.6 s", "10.8 s");
        assert_eq!(rule.chars().count(), 40);
        assert_eq!(labels.chars().count(), 40);
        assert!(labels.starts_with("0 s ") && labels.ends_with(" 21.6 s"));
    }

    proptest! {
        #[test]
        fn a_plot_has_its_width_and_hides_no_peak(values in prop::collection::vec(0.0..1e12, 1..500), width in 1usize..120) {
            let columns = resampled(&values, width, Fold::Max);
            prop_assert_eq!(bars(&columns).chars().count(), width);
            if width >= values.len() {
                let top = values.iter().copied().fold(0.0, f64::max);
                prop_assert!(columns.contains(&top));
            }
        }
    }
}
