//! Everything a view may show, read at one moment; immutable once made.
//!
//! # Invariants
//! It holds no handle to the kernel: a view cannot go back and ask. Nothing else of the model imports it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    accounting::{Balance, HostCounter, KernelCounter, Namespaces},
    assessed::ReadMethod,
    census::Census,
    coverage::Coverage,
    death::{Cause, silences::Silence},
    group::{Counts, Group, Suspects},
    hook::HookStatus,
};

/// What the agent knows at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts since the agent began, by group. Sums over groups are exact whatever was folded.
    pub groups: BTreeMap<Group, Counts>,
    /// Groups that are not shown by name, but together as those of owner `other`.
    pub groups_folded: u64,
    /// Which connections are suspects now, as the hooks know it; in the coverage if it is known.
    pub suspects: Suspects,
    /// What the latest walk over all sockets found.
    pub walk: WalkStatus,
    /// Which of the counts in [`Counts`] this kernel lets us see at all.
    pub coverage: Coverage,
    /// Our counts beside the kernel's own, one entry a [`KernelCounter`]; a counter that could not
    /// be compared in any namespace is absent.
    pub accounting: BTreeMap<KernelCounter, Balance>,
    /// What the kernel has counted since the agent began and no hook counts; a counter that could not be read
    /// is absent.
    pub host_counters: BTreeMap<HostCounter, u64>,
    /// Every hook, attached or not, in a fixed order.
    pub hooks: Vec<HookStatus>,
    /// Deaths that were ignored; they are not in `groups`.
    pub deaths_ignored: u64,
    /// Silences before deaths, ignored ones included; a cause of which no silence is known is absent.
    pub silences: BTreeMap<Cause, Silence>,
    /// What was lost on the way.
    pub losses: Losses,
    /// Network namespaces whose counters were read in the last round, and those that exist but
    /// could not be entered.
    pub namespaces: Namespaces,
    /// Sockets with a record now (they probed, timed out or were reset, and still live).
    pub records: u64,
    /// Version, revision and kernel.
    pub build: Build,
}

/// What came of the walks.
#[derive(Debug, Clone, Default)]
pub enum WalkStatus {
    /// None was done.
    #[default]
    NotYet,
    /// None could be done: why.
    Failed(String),
    /// The latest.
    Done(Walked),
}

/// The latest walk.
#[derive(Debug, Clone)]
pub struct Walked {
    /// What it found.
    pub census: Arc<Census>,
    /// Since it ended.
    pub age: Duration,
    /// How long it took, its rests included.
    pub duration: Duration,
    /// Places where it may have missed sockets, as tables changed under it.
    pub incomplete: u64,
    /// How sockets were read.
    pub source: ReadMethod,
}

/// What was lost between the kernel and the snapshot. Each only grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Events that found the ring buffer full (their counts are kept).
    pub events_dropped: u64,
    /// Deaths among them: their certificates are lost.
    pub certificates_lost: u64,
    /// Inserts that found a map full, by map: the per-socket detail is lost, the counts are kept.
    pub map_full: BTreeMap<&'static str, u64>,
    /// Counts that went to the overflow group because the table of groups was full.
    pub groups_overflowed: u64,
    /// Records found under another connection's address: the end of the first had not been seen.
    pub records_stale: u64,
    /// Events left uncounted because a field of the socket could not be read.
    pub events_unreadable: u64,
}

/// What is running.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// Version of the agent.
    pub version: String,
    /// Git revision it was built from, or `unknown`.
    pub revision: String,
    /// `uname -r`.
    pub kernel: String,
}
