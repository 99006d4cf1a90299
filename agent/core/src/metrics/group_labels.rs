//! The labels of a group, shared by the metrics that have them.

use super::Series;
use crate::model::{
    connection::Direction,
    coverage::Availability,
    group::{Counts, Group},
    snapshot::Snapshot,
};

/// The labels of a group.
pub(super) const GROUP: &[&str] = &["owner", "direction", "port"];

/// Adds a counter of each group; none where it is unknown.
pub(super) fn grouped(
    snapshot: &Snapshot,
    seen: &Availability,
    out: &mut Series,
    read: fn(&Counts) -> u64,
) {
    // Where there is no connection there is nothing to probe: 0 would be noise.
    grouped_if(
        snapshot,
        seen,
        |direction| direction != Direction::None,
        out,
        read,
    );
}

/// The same of the groups whose direction has it, and of others that have counted any.
pub(super) fn grouped_if(
    snapshot: &Snapshot,
    seen: &Availability,
    has_it: impl Fn(Direction) -> bool,
    out: &mut Series,
    read: fn(&Counts) -> u64,
) {
    if seen.is_err() {
        return;
    }
    for (group, counts) in &snapshot.groups {
        let count = read(counts);
        if count != 0 || has_it(group.direction) {
            let [owner, direction] = names(group);
            out.count([owner, direction, &port(group)], count);
        }
    }
}

/// The values of the first two labels.
pub(super) fn names(group: &Group) -> [&str; 2] {
    [&group.owner, group.direction.as_str()]
}

/// The value of the label `port`.
pub(super) fn port(group: &Group) -> String {
    group
        .port
        .map_or_else(|| "none".to_owned(), |port| port.to_string())
}
