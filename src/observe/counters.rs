//! /proc/net/snmp and /proc/net/netstat: the kernel's own counts of one namespace, by name.
//!
//! Names come and go with kernel versions: one that is not there is absent, never zero. Both files hold pairs of lines,
//! `Group: names…` and `Group: values…`; the groups `Tcp` and `TcpExt` are read, and their names do not clash.

use std::collections::BTreeMap;

/// The counters of one namespace at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, i64>);

impl Snapshot {
    /// Reads the texts of snmp and netstat, in either order.
    #[must_use]
    pub fn parse(texts: [&str; 2]) -> Self {
        let mut counters = BTreeMap::new();
        for text in texts {
            let mut lines = text.lines();
            while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
                let (Some((group, names)), Some((again, values))) = (names.split_once(':'), values.split_once(':'))
                else {
                    continue;
                };
                if group == again && matches!(group, "Tcp" | "TcpExt") {
                    let names = names.split_ascii_whitespace();
                    let values = values.split_ascii_whitespace().map(number);
                    counters.extend(
                        names
                            .zip(values)
                            .filter_map(|(name, value)| Some((name.to_owned(), value?))),
                    );
                }
            }
        }
        Self(counters)
    }

    /// One counter; None when this kernel lacks it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<i64> {
        self.0.get(name).copied()
    }
}

/// What each counter grew by. Names that either snapshot lacks are absent; one that stood still is 0.
#[must_use]
pub fn delta(before: &Snapshot, after: &Snapshot) -> BTreeMap<String, i64> {
    let changes = after
        .0
        .iter()
        .filter_map(|(name, now)| Some((name.clone(), now.wrapping_sub(before.get(name)?))));
    changes.collect()
}

/// A counter's text: signed (`MaxConn -1`) or beyond i64 on a machine long up, of which only differences matter.
fn number(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| text.parse().ok().map(u64::cast_signed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 2 64\nTcp: RtoAlgorithm MaxConn ActiveOpens\nTcp: 1 -1 7\n";
    const NETSTAT: &str = "TcpExt: TW TWRecycled\nTcpExt: 5 0\nIpExt: InOctets\nIpExt: 9\n";

    #[test]
    fn counters_are_found_by_name_and_absent_is_not_zero() {
        let before = Snapshot::parse([SNMP, NETSTAT]);
        assert_eq!(before.get("ActiveOpens"), Some(7));
        assert_eq!(before.get("MaxConn"), Some(-1));
        assert_eq!(before.get("InOctets"), None);
        let after = Snapshot::parse([SNMP, "TcpExt: TW TWNew\nTcpExt: 12 3\n"]);
        let delta = delta(&before, &after);
        assert_eq!(delta.get("TW"), Some(&7));
        assert_eq!(delta.get("ActiveOpens"), Some(&0));
        assert_eq!((delta.get("TWNew"), delta.get("TWRecycled")), (None, None));
    }

    proptest! {
        #[test]
        fn every_name_keeps_its_own_value(list in prop::collection::btree_map("[A-Z][A-Za-z0-9]{0,12}", any::<i64>(), 0..40)) {
            let names: Vec<_> = list.keys().cloned().collect();
            let values: Vec<_> = list.values().map(i64::to_string).collect();
            let text = format!("TcpExt: {}\nTcpExt: {}\n", names.join(" "), values.join(" "));
            prop_assert_eq!(Snapshot::parse(["", &text]), Snapshot(list));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "((Tcp|TcpExt|Ip)?:?[ a-z0-9-]{0,20}\n?){0,10}") {
            let _ = Snapshot::parse([&text, &text]);
        }
    }
}
