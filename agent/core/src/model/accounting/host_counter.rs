//! Counters of the kernel's that are shown as they are, summed over network namespaces: no hook counts the
//! same.

use std::{
    array,
    collections::{BTreeMap, BTreeSet},
};

use halfopen_common::NetKey;

use super::Growth;

/// One of them, all of `TcpExt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostCounter {
    /// SYNs and last ACKs that found an accept queue full.
    ListenOverflows,
    /// SYNs answered with a cookie.
    SyncookiesSent,
    /// ACKs with a valid cookie.
    SyncookiesRecv,
    /// ACKs with an invalid one, at a listener that had sent cookies lately.
    SyncookiesFailed,
}

const COUNTERS: usize = HostCounter::ALL.len();

impl HostCounter {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ListenOverflows,
        Self::SyncookiesSent,
        Self::SyncookiesRecv,
        Self::SyncookiesFailed,
    ];

    /// The kernel's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ListenOverflows => "ListenOverflows",
            Self::SyncookiesSent => "SyncookiesSent",
            Self::SyncookiesRecv => "SyncookiesRecv",
            Self::SyncookiesFailed => "SyncookiesFailed",
        }
    }
}

/// What one namespace has of each, in the order of [`HostCounter::ALL`]; `None` where the kernel has none.
pub type HostCounts = [Option<u64>; COUNTERS];

/// The running sums.
#[derive(Debug, Default)]
pub struct HostGrowth([Growth; COUNTERS]);

impl HostGrowth {
    /// Takes one round, as [`Growth::record`] does.
    pub fn record(&mut self, readings: &BTreeMap<NetKey, HostCounts>, existing: &BTreeSet<u32>) {
        for (counter, growth) in self.0.iter_mut().enumerate() {
            let of_counter = readings
                .iter()
                .filter_map(|(key, counts)| Some((*key, counts[counter]?)));
            growth.record(&of_counter.collect(), existing);
        }
    }

    /// By how much each has grown since the agent began; one that was read nowhere is absent.
    #[must_use]
    pub fn sums(&self) -> BTreeMap<HostCounter, u64> {
        let sums: [Option<u64>; COUNTERS] = array::from_fn(|counter| self.0[counter].sum());
        let named = HostCounter::ALL.into_iter().zip(sums);
        named
            .filter_map(|(counter, sum)| Some((counter, sum?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: NetKey = NetKey {
        cookie: 1,
        inum: 1,
        padding: 0,
    };

    #[test]
    fn each_grows_for_itself_and_what_was_not_read_is_absent() {
        let mut growth = HostGrowth::default();
        let mut round = |counts| growth_of(&mut growth, counts);
        assert_eq!(round([Some(7), Some(100), None, Some(3)]).len(), 3);
        let sums = round([Some(7), Some(102), None, Some(4)]);
        let expected = [
            (HostCounter::ListenOverflows, 0),
            (HostCounter::SyncookiesSent, 2),
            (HostCounter::SyncookiesFailed, 1),
        ];
        assert_eq!(sums, BTreeMap::from(expected));
    }

    fn growth_of(growth: &mut HostGrowth, counts: HostCounts) -> BTreeMap<HostCounter, u64> {
        growth.record(&BTreeMap::from([(NET, counts)]), &BTreeSet::from([1]));
        growth.sums()
    }
}
