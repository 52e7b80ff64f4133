//! Whatever a file or an option holds, there are trials or problems, and never a panic.

use proptest::prelude::*;

use super::{catalogue, from_text, load};

/// A mutation of a line of TOML.
#[derive(Clone, Debug)]
enum Mutation {
    Drop,
    Rename(String),
    Value(String),
    Repeat,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        Just(Mutation::Drop),
        Just(Mutation::Repeat),
        "[a-z\".,' ]{0,12}".prop_map(Mutation::Rename),
        prop_oneof![
            Just("0".to_owned()),
            Just("-1".to_owned()),
            Just("1e300".to_owned()),
            Just("nan".to_owned()),
            Just("true".to_owned()),
            Just("1979-05-27".to_owned()),
            Just("9223372036854775807".to_owned()),
            Just("[]".to_owned()),
            Just("[[]]".to_owned()),
            Just("[{}, 1]".to_owned()),
            Just("{}".to_owned()),
            Just("{ a.b = [1] }".to_owned()),
            "\"\\PC{0,20}\"",
        ]
        .prop_map(Mutation::Value),
    ]
}

fn mutated(text: &str, mutations: &[(prop::sample::Index, Mutation)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (index, mutation) in mutations {
        let line = index.get(&lines).clone();
        let at = index.index(lines.len());
        let (key, value) = line.split_once('=').unwrap_or((&line, ""));
        match mutation {
            Mutation::Drop => lines[at] = String::new(),
            Mutation::Rename(name) if line.starts_with('[') => lines[at] = format!("[{name}]"),
            Mutation::Rename(name) => lines[at] = format!("{name} ={value}"),
            Mutation::Value(value) => lines[at] = format!("{key}= {value}"),
            Mutation::Repeat => lines.push(line),
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_mutated_scenario_gives_trials_or_problems(
        scenario in prop::sample::select(catalogue::ids()),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), mutation()), 1..4),
    ) {
        let text = mutated(catalogue::text(scenario).unwrap(), &mutations);
        match from_text("x.toml", &text) {
            Ok(plan) => prop_assert!(!plan.trials.is_empty()),
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems.iter() {
                    prop_assert!(problem.origin.is_some(), "serde refused what the checks let through: {problem}");
                    prop_assert!(!problem.to_string().contains('\n'), "{problem}");
                }
            }
        }
    }

    #[test]
    fn any_text_gives_trials_or_problems(text in "\\PC{0,200}") {
        if let Err(problems) = from_text("x.toml", &text) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn any_set_gives_trials_or_problems(key in "[a-z.\"']{0,20}", value in "\\PC{0,20}") {
        let set = format!("{key}={value}");
        if let Err(problems) = load(&["refused".to_owned()], &[set], None, None) {
            prop_assert!(!problems.is_empty());
        }
    }
}
