//! Our counts against the kernel's own, namespace by namespace.
//!
//! # Invariants
//! Events between two readings are not taken for a loss, and no figure goes backwards.

use std::{
    array,
    collections::{BTreeMap, BTreeSet},
};

use halfopen_common::{NetCounts, NetKey};

const COUNTERS: usize = KernelCounter::ALL.len();

/// Rounds after which a namespace that is nowhere to be found is taken for gone: until then, sockets
/// of a namespace being torn down may still be counted.
const ROUNDS_UNTIL_GONE: u32 = 2;

/// A counter the kernel keeps itself in each network namespace (/proc/net/snmp, /proc/net/netstat).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelCounter {
    /// `TcpExt: TCPKeepAlive`: keepalive probes sent.
    TcpKeepAlive,
    /// `TcpExt: TCPWinProbe`: zero-window probes sent.
    TcpWinProbe,
    /// `TcpExt: TCPAbortOnTimeout`: connections ended by `tcp_write_err`.
    TcpAbortOnTimeout,
    /// `Tcp: OutRsts`: resets sent, active ones and answers.
    OutRsts,
}

impl KernelCounter {
    /// All of them, in label order.
    pub const ALL: [Self; 4] = [
        Self::TcpKeepAlive,
        Self::TcpWinProbe,
        Self::TcpAbortOnTimeout,
        Self::OutRsts,
    ];

    /// The kernel's name, also the label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TcpKeepAlive => "TCPKeepAlive",
            Self::TcpWinProbe => "TCPWinProbe",
            Self::TcpAbortOnTimeout => "TCPAbortOnTimeout",
            Self::OutRsts => "OutRsts",
        }
    }
}

/// One kernel counter's balance since the agent began, summed over namespaces. Each only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// What the kernel counted.
    pub kernel: u64,
    /// What our hooks counted in the same namespaces.
    pub counted: u64,
    /// What the kernel counted and no hook saw.
    pub unaccounted: u64,
    /// What our hooks counted and the kernel did not: always 0 unless something is wrong.
    pub overcounted: u64,
    /// What our hooks counted where it could not be compared: in namespaces that ended before their
    /// last reading, or that could not be entered.
    pub uncompared: u64,
}

/// Network namespaces in the last round of readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Entered and read.
    pub seen: u64,
    /// Known to exist, but not entered.
    pub unseen: u64,
}

/// One value for each kernel counter, in the order of [`KernelCounter::ALL`], which is that of
/// [`halfopen_common::Tally`].
pub type KernelCounts = [u64; COUNTERS];

/// What the hooks had counted, by namespace.
pub type Counted = BTreeMap<NetKey, NetCounts>;

/// One round of readings, taken in this order: what was counted, the kernel's counters, what was
/// counted again. An event between them is in the later readings only.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Counted before the kernel's counters were read.
    pub before: Counted,
    /// The kernel's counters of each namespace that could be read.
    pub kernel: BTreeMap<NetKey, KernelCounts>,
    /// Counted after.
    pub after: Counted,
    /// Inode numbers of the namespaces that exist.
    pub existing: BTreeSet<u32>,
}

/// A pair of readings.
#[derive(Debug, Clone, Copy, Default)]
struct CounterReading {
    kernel: KernelCounts,
    counted: KernelCounts,
    /// What was counted while the pair was read: the kernel's reading may hold it or not.
    unsure: KernelCounts,
}

/// A namespace under comparison.
#[derive(Debug, Clone, Copy, Default)]
struct Net {
    /// What it is compared from.
    first: CounterReading,
    /// What of our counts is in the balances, or uncompared.
    recorded: KernelCounts,
    balances: [Balance; COUNTERS],
}

/// The comparison of the hooks' counts with the kernel's, over all rounds.
#[derive(Debug, Default)]
pub struct KernelComparison {
    started: bool,
    open: BTreeMap<NetKey, Net>,
    /// Namespaces that cannot be read: not yet, for a while, or no longer.
    stopped: BTreeMap<NetKey, Net>,
    /// Rounds for which a namespace of the hooks' table has not been found.
    absent: BTreeMap<NetKey, u32>,
    closed: [Balance; COUNTERS],
    uncompared: KernelCounts,
    namespaces: Namespaces,
}

