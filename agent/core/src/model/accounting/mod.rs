//! Our counts against the kernel's own, namespace by namespace.
//!
//! # Invariants
//! - Events between two readings are not taken for a loss, and no figure goes backwards.
//! - What happened in a namespace before both sides could be read is uncompared, never unaccounted.

mod counter;

use std::{
    array,
    collections::{BTreeMap, BTreeSet},
    mem,
};

use counter::Comparison;
use halfopen_common::{NetCounts, NetKey};

mod growth;
mod host_counter;

pub use growth::Growth;
pub use host_counter::{HostCounter, HostCounts, HostGrowth};

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
    /// `TcpExt: TCPTimeouts`: retransmission timeouts of data, SYNs and SYN-ACKs.
    TcpTimeouts,
}

impl KernelCounter {
    /// All of them, in label order.
    pub const ALL: [Self; 5] = [
        Self::TcpKeepAlive,
        Self::TcpWinProbe,
        Self::TcpAbortOnTimeout,
        Self::OutRsts,
        Self::TcpTimeouts,
    ];

    /// The kernel's name, also the label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TcpKeepAlive => "TCPKeepAlive",
            Self::TcpWinProbe => "TCPWinProbe",
            Self::TcpAbortOnTimeout => "TCPAbortOnTimeout",
            Self::OutRsts => "OutRsts",
            Self::TcpTimeouts => "TCPTimeouts",
        }
    }
}

/// One kernel counter's balance since the agent's first round, summed over namespaces.
///
/// # Invariants
/// - Each figure only grows.
/// - `kernel + overcounted == counted + unaccounted`. An event that one side has and the other lacks is
///   held back from both for a round, in which the other may count it. If it comes later still, it is
///   not counted there as well.
/// - Once a namespace is gone, `counted + uncompared` is all that our hooks counted there.
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
    /// What our hooks counted where it could not be compared: before the first reading of a namespace
    /// that has a past, after the last one, or where there is none.
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

/// One round of readings, taken in this order: the kernel's list, what was counted, the kernel's
/// counters, what was counted again. An event between them is in the later readings only.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Every network namespace that exists, held by whatever; `None` where the kernel hands out no list.
    pub listed: Option<BTreeSet<NetKey>>,
    /// Counted before the kernel's counters were read.
    pub before: Counted,
    /// The kernel's counters of each namespace that could be read.
    pub kernel: BTreeMap<NetKey, KernelCounts>,
    /// Counted after.
    pub after: Counted,
    /// Inode numbers of the namespaces that were found.
    pub existing: BTreeSet<u32>,
}

impl Round {
    /// Namespaces that were found or listed, and not read.
    fn unseen(&self) -> u64 {
        // One that is being made has no number yet.
        let listed = self.listed.iter().flatten().map(|key| key.inum);
        let existing = self.existing.iter().copied().chain(listed);
        let existing: BTreeSet<u32> = existing.filter(|inum| *inum != 0).collect();
        let read: BTreeSet<u32> = self.kernel.keys().map(|key| key.inum).collect();
        existing.difference(&read).count() as u64
    }
}

/// A namespace under comparison, counter by counter.
type Net = [Comparison; COUNTERS];

/// The comparison of the hooks' counts with the kernel's, over all rounds.
#[derive(Debug, Default)]
pub struct KernelComparison {
    started: bool,
    open: BTreeMap<NetKey, Net>,
    /// Namespaces that were read and cannot be: for a while, or no longer.
    stopped: BTreeMap<NetKey, Net>,
    /// Namespaces that were never read, and what of our counts is uncompared or from before the start.
    unread: BTreeMap<NetKey, KernelCounts>,
    /// Those of the kernel's first list that still exist: they may be older than the hooks, or our
    /// counts of them. `None` without a list; the next one is a first one. A namespace is listed before
    /// a process can be in it (setup_net, net/core/net_namespace.c), so what is not in the first list
    /// was born later.
    has_past: Option<BTreeSet<NetKey>>,
    /// Rounds in which a namespace that we know or that the hooks counted in has not been read.
    absent: BTreeMap<NetKey, u32>,
    closed: [Balance; COUNTERS],
    uncompared: KernelCounts,
    namespaces: Namespaces,
}

impl KernelComparison {
    /// Whether the hooks' counts of this round must be read once more, a moment later: a hook may count
    /// after the kernel did. It would be taken for a loss, or be ahead of a first reading for good.
    #[must_use]
    pub fn needs_second_look(&self, round: &Round) -> bool {
        let is_short = |(key, kernel): (&NetKey, &KernelCounts)| {
            let after = counts(&round.after, key);
            let net = self.open.get(key).or_else(|| self.stopped.get(key));
            (0..COUNTERS).any(|i| {
                net.map_or(kernel[i] > after[i], |net| {
                    net[i].has_new_shortfall(kernel[i], after[i])
                })
            })
        };
        !self.started || round.kernel.iter().any(is_short)
    }

    /// Records a round of readings. Returns the namespaces that are gone for good,
    /// whose counts the hooks' table need keep no longer.
    pub fn record(&mut self, round: &Round) -> Vec<NetKey> {
        for (key, kernel) in &round.kernel {
            let (before, after) = (counts(&round.before, key), counts(&round.after, key));
            let mut net = self.take_or_begin(key, kernel, round);
            for i in 0..COUNTERS {
                net[i].compare(kernel[i], before[i], after[i]);
            }
            self.open.insert(*key, net);
        }
        self.stop_unread(round);
        let gone = self.gone(round);
        self.add_uncompared(round);
        self.close(&gone);
        self.learn_past(round);
        self.started = true;
        self.namespaces = Namespaces {
            seen: round.kernel.len() as u64,
            unseen: round.unseen(),
        };
        gone
    }

