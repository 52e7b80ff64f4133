//! Usable ports: the range less what is reserved and what is bound.

use super::Facts;
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Source;

/// The range where the sysctl cannot be read: 61000 belonged to it before 4.2 (07f4c90062f8).
fn default_range(facts: &Facts) -> (u16, u16) {
    let high = if facts.kernel.at_least(4, 2) { 60_999 } else { 61_000 };
    (32_768, high)
}

/// The ports that sources `owned` and `bind-port` go through.
#[must_use]
pub fn owned(plan: &TrialPlan, facts: &Facts) -> Vec<u16> {
    let (low, high) = bounds(plan, facts);
    let reserved = reserved(facts);
    let free = |port: &u16| !reserved.contains(port) && !facts.bound.contains(port);
    (low..=high).filter(free).collect()
}

/// The range that the plan's source chooses from, both ends inclusive.
fn bounds(plan: &TrialPlan, facts: &Facts) -> (u16, u16) {
    let namespace = facts
        .client
        .get("net.ipv4.ip_local_port_range")
        .and_then(|text| range(text))
        .unwrap_or_else(|| default_range(facts));
    match (plan.client.source, plan.client.port_range) {
        (Source::PortRange | Source::Owned, Some(window)) => clamp(namespace, window),
        // bind() takes any port that it is given.
        (Source::BindPort, Some(window)) => window,
        _ => namespace,
    }
}

fn reserved(facts: &Facts) -> Vec<u16> {
    let text = facts.client.get("net.ipv4.ip_local_reserved_ports");
    text.map(|text| list(text)).unwrap_or_default()
}

/// Ports that connect() (or bind(), for source `bind-address`) can choose from, for one source and one destination.
pub(super) fn usable(plan: &TrialPlan, facts: &Facts, because: &mut Vec<String>) -> u64 {
    let (low, high) = bounds(plan, facts);
    let size = u64::from(high - low) + 1;
    let reserved = reserved(facts);
    let in_range = |port: &u16| (low..=high).contains(port);
    let reserved_in_range = reserved.iter().filter(|port| in_range(port)).count() as u64;
    let mut bound: Vec<u16> = facts
        .bound
        .iter()
        .copied()
        .filter(|port| in_range(port) && !reserved.contains(port))
        .collect();
    bound.sort_unstable();
    bound.dedup();
    because.push(format!(
        "ports {low}–{high}: {size}, less {reserved_in_range} reserved and {} bound",
        bound.len()
    ));
    // From 4.6 on both searches walk an even number of candidates (`remaining &= ~1`) from a start of their own.
    if size % 2 == 1 && size > 1 && facts.kernel.at_least(4, 6) {
        because.push("a range of odd size: each call leaves one port out, so that the last may not be found".into());
    }
    size.saturating_sub(reserved_in_range + bound.len() as u64)
}

/// IP_LOCAL_PORT_RANGE inside the namespace's range: each bound counts only where it lies within it
/// (inet_sk_get_local_port_range).
fn clamp((low, high): (u16, u16), (window_low, window_high): (u16, u16)) -> (u16, u16) {
    let inside = |port: u16| (low..=high).contains(&port);
    (
        if inside(window_low) { window_low } else { low },
        if inside(window_high) { window_high } else { high },
    )
}

/// `32768\t60999`, both inclusive.
fn range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next()?.ok()?, numbers.next()?.ok()?) {
        (low, high) if low <= high => Some((low, high)),
        _ => None,
    }
}

/// `80,8000-8100`, as ip_local_reserved_ports writes it.
fn list(text: &str) -> Vec<u16> {
    text.trim()
        .split(',')
        .filter_map(|item| {
            let (low, high) = item.split_once('-').unwrap_or((item, item));
            Some(low.trim().parse::<u16>().ok()?..=high.trim().parse::<u16>().ok()?)
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reserved_ports_are_read_as_the_kernel_writes_them() {
        assert_eq!(list("24224,40000-40002\n"), [24_224, 40_000, 40_001, 40_002]);
        assert_eq!(list("\n"), [0u16; 0]);
    }

    #[test]
    fn a_range_upside_down_is_none() {
        assert_eq!(range("60999 32768"), None);
        assert_eq!(range("32768\t60999"), Some((32_768, 60_999)));
    }

    proptest! {
        #[test]
        fn a_window_never_widens_the_namespaces_range(a: u16, b: u16, c: u16, d: u16) {
            let (namespace, window) = ((a.min(b), a.max(b)), (c.min(d), c.max(d)));
            let (low, high) = clamp(namespace, window);
            prop_assert!(low <= high && low >= namespace.0 && high <= namespace.1);
        }
    }
}