impl KernelComparison {
    /// Whether a round has been recorded.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.started
    }

    /// Whether this round leaves something unaccounted that another look at our counts may explain:
    /// a hook may count a moment after the kernel did.
    #[must_use]
    pub fn has_new_shortfall(&self, round: &Round) -> bool {
        self.started
            && round.kernel.iter().any(|(key, kernel)| {
                let net = self.net(key, kernel, round);
                let after = counts(&round.after, key);
                (0..COUNTERS)
                    .any(|i| net.shortfall(i, kernel, &after) > net.balances[i].unaccounted)
            })
    }

    /// Records a round of readings. Returns the namespaces that are gone for good,
    /// whose counts the hooks' table need keep no longer.
    pub fn record(&mut self, round: &Round) -> Vec<NetKey> {
        for (key, kernel) in &round.kernel {
            let mut net = self.net(key, kernel, round);
            net.compare(
                kernel,
                &counts(&round.before, key),
                &counts(&round.after, key),
            );
            self.open.insert(*key, net);
            self.stopped.remove(key);
        }
        self.stop_unread(round);
        let gone = self.gone(round);
        self.add_uncompared(round, &gone);
        self.started = true;
        let hidden = |inum: &&u32| !round.kernel.keys().any(|key| key.inum == **inum);
        self.namespaces = Namespaces {
            seen: round.kernel.len() as u64,
            unseen: round.existing.iter().filter(hidden).count() as u64,
        };
        gone
    }

    /// A namespace that was there at the start has a past; one found later began at zero, and so did
    /// our counts of it.
    fn net(&self, key: &NetKey, kernel: &KernelCounts, round: &Round) -> Net {
        if let Some(net) = self.open.get(key).or_else(|| self.stopped.get(key)) {
            return *net;
        }
        if self.started {
            return Net::default();
        }
        let (before, after) = (counts(&round.before, key), counts(&round.after, key));
        Net {
            first: CounterReading {
                kernel: *kernel,
                counted: before,
                unsure: array::from_fn(|i| after[i].saturating_sub(before[i])),
            },
            ..Net::default()
        }
    }

    fn stop_unread(&mut self, round: &Round) {
        let unread: Vec<NetKey> = self
            .open
            .keys()
            .filter(|key| !round.kernel.contains_key(*key))
            .copied()
            .collect();
        for key in unread {
            if let Some(net) = self.open.remove(&key) {
                self.stopped.insert(key, net);
            }
        }
    }

    fn gone(&mut self, round: &Round) -> Vec<NetKey> {
        self.absent.retain(|key, _| round.after.contains_key(key));
        let mut gone = Vec::new();
        for key in round.after.keys().filter(|key| key.inum != 0) {
            if round.kernel.contains_key(key) {
                self.absent.remove(key);
                continue;
            }
            let rounds = self.absent.entry(*key).or_default();
            *rounds += 1;
            // A number that exists but whose namespace was read under another cookie was used again.
            let hidden = round.existing.contains(&key.inum)
                && !round.kernel.keys().any(|read| read.inum == key.inum);
            if *rounds >= ROUNDS_UNTIL_GONE && !hidden {
                gone.push(*key);
            }
        }
        for key in &gone {
            self.absent.remove(key);
        }
        gone
    }

    /// What the hooks counted where there was nothing to compare it with, or no longer.
    fn add_uncompared(&mut self, round: &Round, gone: &[NetKey]) {
        for (key, counted) in &round.after {
            if round.kernel.contains_key(key) {
                continue;
            }
            // One that has just appeared is read in the next round or the one after, and then
            // compared from its beginning.
            let unread = self.absent.get(key).copied().unwrap_or(ROUNDS_UNTIL_GONE);
            if unread < ROUNDS_UNTIL_GONE && !self.stopped.contains_key(key) {
                continue;
            }
            let stopped = self.stopped.entry(*key).or_default();
            for i in 0..COUNTERS {
                let new = counted.counted[i].saturating_sub(stopped.recorded[i]);
                self.uncompared[i] += new;
                stopped.recorded[i] += new;
                // The kernel counted them too: should the namespace be read after all, they must
                // be missing from both sides of the balance.
                stopped.first.counted[i] += new;
                stopped.first.kernel[i] += new;
            }
        }
        for key in gone {
            if let Some(net) = self.stopped.remove(key) {
                net.add_to(&mut self.closed);
            }
        }
    }

    /// The balance of every counter, summed over namespaces; none before the first round.
    #[must_use]
    pub fn balances(&self) -> BTreeMap<KernelCounter, Balance> {
        if !self.started {
            return BTreeMap::new();
        }
        let mut sums = self.closed;
        for net in self.open.values().chain(self.stopped.values()) {
            net.add_to(&mut sums);
        }
        for (sum, uncompared) in sums.iter_mut().zip(self.uncompared) {
            sum.uncompared = uncompared;
        }
        KernelCounter::ALL.into_iter().zip(sums).collect()
    }

    /// Namespaces in the last round.
    #[must_use]
    pub const fn namespaces(&self) -> Namespaces {
        self.namespaces
    }
}

impl Net {
    fn shortfall(&self, i: usize, kernel: &KernelCounts, after: &KernelCounts) -> u64 {
        let kernel = kernel[i].saturating_sub(self.first.kernel[i]);
        kernel.saturating_sub(after[i].saturating_sub(self.first.counted[i]))
    }

    fn compare(&mut self, kernel: &KernelCounts, before: &KernelCounts, after: &KernelCounts) {
        for i in 0..COUNTERS {
            let unsure = self.first.unsure[i];
            let shortfall = self.shortfall(i, kernel, after);
            let counted = after[i].saturating_sub(self.first.counted[i]);
            let certain = before[i].saturating_sub(self.first.counted[i] + unsure);
            let kernel = kernel[i].saturating_sub(self.first.kernel[i]);
            // What the first reading of the kernel held already is in neither.
            let counted = counted - counted.saturating_sub(kernel).min(unsure);
            let balance = &mut self.balances[i];
            balance.kernel = balance.kernel.max(kernel);
            balance.counted = balance.counted.max(counted);
            balance.unaccounted = balance.unaccounted.max(shortfall);
            balance.overcounted = balance.overcounted.max(certain.saturating_sub(kernel));
        }
        self.recorded = *after;
    }

    fn add_to(&self, sums: &mut [Balance; COUNTERS]) {
        for (sum, balance) in sums.iter_mut().zip(&self.balances) {
            sum.kernel += balance.kernel;
            sum.counted += balance.counted;
            sum.unaccounted += balance.unaccounted;
            sum.overcounted += balance.overcounted;
        }
    }
}

fn counts(counted: &Counted, key: &NetKey) -> KernelCounts {
    counted
        .get(key)
        .map_or([0; COUNTERS], |counts| counts.counted)
}

#[cfg(test)]
mod tests;
