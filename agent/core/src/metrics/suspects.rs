//! How suspects are shown.

use std::collections::BTreeMap;

use super::{
    Series,
    group_labels::{names, port},
};
use crate::model::{group::Group, liveness::Evidence, snapshot::Snapshot};

/// A group appears once anything has happened in it, with every evidence, so that a suspect's end
/// shows as 0.
pub fn suspects(snapshot: &Snapshot, out: &mut Series) {
    if snapshot.coverage.suspects.is_err() {
        return;
    }
    let mut groups: BTreeMap<&Group, Option<&BTreeMap<Evidence, u64>>> = BTreeMap::new();
    groups.extend(snapshot.groups.keys().map(|group| (group, None)));
    groups.extend(
        snapshot
            .suspects
            .iter()
            .map(|(group, counts)| (group, Some(counts))),
    );
    for (group, counts) in groups {
        if group.port.is_none() && counts.is_none() {
            continue;
        }
        let [owner, direction] = names(group);
        for evidence in Evidence::ALL {
            let count = counts.map_or(0, |counts| counts.get(&evidence).copied().unwrap_or(0));
            out.count([owner, direction, &port(group), evidence.as_str()], count);
        }
    }
}
