//! The books of a sequence: its connects against the kernel's count of them.
//!
//! What else a sequence does, its steps set against the kernel one by one; and what is injected, the kernel counts too, so
//! that passive opens and resets cannot be reconciled.

use std::collections::BTreeMap;

use super::{Allowance, of_rows, row, sum};
use crate::record::schema::Ledger;

/// The one row, from the client's counters.
#[must_use]
pub fn reconcile_sequence(opens: i64, client: &BTreeMap<String, i64>) -> Ledger {
    let opens = (opens, "connect() began");
    let kernel = sum(Some(client), &["ActiveOpens"]);
    of_rows(vec![row(
        "client opens",
        opens,
        kernel,
        "client ActiveOpens",
        Allowance::default(),
    )])
}
