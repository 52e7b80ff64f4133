//! The books of a sequence: its connects against the kernel's count of them.

use std::collections::BTreeMap;

use crate::record::schema::{Ledger, LedgerRow};

/// One row. What else a sequence does, its steps set against the kernel one by one; and what is injected, the kernel
/// counts too, so that passive opens and resets cannot be reconciled.
pub(super) fn of(opens: i64, client: &BTreeMap<String, i64>) -> Ledger {
    let kernel = client.get("ActiveOpens").copied();
    let balanced = kernel.is_none_or(|kernel| kernel == opens);
    Ledger {
        unsettled: None,
        balanced,
        rows: vec![LedgerRow {
            name: "client opens".to_owned(),
            ours: opens,
            ours_is: "connect() began".to_owned(),
            kernel,
            kernel_is: "client ActiveOpens".to_owned(),
            tolerance: 0,
            balanced,
            note: None,
        }],
    }
}
