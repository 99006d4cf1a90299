//! Reads our counts and the kernel's own, namespace by namespace.
//!
//! # Invariants
//! The order of the readings is that of [`Round`].

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use halfopen_common::NetKey;
use halfopen_core::model::accounting::{Counted, KernelComparison, KernelCounts, Round};
use tracing::warn;

use crate::{
    bpf::{loaded_object::Object, maps::Maps},
    host::{
        namespaces::{self, Depth},
        netns, snmp,
    },
    sockets::duty_cycle::DutyCycle,
};

/// How long a hook may lag behind the kernel's own counter on another processor.
const SETTLE: Duration = Duration::from_millis(20);
/// Every thread of the host is looked at this often, for a namespace that no process is in.
const THREADS: Duration = Duration::from_secs(60);

/// The running comparison.
pub struct ComparisonReader {
    /// What came of it.
    pub result: KernelComparison,
    pace: DutyCycle,
    interval: Duration,
    threads: Option<Instant>,
}

impl ComparisonReader {
    /// One that is done every `interval` at least, and more often where it costs little.
    pub fn new(interval: Duration) -> Self {
        Self {
            result: KernelComparison::default(),
            pace: DutyCycle::default(),
            interval,
            threads: None,
        }
    }

    /// Compares if it is time.
    pub fn keep_up(&mut self, object: &mut Object, maps: &mut Maps) {
        if !self.pace.is_due() {
            return;
        }
        let began = Instant::now();
        if let Some(round) = self.read(object) {
            for gone in self.result.record(&round) {
                maps.forget_net(&gone);
            }
        }
        self.pace.done(began, self.interval);
    }

    /// One round of readings; none when the hooks' counters could not be read: zeros would be losses.
    fn read(&mut self, object: &mut Object) -> Option<Round> {
        let before = Maps::nets(object)?;
        let (kernel, existing) = self.read_kernel(&before);
        if !self.result.has_begun() {
            // A hook that lags behind the first reading must not be ahead of it for good.
            thread::sleep(SETTLE);
        }
        let after = Maps::nets(object)?;
        let mut round = Round {
            before,
            kernel,
            after,
            existing,
        };
        if self.result.has_new_shortfall(&round) {
            thread::sleep(SETTLE);
            round.after = Maps::nets(object)?;
        }
        Some(round)
    }

    /// The kernel's counters of every namespace that can be entered, and the numbers of all.
    fn read_kernel(
        &mut self,
        counted: &Counted,
    ) -> (BTreeMap<NetKey, KernelCounts>, BTreeSet<u32>) {
        let mut found = namespaces::find(Depth::Processes);
        // The hooks have met a namespace that no process is in: then a thread may be.
        let is_new = |key: &NetKey| key.inum != 0 && !found.contains_key(&key.inum);
        let now = Instant::now();
        if counted.keys().any(is_new) || self.threads.is_none_or(|next| now >= next) {
            found = namespaces::find(Depth::Threads);
            self.threads = Some(now + THREADS);
        }
        let visited = namespaces::visit(&found, || {
            let counts = snmp::read(Path::new("/proc/thread-self/net"))?;
            Ok((netns::cookie().unwrap_or(0), counts))
        });
        let visited = visited.unwrap_or_else(|error| {
            warn!(%error, "cannot read the kernel's counters");
            Vec::new()
        });
        // One that could not be entered shows as not seen.
        let read = visited.into_iter().filter_map(|(inum, result)| {
            let (cookie, counts) = result.ok()?;
            let key = NetKey {
                cookie,
                inum,
                padding: 0,
            };
            Some((key, counts))
        });
        (read.collect(), found.into_keys().collect())
    }
}
