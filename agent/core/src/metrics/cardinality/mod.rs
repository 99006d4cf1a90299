//! A budget for series: which groups are shown by name, and what becomes of the rest.
//!
//! What is counted under [`OTHER`] stays there for good: a group that gets its name back begins anew,
//! from 0. So the counters of every name and of `other` only grow, and their sums are exact whatever
//! was folded.
//!
//! # Invariants
//! No count is lost, and none goes backwards under a name that is still shown.

mod bounds;
mod cell;
mod choice;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use bounds::SeriesBounds;
pub use cell::Cell;
pub use choice::Patterns;

use crate::model::{
    census::Sums,
    connection::Direction,
    group::{Counts, Group, OTHER, Suspects, add_all},
};

/// A group that lost its name has none for this long: whoever scrapes must see that its series have
/// ended before they begin anew, from 0. Prometheus shows a series for as long after its last sample.
const REST: Duration = Duration::from_secs(5 * 60);

/// By which labels groups are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// By owner; else all owners are one without a name.
    pub owner: bool,
    /// By who opened the connection; else [`Direction::None`].
    pub direction: bool,
    /// By the service's port; else none.
    pub port: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self {
            owner: true,
            direction: true,
            port: true,
        }
    }
}

impl GroupBy {
    /// The group as it is shown.
    fn project(self, group: &Group) -> Group {
        // What the kernel's table had no room for has no owner that could be left out.
        let keeps_owner = self.owner || group.owner == OTHER;
        Group {
            owner: if keeps_owner {
                group.owner.clone()
            } else {
                String::new()
            },
            direction: if self.direction {
                group.direction
            } else {
                Direction::None
            },
            port: group.port.filter(|_| self.port),
        }
    }
}

/// What may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// By which labels groups are told apart.
    pub group_by: GroupBy,
    /// Groups with a name at a time, those of `other` not included.
    pub max_groups: usize,
    /// Series in all, those without a group included; [`SeriesBounds::least`] or more.
    pub max_series: usize,
    /// A group is gone when its owner has been gone, and nothing has happened in it, for this long.
    pub time_to_live: Duration,
    /// Which owners may have a name.
    pub owners: Patterns,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            group_by: GroupBy::default(),
            max_groups: 200,
            max_series: 2_000,
            time_to_live: Duration::from_secs(15 * 60),
            owners: Patterns::default(),
        }
    }
}

/// What one moment has of groups.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// Counters.
    pub counts: BTreeMap<Group, Counts>,
    /// What the latest walk found.
    pub sums: BTreeMap<Group, Sums>,
    /// Suspects.
    pub suspects: Suspects,
}

/// Keeps the names.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    bounds: SeriesBounds,
    groups: BTreeMap<Group, Standing>,
    /// Counts of groups that are gone for good.
    departed: BTreeMap<Group, Counts>,
    /// Groups that were folded at the latest look.
    folded: usize,
}

/// How one group stands.
#[derive(Debug, Default)]
struct Standing {
    is_named: bool,
    counts: Counts,
    /// The part of `counts` that was shown under `other`, and stays there.
    under_other: Counts,
    /// When it was last seen alive.
    alive: Duration,
    /// When it last lost its name.
    nameless: Option<Duration>,
}

