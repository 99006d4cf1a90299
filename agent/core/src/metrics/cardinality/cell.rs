//! What one group has: how much room it takes, and how much it matters.
//!
//! # Invariants
//! It counts at least the series that the metrics show of a group.

use super::{SeriesBounds, Shown};
use crate::metrics::{ACCEPT_QUEUE_GAUGES, PORT_GAUGES};
use crate::model::{
    census::Sums,
    group::{Counts, Group},
    liveness::{Evidence, Guard},
};

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
    pub fn of(
        group: &Group,
        is_named: bool,
        rests: bool,
        all: &Shown,
        bounds: &SeriesBounds,
    ) -> Self {
        let counts = all.counts.get(group);
        let sums = all.sums.get(group);
        let suspects = all.suspects.get(group);
        let suspicious: u64 = suspects.map_or(0, |counts| counts.values().sum());
        Self {
            series: series(bounds, counts, sums, suspects.is_some()),
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
pub fn series(
    bounds: &SeriesBounds,
    counts: Option<&Counts>,
    sums: Option<&Sums>,
    has_suspects: bool,
) -> usize {
    let counters = counts.map_or(0, |counts| {
        bounds.plain_counters
            + counts.resets_sent.len()
            + counts.deaths.len()
            + counts.recoveries.len()
            + usize::from(!counts.idle_before_close.is_empty()) * bounds.histogram
    });
    let gauges = sums.map_or(0, |sums| {
        // Those of accept queues are shown of listeners alone, which few groups have.
        let queues = usize::from(sums.accept_queue.listeners == 0) * ACCEPT_QUEUE_GAUGES;
        let ports = usize::from(sums.ports.is_none()) * PORT_GAUGES;
        bounds.plain_gauges.saturating_sub(queues + ports)
            + Guard::ALL.len()
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
    sums.stale_close_wait + sums.stale_fin_wait2 + sums.idle.get(&Guard::None).copied().unwrap_or(0)
}
