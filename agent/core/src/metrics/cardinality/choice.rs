//! Which groups get a name: the biggest and the worst, as far as the room goes.
//!
//! # Invariants
//! The limits are never exceeded, and small differences do not change which names are shown.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{Cell, Limits, other};
use crate::model::{
    glob::glob,
    group::{Group, OTHER},
};

/// A group without a name must be this many times as big or bad as one with a name to replace it.
const LEAD: u64 = 2;

/// Which owners may have a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    /// Only owners that match one of these, if there are any; `*` stands for any characters.
    pub allow: Vec<String>,
    /// No owners that match one of these.
    pub deny: Vec<String>,
}

impl Patterns {
    /// Whether an owner may have a name. One without a name has none to lose.
    #[must_use]
    pub fn allow(&self, owner: &str) -> bool {
        let matches = |patterns: &[String]| patterns.iter().any(|pattern| glob(pattern, owner));
        owner.is_empty() || (self.allow.is_empty() || matches(&self.allow)) && !matches(&self.deny)
    }
}

/// The groups that get a name within `room` series; `others` are the groups of `other` that exist already,
/// each of which takes as many series as `of_other` says.
pub fn choose(
    cells: &BTreeMap<Group, Cell>,
    limits: &Limits,
    room: usize,
    others: &BTreeSet<Group>,
    of_other: usize,
) -> BTreeSet<Group> {
    let is_eligible = |(group, cell): &(&Group, &Cell)| {
        group.owner != OTHER && !cell.rests && limits.owners.allow(&group.owner)
    };
    let eligible: Vec<(&Group, &Cell)> = cells.iter().filter(is_eligible).collect();
    let all: usize = eligible.iter().map(|(_, cell)| cell.series).sum();
    let mut others: BTreeSet<Group> = others.clone();
    let ineligible = cells.iter().filter(|cell| !is_eligible(cell));
    others.extend(ineligible.map(|(group, _)| other(group)));
    if eligible.len() <= limits.max_groups && all + others.len() * of_other <= room {
        return eligible
            .into_iter()
            .map(|(group, _)| group.clone())
            .collect();
    }
    // Some will be folded: each direction may then have its group of `other`.
    others.extend(eligible.iter().map(|(group, _)| other(group)));
    let mut room = room.saturating_sub(others.len() * of_other);
    let mut named = BTreeSet::new();
    for (group, cell) in ranked(eligible) {
        if named.len() < limits.max_groups && cell.series <= room {
            room -= cell.series;
            named.insert(group.clone());
        }
    }
    named
}

/// By turns the worst and the biggest of what is left.
fn ranked<'a>(groups: Vec<(&'a Group, &'a Cell)>) -> Vec<(&'a Group, &'a Cell)> {
    let weight = |cell: &Cell, of: fn(&Cell) -> u64| {
        let lead = if cell.is_named { LEAD } else { 1 };
        Reverse(of(cell).saturating_mul(lead))
    };
    let mut worst = groups.clone();
    worst.sort_by_key(|(group, cell)| {
        (
            weight(cell, |cell| cell.trouble),
            Reverse(cell.is_named),
            *group,
        )
    });
    let mut biggest = groups;
    biggest.sort_by_key(|(group, cell)| {
        (
            weight(cell, |cell| cell.size),
            Reverse(cell.is_named),
            *group,
        )
    });
    let mut met = BTreeSet::new();
    let turns = worst
        .into_iter()
        .zip(biggest)
        .flat_map(|(worst, biggest)| [worst, biggest]);
    turns.filter(|(group, _)| met.insert(*group)).collect()
}
