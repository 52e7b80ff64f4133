use super::*;
use crate::record::fixture;
use crate::record::schema::StepResult;
use proptest::prelude::*;

fn expect(that: &str) -> Expectation {
    Expectation {
        when: None,
        kernel: None,
        that: that.into(),
        at: "a.toml:1 expect[0].that".into(),
    }
}

fn judged_with(record: &mut Record, expectation: Expectation) -> Judged {
    judge(record, &[expectation]);
    record.verdict.expectations[0].clone()
}

fn judged(that: &str) -> Judged {
    judged_with(&mut fixture::exhaustion(), expect(that))
}

#[test]
fn a_comparison_tells_what_was_expected_and_what_was_found() {
    let met = judged("outcomes.ok == prediction.capacity");
    assert_eq!(met.status, Some(Status::Met));
    assert_eq!(met.expected.as_deref(), Some("== 28232"));
    assert_eq!(met.actual.as_deref(), Some("28232"));
    let unmet = judged("outcomes.ok + 1 < prediction.capacity");
    assert_eq!(unmet.status, Some(Status::Unmet));
    assert_eq!(unmet.expected.as_deref(), Some("< 28232"));
    assert_eq!(unmet.actual.as_deref(), Some("28233"));
}

#[test]
fn integers_and_floats_compare() {
    for that in [
        "prediction.hold_seconds == 60",
        "prediction.hold_seconds <= 60",
        "rates.load_seconds > 21",
        "21 < rates.load_seconds",
        "outcomes.ok >= 28231.5",
        "outcomes.ok in [28232.0]",
        "double(outcomes.ok) >= 0.9 * double(prediction.capacity)",
    ] {
        assert_eq!(judged(that).status, Some(Status::Met), "{that}");
    }
}

#[test]
fn any_other_expression_tells_the_values_of_the_names_in_it() {
    let unmet = judged("outcomes.ok == 1 || outcomes.failed[0].errno == 'ETIMEDOUT'");
    assert_eq!(unmet.expected, None);
    assert_eq!(
        unmet.actual.as_deref(),
        Some("outcomes.ok = 28232, outcomes.failed[0].errno = \"EADDRNOTAVAIL\"")
    );
}

#[test]
fn a_conjunction_tells_which_part_failed() {
    let unmet = judged("outcomes.ok == 28232 && 'a&&b' != '' && outcomes.failed_total == 0");
    assert_eq!(unmet.status, Some(Status::Unmet));
    assert_eq!(
        unmet.note.as_deref(),
        Some("`outcomes.failed_total == 0` does not hold")
    );
    assert_eq!(unmet.expected.as_deref(), Some("== 0"));
    assert_eq!(unmet.actual.as_deref(), Some("1768"));
}

#[test]
fn a_name_that_the_record_lacks_is_inconclusive_where_the_answer_hangs_on_it() {
    for that in [
        "outcomes.okay == 28232",
        "outcome.ok == 28232",
        "outcomes.ok == 28232 && outcomes.okay == 1",
        "outcomes.okay == 1 || outcomes.ok == 1",
        "(outcomes.ok == 28232 || outcomes.okay == 1) == true",
        "outcomes.okay != 1",
        "nothing ? true : true",
        "!has(nothing.at.all)",
        "cell['close.closer'] != 'client'",
        "counters.client['NoSuchCounter'] == 0",
        "outcomes.failed[7].count > 0",
        "timeline.all(point, point.missing >= 0)",
        "no_such_function(outcomes.ok)",
    ] {
        let judged = judged(that);
        assert_eq!(judged.status, Some(Status::Inconclusive), "{that}");
        assert!(judged.note.is_some(), "{that}");
    }
    let note = judged("outcomes.okay == 1").note.unwrap();
    assert!(
        note.contains("`outcomes.okay`") && note.contains("nearest name there is `ok`"),
        "{note}"
    );
}

#[test]
fn a_name_that_the_record_lacks_does_not_matter_where_the_answer_is_the_same_without() {
    let met = judged("outcomes.okay == 1 || outcomes.ok == 28232");
    assert_eq!(met.status, Some(Status::Met));
    let unmet = judged("outcomes.okay == 1 && outcomes.ok == 1");
    assert_eq!(unmet.status, Some(Status::Unmet));
    assert_eq!(unmet.note.as_deref(), Some("`outcomes.ok == 1` does not hold"));
    assert_eq!(unmet.actual.as_deref(), Some("28232"));
}

