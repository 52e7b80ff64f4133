//! No record makes a report panic, whatever stands in it: real records, with values that the bytes choose put in the
//! places that they choose.
#![no_main]

use std::sync::LazyLock;

use linger::record::schema::Record;
use linger::report::{self, Style};
use serde_json::{Value, json};

static RECORDS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    [
        include_str!("../seeds/load.json"),
        include_str!("../seeds/sequence.json"),
    ]
    .map(|text| serde_json::from_str(text).expect("a seed is a record"))
    .into()
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, changes)) = data.split_first() else {
        return;
    };
    let mut json = RECORDS[usize::from(*which) % RECORDS.len()].clone();
    for change in changes.chunks_exact(4).take(16) {
        let nth = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let mut left = nth % places(&json);
        put(&mut json, &mut left, &value(change[2], change[3]));
    }
    let Ok(record) = serde_json::from_value::<Record>(json) else {
        return;
    };
    let records = [record];
    let _ = report::trial(&records[0], Style::plain());
    let _ = report::markdown(&records);
    let _ = report::verify(&records, Style::plain());
    let _ = report::junit::records(&records);
    let _ = report::csv::summary(&records);
    let _ = report::csv::timeline(&records);
    let _ = report::hdr::interval_log(&records);
    let _ = report::hdr::percentiles(&records);
});

/// Values that a record of another's making might hold.
fn value(kind: u8, number: u8) -> Value {
    match kind % 12 {
        0 => Value::Null,
        1 => json!(0),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(f64::MAX),
        5 => json!(-1e-300),
        6 => json!(i64::MIN),
        7 => json!(""),
        8 => json!("\u{1b}[31m é\n| `x`"),
        9 => json!([]),
        10 => json!({}),
        _ => json!(number),
    }
}

fn places(json: &Value) -> usize {
    1 + match json {
        Value::Array(items) => items.iter().map(places).sum(),
        Value::Object(map) => map.values().map(places).sum::<usize>(),
        _ => 0,
    }
}

/// Puts the value in the `left`th place, in reading order.
fn put(json: &mut Value, left: &mut usize, value: &Value) -> bool {
    if *left == 0 {
        *json = value.clone();
        return true;
    }
    *left -= 1;
    match json {
        Value::Array(items) => items.iter_mut().any(|item| put(item, left, value)),
        Value::Object(map) => map.values_mut().any(|item| put(item, left, value)),
        _ => false,
    }
}
