//! What one group has: how much room it takes, and how much it matters; and how groups are added up.
//! It must never take fewer series for a group than the metrics show of it.

use std::collections::BTreeMap;

use super::Shown;
use crate::model::{
    census::Sums,
    group::{Counts, Group},
    liveness::{Evidence, Guard},
};

/// Counters that a group with any has, whatever they stand at: the plain ones.
const PLAIN_COUNTERS: usize = 6;
/// Gauges that a group with connections has beside those by state, liveness, setting and time.
const PLAIN_GAUGES: usize = 2;
const GUARDS: usize = 3;

/// One group's room and rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Series that the metrics show of it, at most.
    pub series: usize,
    /// Connections that died or are in trouble.
    pub trouble: u64,
    /// Connections.
    pub size: u64,
    /// Whether it has a name already.
    pub is_named: bool,
    /// Whether it lost its name a moment ago, and must not have it yet.
    pub rests: bool,
}

impl Cell {
    /// The one of this group.
    #[must_use]
    pub fn of(group: &Group, is_named: bool, rests: bool, all: &Shown) -> Self {
        let counts = all.counts.get(group);
        let sums = all.sums.get(group);
        let suspects = all.suspects.get(group);
        let suspicious: u64 = suspects.map_or(0, |counts| counts.values().sum());
        Self {
            series: series(counts, sums, suspects.is_some()),
            trouble: suspicious
                .saturating_add(counts.map_or(0, deaths))
                .saturating_add(sums.map_or(0, zombies)),
            size: sums.map_or(0, |sums| sums.states.values().sum()),
            is_named,
            rests,
        }
    }
}

/// Series of a group's metrics, at most.
#[must_use]
pub fn series(counts: Option<&Counts>, sums: Option<&Sums>, has_suspects: bool) -> usize {
    let counters = counts.map_or(0, |counts| {
        PLAIN_COUNTERS + counts.resets_sent.len() + counts.deaths.len() + counts.recoveries.len()
    });
    let gauges = sums.map_or(0, |sums| {
        PLAIN_GAUGES
            + GUARDS
            + sums.states.len()
            + sums.memory.len()
            + sums.keepalive.len()
            + sums.detectable.len()
    });
    let suspects = usize::from(has_suspects || counts.is_some()) * Evidence::ALL.len();
    counters + gauges + suspects
}

fn deaths(counts: &Counts) -> u64 {
    counts.deaths.values().sum()
}

fn zombies(sums: &Sums) -> u64 {
    sums.stale_close_wait + sums.idle.get(&Guard::None).copied().unwrap_or(0)
}

/// Adds one table of counts to another.
pub fn add_all<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        match into.get_mut(key) {
            Some(sum) => *sum += count,
            None => {
                into.insert(key.clone(), *count);
            }
        }
    }
}

/// Takes one table of counts off another; what reaches 0 stays, since it was shown.
fn subtract_all<K: Ord>(from: &mut BTreeMap<K, u64>, part: &BTreeMap<K, u64>) {
    for (key, count) in part {
        if let Some(sum) = from.get_mut(key) {
            *sum = sum.saturating_sub(*count);
        }
    }
}

impl Counts {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let plain = self.plain();
        let labelled = self.resets_sent.values().chain(self.deaths.values());
        let mut all = plain.iter().chain(labelled).chain(self.recoveries.values());
        all.all(|count| *count == 0)
    }

    const fn plain(&self) -> [u64; PLAIN_COUNTERS] {
        [
            self.keepalive_probes,
            self.keepalive_probes_answered,
            self.window_probes,
            self.window_probes_answered,
            self.retransmission_timeouts,
            self.resets_received,
        ]
    }

    const fn plain_mut(&mut self) -> [&mut u64; PLAIN_COUNTERS] {
        [
            &mut self.keepalive_probes,
            &mut self.keepalive_probes_answered,
            &mut self.window_probes,
            &mut self.window_probes_answered,
            &mut self.retransmission_timeouts,
            &mut self.resets_received,
        ]
    }

    /// Adds what another group counted.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.plain_mut().into_iter().zip(other.plain()) {
            *sum += count;
        }
        add_all(&mut self.resets_sent, &other.resets_sent);
        add_all(&mut self.deaths, &other.deaths);
        add_all(&mut self.recoveries, &other.recoveries);
    }

    /// Takes off a part of what was counted.
    pub fn subtract(&mut self, part: &Self) {
        for (sum, count) in self.plain_mut().into_iter().zip(part.plain()) {
            *sum = sum.saturating_sub(count);
        }
        subtract_all(&mut self.resets_sent, &part.resets_sent);
        subtract_all(&mut self.deaths, &part.deaths);
        subtract_all(&mut self.recoveries, &part.recoveries);
    }
}

impl Sums {
    /// Adds what another group adds up to.
    pub fn add(&mut self, other: &Self) {
        add_all(&mut self.states, &other.states);
        add_all(&mut self.suspects, &other.suspects);
        add_all(&mut self.idle, &other.idle);
        self.stale_close_wait += other.stale_close_wait;
        self.embryonic += other.embryonic;
        add_all(&mut self.memory, &other.memory);
        add_all(&mut self.keepalive, &other.keepalive);
        add_all(&mut self.detectable, &other.detectable);
    }
}
