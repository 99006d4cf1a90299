//! By how much one of the kernel's counters has grown since the agent began, over all network namespaces.
//!
//! # Invariants
//! It never goes backwards, and nothing from before the agent's start is in it.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_common::NetKey;

/// Rounds for which a namespace that is nowhere to be found is remembered: one that is found again must not be
/// counted from its beginning once more.
const ROUNDS_REMEMBERED: u32 = 100;

/// One namespace's.
#[derive(Debug, Clone, Copy)]
struct NetGrowth {
    first: u64,
    latest: u64,
    /// Rounds since it was found.
    absent: u32,
}

/// The running sum.
#[derive(Debug, Default)]
pub struct Growth {
    started: bool,
    nets: BTreeMap<NetKey, NetGrowth>,
    /// That of namespaces that are gone.
    closed: u64,
}

impl Growth {
    /// Takes one round: the counter in each namespace that could be read, and the inode numbers of those that
    /// exist.
    pub fn record(&mut self, readings: &BTreeMap<NetKey, u64>, existing: &BTreeSet<u32>) {
        for (key, latest) in readings {
            // One that was there at the start has a past; one found later began at zero.
            let first = if self.started { 0 } else { *latest };
            let known = self.nets.entry(*key).or_insert(NetGrowth {
                first,
                latest: first,
                absent: 0,
            });
            if *latest < known.latest {
                // Before Linux 5.12 there is no cookie, and another namespace has the same number.
                self.closed += known.latest - known.first;
                known.first = 0;
            }
            known.latest = *latest;
        }
        let closed = &mut self.closed;
        self.nets.retain(|key, known| {
            known.absent = if existing.contains(&key.inum) {
                0
            } else {
                known.absent + 1
            };
            let is_kept = known.absent < ROUNDS_REMEMBERED;
            if !is_kept {
                *closed += known.latest - known.first;
            }
            is_kept
        });
        // A kernel without the counter leaves nothing to show.
        self.started |= !readings.is_empty();
    }

    /// The sum; unknown until the counter was read in some namespace.
    #[must_use]
    pub fn sum(&self) -> Option<u64> {
        let grown = self.nets.values().map(|known| known.latest - known.first);
        self.started.then(|| self.closed + grown.sum::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inum: u32, cookie: u64) -> NetKey {
        NetKey {
            cookie,
            inum,
            padding: 0,
        }
    }

    fn record(growth: &mut Growth, readings: &[(NetKey, u64)]) -> Option<u64> {
        let existing = readings.iter().map(|(key, _)| key.inum).collect();
        growth.record(&readings.iter().copied().collect(), &existing);
        growth.sum()
    }

    #[test]
    fn only_what_came_since_the_start() {
        let mut growth = Growth::default();
        assert_eq!(record(&mut growth, &[]), None);
        let (old, new) = (key(1, 1), key(2, 2));
        assert_eq!(record(&mut growth, &[(old, 212)]), Some(0));
        assert_eq!(record(&mut growth, &[(old, 215)]), Some(3));
        assert_eq!(record(&mut growth, &[(old, 215), (new, 4)]), Some(7));
        // One that is gone keeps its part.
        assert_eq!(record(&mut growth, &[(old, 216)]), Some(8));
        for _ in 0..2 * ROUNDS_REMEMBERED {
            assert_eq!(record(&mut growth, &[(old, 216)]), Some(8));
        }
        assert_eq!(growth.nets.len(), 1);
    }

    #[test]
    fn a_namespace_that_was_out_of_sight_is_not_counted_again() {
        let mut growth = Growth::default();
        let (old, other) = (key(1, 1), key(2, 2));
        record(&mut growth, &[(old, 100), (other, 7)]);
        assert_eq!(record(&mut growth, &[(other, 7)]), Some(0));
        assert_eq!(record(&mut growth, &[(old, 105), (other, 7)]), Some(5));
    }

    #[test]
    fn a_number_used_again_does_not_go_backwards() {
        let mut growth = Growth::default();
        let reused = key(1, 0);
        record(&mut growth, &[(reused, 100)]);
        assert_eq!(record(&mut growth, &[(reused, 110)]), Some(10));
        assert_eq!(record(&mut growth, &[(reused, 3)]), Some(13));
    }
}