impl Budget {
    /// One that keeps to these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            bounds: SeriesBounds::of_declared(),
            groups: BTreeMap::new(),
            departed: BTreeMap::new(),
            folded: 0,
        }
    }

    /// Groups that were not shown by name the last time.
    #[must_use]
    pub const fn folded(&self) -> usize {
        self.folded
    }

    /// What is to be shown of everything there is. `is_alive` says whether an owner still exists; `now`
    /// is any clock that only goes forward.
    ///
    /// The counters must only grow; a group whose counters are forgotten must be told before, see
    /// [`Self::depart`].
    pub fn show(&mut self, all: Shown, is_alive: impl Fn(&str) -> bool, now: Duration) -> Shown {
        let mut all = self.project(all);
        let mut cells: BTreeMap<Group, Cell> = BTreeMap::new();
        for (group, counts) in &all.counts {
            let standing = self.groups.entry(group.clone()).or_default();
            if standing.counts != *counts {
                standing.alive = now;
                standing.counts.clone_from(counts);
            }
        }
        for group in all.sums.keys().chain(all.suspects.keys()) {
            self.groups.entry(group.clone()).or_default().alive = now;
        }
        let time_to_live = self.limits.time_to_live;
        self.groups.retain(|group, standing| {
            if is_alive(&group.owner) {
                standing.alive = now;
            }
            let is_gone = now.saturating_sub(standing.alive) > time_to_live;
            if is_gone {
                standing.fold(now);
            } else {
                let rests = standing.rests(now);
                let cell = Cell::of(group, standing.is_named, rests, &all, &self.bounds);
                cells.insert(group.clone(), cell);
            }
            !is_gone || !standing.counts.is_empty()
        });
        let others = self.groups_of_other();
        let named = choice::choose(
            &cells,
            &self.limits,
            self.room(),
            &others,
            self.series_of_other(&all),
        );
        self.folded = cells.len().saturating_sub(named.len());
        for (group, standing) in &mut self.groups {
            if named.contains(group) {
                standing.is_named = true;
            } else {
                standing.fold(now);
            }
        }
        Shown {
            counts: self.counters(),
            sums: fold(&mut all.sums, &named, |into, from| into.add(&from)),
            suspects: fold(&mut all.suspects, &named, |into, from| {
                add_all(into, &from);
            }),
        }
    }

    /// Takes over what was counted in a group whose counters are about to be forgotten, for good.
    pub fn depart(&mut self, group: &Group, counts: &Counts) {
        let group = self.limits.group_by.project(group);
        self.departed.entry(other(&group)).or_default().add(counts);
        if let Some(standing) = self.groups.get_mut(&group) {
            standing.counts.subtract(counts);
            standing.under_other.subtract(counts);
        }
    }

    /// Whether this group has been gone for so long that its counters may be forgotten.
    #[must_use]
    pub fn is_gone(&self, group: &Group, now: Duration) -> bool {
        let group = self.limits.group_by.project(group);
        self.groups.get(&group).is_some_and(|standing| {
            !standing.is_named && now.saturating_sub(standing.alive) > self.limits.time_to_live
        })
    }

    fn project(&self, all: Shown) -> Shown {
        let by = self.limits.group_by;
        if by == GroupBy::default() {
            return all;
        }
        let mut projected = Shown::default();
        for (group, counts) in all.counts {
            let into = projected.counts.entry(by.project(&group)).or_default();
            into.add(&counts);
        }
        for (group, sums) in all.sums {
            projected
                .sums
                .entry(by.project(&group))
                .or_default()
                .add(&sums);
        }
        for (group, suspects) in all.suspects {
            let into = projected.suspects.entry(by.project(&group)).or_default();
            add_all(into, &suspects);
        }
        projected
    }

    /// Series that groups may have.
    const fn room(&self) -> usize {
        self.limits.max_series.saturating_sub(self.bounds.ungrouped)
    }

    /// Groups of `other` that there are whatever is chosen.
    fn groups_of_other(&self) -> BTreeSet<Group> {
        let folded = self.groups.iter();
        let folded = folded.filter(|(_, standing)| !standing.under_other.is_empty());
        let folded = folded.map(|(group, _)| other(group));
        self.departed.keys().cloned().chain(folded).collect()
    }

    /// Series of one group of `other`, at most: as if it took everything.
    fn series_of_other(&self, all: &Shown) -> usize {
        let mut counts = Counts::default();
        let counted = all.counts.values().chain(self.departed.values());
        counted.for_each(|one| counts.add(one));
        let mut sums = Sums::default();
        for one in all.sums.values() {
            sums.add(one);
        }
        cell::series(&self.bounds, Some(&counts), Some(&sums), true)
    }

    fn counters(&self) -> BTreeMap<Group, Counts> {
        let mut shown: BTreeMap<Group, Counts> = self.departed.clone();
        for (group, standing) in &self.groups {
            if !standing.under_other.is_empty() {
                let into = shown.entry(other(group)).or_default();
                into.add(&standing.under_other);
            }
            if standing.is_named && !standing.counts.is_empty() {
                let mut own = standing.counts.clone();
                own.subtract(&standing.under_other);
                shown.insert(group.clone(), own);
            }
        }
        shown
    }
}

impl Standing {
    /// Whether it lost its name a moment ago.
    fn rests(&self, now: Duration) -> bool {
        self.nameless
            .is_some_and(|lost| now.saturating_sub(lost) < REST)
    }

    /// All that was counted goes to `other`.
    fn fold(&mut self, now: Duration) {
        if std::mem::take(&mut self.is_named) {
            self.nameless = Some(now);
        }
        if self.under_other != self.counts {
            self.under_other.clone_from(&self.counts);
        }
    }
}

/// The group of `other` that takes what this one has.
fn other(group: &Group) -> Group {
    Group {
        owner: OTHER.to_owned(),
        direction: group.direction,
        port: None,
    }
}

fn fold<T: Default>(
    all: &mut BTreeMap<Group, T>,
    named: &BTreeSet<Group>,
    add: impl Fn(&mut T, T),
) -> BTreeMap<Group, T> {
    let mut shown: BTreeMap<Group, T> = BTreeMap::new();
    for (group, value) in std::mem::take(all) {
        if named.contains(&group) {
            add(shown.entry(group).or_default(), value);
        } else {
            add(shown.entry(other(&group)).or_default(), value);
        }
    }
    shown
}

#[cfg(test)]
mod tests;
