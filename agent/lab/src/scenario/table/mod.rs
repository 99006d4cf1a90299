//! The scenario table.
//!
//! # Invariants
//!
//! No figure was read off the agent: they come from the scenario table of the design, measured on
//! kernels, and from the kernel's own counters.

mod accepts;
mod closes;
mod connects;
mod halves;
mod handshakes;
mod idle;
mod limits;
mod living;
mod pressure;
pub(super) mod rejects;
pub(super) mod resets;
mod unanswered;
mod unframed;

use crate::scenario::definition::Scenario;

/// Every scenario, by number.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    let groups: [&'static [Scenario]; 18] = [
        handshakes::SCENARIOS,
        idle::SCENARIOS,
        unanswered::SCENARIOS,
        living::alive::SCENARIOS,
        halves::SCENARIOS,
        resets::SCENARIOS,
        living::revivals::SCENARIOS,
        unframed::SCENARIOS,
        limits::SCENARIOS,
        living::paths::SCENARIOS,
        living::pauses::SCENARIOS,
        living::probed::SCENARIOS,
        connects::SCENARIOS,
        closes::SCENARIOS,
        accepts::SCENARIOS,
        rejects::SCENARIOS,
        living::closed_windows::SCENARIOS,
        pressure::SCENARIOS,
    ];
    let mut scenarios: Vec<&Scenario> = groups.into_iter().flatten().collect();
    scenarios.sort_by_key(|scenario| (scenario.number, scenario.offset));
    scenarios.into_iter()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_form_has_a_port_and_a_label_of_its_own() {
        let ports: Vec<u16> = all()
            .flat_map(|scenario| (0..scenario.forms.len()).map(|form| scenario.port(form)))
            .collect();
        assert_eq!(
            ports.iter().collect::<BTreeSet<_>>().len(),
            ports.len(),
            "{ports:?}"
        );
        let labels: BTreeSet<String> = all().map(Scenario::label).collect();
        assert_eq!(labels.len(), all().count());
    }

    #[test]
    fn what_is_ignored_has_the_ports_of_its_filter() {
        let ignored: Vec<_> = all().filter(|it| resets::is_ignored(it)).collect();
        let [scenario] = ignored.as_slice() else {
            panic!("{} of them", ignored.len());
        };
        let port = scenario.port(0);
        assert_eq!(
            resets::IGNORE_FILTER,
            format!("sport = :{port} or dport = :{port}")
        );
        assert_eq!(scenario.forms.len(), 1);
    }

    #[test]
    fn the_whole_table_is_there() {
        let numbers: BTreeSet<u16> = all().map(|scenario| scenario.number).collect();
        // 39 and 40 are 51 to 54 here.
        assert_eq!(
            Vec::from_iter(numbers),
            Vec::from_iter((1..=38).chain(41..=55).chain(61..=67))
        );
    }
}
