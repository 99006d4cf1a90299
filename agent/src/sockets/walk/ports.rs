//! Whose the local ports in use are.

use halfopen_common::{Destination, PortsInUse};
use halfopen_core::model::{
    census::{Census, owner_label},
    connection::{Direction, Unknown},
    group::Group,
    ports::PortUse,
};

use super::{Walked, convert::known_cgroup};
use crate::host::owners::Owners;

/// Adds what a walk found of them.
pub fn add(census: &mut Census, walked: &Walked, owners: &Owners) {
    for (destination, ports) in &walked.destinations {
        if let Some(used) = used(ports) {
            census.use_ports(group(destination, ports, owners), used);
        }
    }
    census.unplaced_ports = Some(walked.unplaced_ports);
}

/// The range has its last port in the upper half.
fn used(ports: &PortsInUse) -> Option<PortUse> {
    let [first, last] = [ports.range, ports.range >> 16].map(|half| half & 0xffff);
    PortUse::new(
        ports.ports,
        u16::try_from(first).ok()?,
        u16::try_from(last).ok()?,
    )
}

/// That of its connections; of TIME_WAIT alone no owner is known.
fn group(destination: &Destination, ports: &PortsInUse, owners: &Owners) -> Group {
    let cgroup = if ports.is_owned == 0 {
        Err(Unknown::NotOfThisKind)
    } else {
        known_cgroup(ports.cgroup)
    };
    Group {
        owner: owner_label(&owners.of(cgroup)),
        direction: Direction::Outbound,
        port: Some(destination.remote_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: u32, ports: u64, ratio: Option<f64>) {
        let ports = PortsInUse {
            ports,
            range,
            ..PortsInUse::default()
        };
        assert_eq!(used(&ports).map(PortUse::ratio), ratio, "{ports:?}");
    }

    #[test]
    fn the_last_port_is_in_the_upper_half() {
        check(60_999 << 16 | 32_768, 7_058, Some(0.25));
        check(u32::from(u16::MAX) << 16 | 1_024, 64_512, Some(1.0));
    }

    #[test]
    fn a_range_without_ports_tells_nothing() {
        check(1_024 << 16 | 32_768, 1, None);
    }
}