#[test]
fn null_is_absent_and_never_satisfies_a_comparison() {
    for that in [
        "prediction.first_failure_at != 5",
        "prediction.first_failure_at == null",
        "time_wait.lifetime_seconds.min >= 60",
        "latency.from_intended_start.p99_us < 5",
    ] {
        assert_eq!(judged(that).status, Some(Status::Inconclusive), "{that}");
    }
}

#[test]
fn has_and_in_ask_whether_a_name_is_there() {
    for that in [
        "!has(prediction.first_failure_at)",
        "has(prediction.capacity) && prediction.capacity == 28232",
        "has(time_wait.lifetime_seconds) ? time_wait.lifetime_seconds.min >= 60 : true",
        "!('close.closer' in cell) || cell['close.closer'] == 'client'",
        "size(outcomes.failed) < 2 || outcomes.failed[1].count == 0",
    ] {
        assert_eq!(
            judged(that).status,
            Some(Status::Met),
            "{that}: {:?}",
            judged(that).note
        );
    }
}

#[test]
fn what_is_neither_true_nor_false_is_inconclusive() {
    let number = judged("outcomes.ok");
    assert_eq!(number.status, Some(Status::Inconclusive));
    assert!(number.note.unwrap().contains("gives 28232, neither true nor false"));
    let mixed = judged("outcomes.ok >= prediction.capacity * 0.9");
    assert_eq!(mixed.status, Some(Status::Inconclusive));
    assert!(mixed.note.unwrap().contains("double(x)"));
}

#[test]
fn an_expectation_for_other_kernels_or_cells_does_not_apply() {
    let mut record = fixture::exhaustion();
    let old = Expectation {
        kernel: Some("<4.1".into()),
        ..expect("outcomes.ok == 1")
    };
    let elsewhere = Expectation {
        when: Some("scenario.close.closer == 'server'".into()),
        ..expect("outcomes.ok == 2")
    };
    judge(&mut record, &[old.clone(), elsewhere.clone()]);
    let verdict = &record.verdict;
    assert_eq!(verdict.status, Status::Inconclusive);
    assert_eq!(verdict.reasons, ["no expectation applies to this kernel and cell"]);
    assert!(verdict.expectations.iter().all(|judged| judged.status.is_none()));
    assert_eq!(
        verdict.expectations[0].note.as_deref(),
        Some("applies to kernels <4.1; this is 6.18.44")
    );

    judge(&mut record, &[old, elsewhere, expect("outcomes.ok == 28232")]);
    assert_eq!(record.verdict.status, Status::Met);
}

#[test]
fn a_condition_that_cannot_be_told_is_inconclusive() {
    let unknown = Expectation {
        when: Some("cell['close.closer'] == 'client'".into()),
        ..expect("outcomes.ok == 28232")
    };
    let judged = judged_with(&mut fixture::exhaustion(), unknown);
    assert_eq!(judged.status, Some(Status::Inconclusive));
    assert!(judged.note.unwrap().starts_with("when `cell"));
}

#[test]
fn books_that_do_not_balance_outweigh_what_they_say() {
    let mut record = fixture::exhaustion();
    let ledger = record.ledger.as_mut().unwrap();
    (ledger.balanced, ledger.rows[1].balanced, ledger.rows[1].kernel) = (false, false, Some(28_230));
    judge(&mut record, &[expect("outcomes.ok == 1")]);
    assert_eq!(record.verdict.status, Status::Inconclusive);
    assert_eq!(record.verdict.expectations[0].status, Some(Status::Unmet));
    let reason = &record.verdict.reasons[0];
    assert!(
        reason.contains("server opens") && reason.contains("28232") && reason.contains("28230"),
        "{reason}"
    );

    record.ledger = None;
    judge(&mut record, &[expect("outcomes.ok == 28232")]);
    assert_eq!(record.verdict.status, Status::Inconclusive);
}

#[test]
fn a_load_that_attempted_nothing_is_inconclusive() {
    let mut record = fixture::exhaustion();
    record.offered.as_mut().unwrap().attempted = 0;
    judge(&mut record, &[]);
    assert_eq!(record.verdict.status, Status::Inconclusive);
    assert!(
        record.verdict.reasons[0].contains("no attempt"),
        "{:?}",
        record.verdict.reasons
    );
}

#[test]
fn an_interrupted_trial_is_inconclusive() {
    let mut record = fixture::exhaustion();
    record.interrupted = true;
    judge(&mut record, &[expect("outcomes.ok == 28232")]);
    assert_eq!(record.verdict.status, Status::Inconclusive);
    assert!(record.verdict.reasons[0].starts_with("interrupted"));
}

