//! The main job on the default range, as a user runs it. By itself, since it needs a CPU for half a minute: the kernel
//! searches the whole range for each port beyond half of it, and past 60 s the first TIME_WAIT would end.

mod support;

use serde_json::json;
use support::{linger, records, run, said};
use tempfile::tempdir;

#[test]
fn exhaustion_comes_exactly_after_the_predicted_capacity() {
    let directory = tempdir().unwrap();
    let output = run(linger(directory.path(), &["run", "exhaustion", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let record = &records(&output)[0];
    assert_eq!(record["verdict"]["status"], "met");
    // 60999 − 32768 + 1
    assert_eq!(record["prediction"]["capacity"], 28_232);
    assert_eq!(record["outcomes"]["ok"], 28_232);
    assert_eq!(record["time_wait"]["client"]["end"], 28_232);
    assert_eq!(record["time_wait"]["server"]["peak"], 0);
    let failed = &record["outcomes"]["failed"];
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    assert_eq!(
        (&failed[0]["phase"], &failed[0]["errno"]),
        (&json!("connect"), &json!("EADDRNOTAVAIL"))
    );
    assert_eq!(failed[0]["first_attempt"], 28_233);
    assert_eq!(record["ledger"]["balanced"], true);
    let share = record["observation"]["share_of_core"].as_f64().unwrap();
    assert!(share > 0.0, "observing was measured");
}