    fn take_or_begin(&mut self, key: &NetKey, kernel: &KernelCounts, round: &Round) -> Net {
        if let Some(net) = self.open.remove(key).or_else(|| self.stopped.remove(key)) {
            return net;
        }
        let left_out = self.unread.remove(key);
        let (before, after) = (counts(&round.before, key), counts(&round.after, key));
        if self.began_at_zero(key, kernel, &after, round) {
            return left_out.unwrap_or_default().map(Comparison::from_zero);
        }
        if self.started {
            let left_out = left_out.unwrap_or_default();
            add(&mut self.uncompared, |i| {
                before[i].saturating_sub(left_out[i])
            });
        }
        array::from_fn(|i| Comparison::from_first_reading(kernel[i], before[i], after[i]))
    }

    /// Whether a namespace that is read for the first time was born after the hooks were there, so that
    /// both sides have all of it.
    fn began_at_zero(
        &self,
        key: &NetKey,
        kernel: &KernelCounts,
        after: &KernelCounts,
        round: &Round,
    ) -> bool {
        let is_listed = |list: &Option<BTreeSet<NetKey>>| Some(list.as_ref()?.contains(key));
        match (is_listed(&self.has_past), is_listed(&round.listed)) {
            _ if !self.started => false,
            (Some(true), _) => false,
            (Some(false), Some(true)) => true,
            // Nobody knows. Where nothing is missing, it makes no difference.
            _ => (0..COUNTERS).all(|i| kernel[i] <= after[i]),
        }
    }

    fn stop_unread(&mut self, round: &Round) {
        let unread: BTreeMap<NetKey, Net>;
        (self.open, unread) = mem::take(&mut self.open)
            .into_iter()
            .partition(|(key, _)| round.kernel.contains_key(key));
        for (key, mut net) in unread {
            let after = counts(&round.after, &key);
            for i in 0..COUNTERS {
                net[i].stop(after[i]);
            }
            self.stopped.insert(key, net);
        }
    }

    fn gone(&mut self, round: &Round) -> Vec<NetKey> {
        let known = round.after.keys().filter(|key| key.inum != 0);
        let known = known.chain(self.stopped.keys()).chain(self.unread.keys());
        let unread = known.filter(|key| !round.kernel.contains_key(*key));
        let unread: BTreeSet<NetKey> = unread.copied().collect();
        let rounds = |key| self.absent.get(&key).map_or(1, |rounds| rounds + 1);
        self.absent = unread.into_iter().map(|key| (key, rounds(key))).collect();
        let exists = |key: &NetKey| match &round.listed {
            Some(listed) => listed.contains(key),
            // A number that was found but whose namespace was read under another cookie was used again.
            None => {
                round.existing.contains(&key.inum)
                    && !round.kernel.keys().any(|read| read.inum == key.inum)
            }
        };
        let gone = |(key, rounds): (&NetKey, &u32)| {
            (*rounds >= ROUNDS_UNTIL_GONE && !exists(key)).then_some(*key)
        };
        self.absent.iter().filter_map(gone).collect()
    }

    /// What the hooks counted where there was nothing to compare it with, or no longer.
    fn add_uncompared(&mut self, round: &Round) {
        for (key, counted) in &round.after {
            if round.kernel.contains_key(key) {
                continue;
            }
            if !self.started {
                self.unread.insert(*key, counts(&round.before, key));
                continue;
            }
            if let Some(net) = self.stopped.get_mut(key) {
                add(&mut self.uncompared, |i| {
                    net[i].leave_out(counted.counted[i])
                });
                continue;
            }
            // One that has just appeared is read in the next round or the one after.
            let rounds = self.absent.get(key).copied().unwrap_or(ROUNDS_UNTIL_GONE);
            if rounds < ROUNDS_UNTIL_GONE {
                continue;
            }
            let left_out = self.unread.entry(*key).or_default();
            add(&mut self.uncompared, |i| {
                counted.counted[i].saturating_sub(left_out[i])
            });
            *left_out = counted.counted;
        }
    }

    fn close(&mut self, gone: &[NetKey]) {
        for key in gone {
            self.absent.remove(key);
            self.unread.remove(key);
            if let Some(net) = self.stopped.remove(key) {
                add_balances(&mut self.closed, &net);
                add(&mut self.uncompared, |i| net[i].unconfirmed());
            }
        }
    }

    fn learn_past(&mut self, round: &Round) {
        let has_past = self.has_past.take();
        self.has_past = round.listed.as_ref().map(|listed| match has_past {
            Some(has_past) => &has_past & listed,
            None => listed.clone(),
        });
    }

    /// The balance of every counter, summed over namespaces; none before the first round.
    #[must_use]
    pub fn balances(&self) -> BTreeMap<KernelCounter, Balance> {
        if !self.started {
            return BTreeMap::new();
        }
        let mut sums = self.closed;
        for net in self.open.values().chain(self.stopped.values()) {
            add_balances(&mut sums, net);
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

fn add(sums: &mut KernelCounts, mut each: impl FnMut(usize) -> u64) {
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum += each(i);
    }
}

fn add_balances(sums: &mut [Balance; COUNTERS], net: &Net) {
    for (sum, counter) in sums.iter_mut().zip(net) {
        let balance = counter.balance();
        sum.kernel += balance.kernel;
        sum.counted += balance.counted;
        sum.unaccounted += balance.unaccounted;
        sum.overcounted += balance.overcounted;
    }
}

fn counts(counted: &Counted, key: &NetKey) -> KernelCounts {
    counted
        .get(key)
        .map_or([0; COUNTERS], |counts| counts.counted)
}

#[cfg(test)]
mod tests;