#[test]
fn books_that_are_not_of_one_moment_make_a_trial_inconclusive() {
    let mut record = fixture::exhaustion();
    record.ledger.as_mut().unwrap().unsettled = Some("10.0 s after the load, 3 FIN_WAIT1".into());
    judge(&mut record, &[expect("outcomes.ok == 28232")]);
    assert_eq!(record.verdict.status, Status::Inconclusive);
    assert!(record.verdict.reasons[0].ends_with("3 FIN_WAIT1"));
}

#[test]
fn a_failed_look_makes_a_trial_inconclusive_and_is_told() {
    let mut record = fixture::exhaustion();
    record.observation.as_mut().unwrap().trouble = Some("cannot read sockstat".into());
    judge(&mut record, &[expect("outcomes.ok == 28232")]);
    assert_eq!(record.verdict.status, Status::Inconclusive);
    assert!(record.verdict.reasons[0].ends_with("cannot read sockstat"));
}

#[test]
fn a_step_of_which_the_kernel_does_not_tell_makes_a_sequence_inconclusive() {
    let mut record = fixture::exhaustion();
    let step = |number, actual: Option<&str>, status| StepResult {
        number,
        at: format!("a.toml:{number}"),
        does: "expect counter client TWRecycled".into(),
        expected: "1".into(),
        actual: actual.map(str::to_owned),
        status,
        began_seconds: None,
        took_seconds: None,
    };
    record.steps = vec![
        step(1, Some("this kernel has no counter X"), Some(Status::Inconclusive)),
        step(2, None, None),
    ];
    judge(&mut record, &[expect("true")]);
    assert_eq!(record.verdict.status, Status::Inconclusive);
    let of_steps = &record.verdict.expectations[0];
    assert!(of_steps.that.starts_with("step 1 of 2"), "{of_steps:?}");
    assert_eq!(of_steps.note.as_deref(), Some("this kernel has no counter X"));
}

#[test]
fn unmet_outweighs_inconclusive_and_inconclusive_met() {
    let mut record = fixture::exhaustion();
    let [met, unmet, missing] = ["true", "false", "nothing"].map(expect);
    judge(&mut record, &[met.clone(), missing.clone(), unmet]);
    assert_eq!(record.verdict.status, Status::Unmet);
    judge(&mut record, &[met, missing]);
    assert_eq!(record.verdict.status, Status::Inconclusive);
}

#[test]
fn a_scenario_without_expectations_is_a_measurement() {
    let mut record = fixture::exhaustion();
    judge(&mut record, &[]);
    assert_eq!(record.verdict.status, Status::Met);
    assert_eq!(record.verdict.reasons, ["no expectations: measured only"]);
}

#[test]
fn an_unavailable_record_stays_unavailable() {
    let mut record = fixture::unavailable();
    let before = record.verdict.clone();
    judge(&mut record, &[expect("true")]);
    assert_eq!(record.verdict, before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_missing_name_is_never_met(name in "zz[a-z]{1,8}", operator in "==|!=|<|>=", number in 0..9, shape in 0..6) {
        let compared = format!("outcomes.{name} {operator} {number}");
        let that = match shape {
            0 => compared,
            1 => format!("true && {compared}"),
            2 => format!("{compared} || false"),
            3 => format!("!({compared})"),
            4 => format!("{compared} ? true : true"),
            _ => format!("[1].all(x, x == 1 && {compared})"),
        };
        prop_assert_eq!(judged(&that).status, Some(Status::Inconclusive), "{}", that);
    }

    #[test]
    fn any_text_is_judged_without_a_panic(that in ".{0,60}") {
        judged(&that);
    }

    #[test]
    fn any_text_of_tokens_is_judged_without_a_panic(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "outcomes", ".ok", "timeline", "[0]", "['a']", "(", ")", "[", "]", "{", "}", ",", ":", "?", "&&", "||",
                "==", "<", "+", "-", "!", "1", "2.5", "3u", "'x'", "\"", "'", "r'", "b'y'", "null", "true", "in", ".",
                ".all(", ".map(x,", "has(", "size(", "duration('1s')", "timestamp('", "matches(", "\\", "`", "\u{1F600}",
                "9223372036854775807", "0x", "1e999", "int(", "cel.bind(",
            ]),
            0..12,
        ),
    ) {
        judged(&tokens.concat());
        judged(&tokens.join(" "));
    }
}
