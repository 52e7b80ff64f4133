//! How connect() looks for a port, by kernel: what the prediction says of it in words (docs/kernels.md).

use super::kernel::KernelVersion;
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Source;

/// The search of connect(); None where the plan does not leave the choice to it.
pub(super) fn told(plan: &TrialPlan, kernel: KernelVersion) -> Option<String> {
    if !matches!(
        plan.client.source,
        Source::Ephemeral | Source::BindAddressNoPort | Source::PortRange
    ) {
        return None;
    }
    let how = if !kernel.at_least(4, 2) {
        "one by one from a hint that all destinations share (before 4.2)"
    } else if !kernel.at_least(4, 6) {
        "one by one from a port of the range's first parity (4.2 to 4.5)"
    } else if plan.client.source == Source::PortRange && kernel.at_least(6, 8) {
        "one by one within the socket's own window (6.8 and later)"
    } else {
        "over all ports of the range's first parity, then over the others (4.6 and later)"
    };
    Some(format!("connect() looks for a port {how}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;
    use super::*;

    #[test]
    fn each_kernel_has_its_search_and_a_bound_port_none() {
        let mut plan = plan();
        for (version, part) in [
            ((3, 13), "hint"),
            ((4, 4), "4.2 to 4.5"),
            ((4, 6), "first parity, then"),
            ((6, 18), "then"),
        ] {
            let told = told(&plan, KernelVersion::new(version.0, version.1)).unwrap();
            assert!(told.contains(part), "{told}");
        }
        plan.client.source = Source::PortRange;
        assert!(told(&plan, KernelVersion::new(6, 8)).unwrap().contains("window"));
        plan.client.source = Source::BindPort;
        assert_eq!(told(&plan, KernelVersion::new(6, 8)), None);
    }
}
