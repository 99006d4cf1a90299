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
use halfopen_core::model::accounting::{Counted, HostGrowth, KernelComparison, Round};
use tracing::warn;

use crate::{
    bpf::{loaded_object::Object, maps::Maps},
    host::{
        namespaces::{self, Depth},
        netns,
        snmp::{self, SnmpCounters},
    },
    sockets::{
        duty_cycle::DutyCycle,
        walk::{self, NETS},
    },
};

/// How long a hook may lag behind the kernel's own counter on another processor.
const SETTLE: Duration = Duration::from_millis(20);
/// Every thread of the host is looked at this often, for a namespace that no process is in.
const THREADS: Duration = Duration::from_secs(60);

/// What follows where the age of a namespace is not known.
const DOUBT: &str =
    "missed events may stay unnoticed in network namespaces that are short-lived or found late";

/// The running comparison.
pub struct ComparisonReader {
    /// What came of it.
    pub result: KernelComparison,
    /// What the kernel has counted meanwhile and no hook counts.
    pub host: HostGrowth,
    pace: DutyCycle,
    interval: Duration,
    threads: Option<Instant>,
    /// Listed namespaces that no process and no thread was in at that time: held by a descriptor alone.
    empty: BTreeSet<u32>,
    /// Whether the kernel's own list of namespaces could be read when it was tried last.
    has_list: bool,
}

impl ComparisonReader {
    /// One that is done every `interval` at least, and more often where it costs little.
    pub fn new(object: &mut Object, interval: Duration) -> Self {
        let report = |error: &_| warn!(%error, program = NETS, "{DOUBT}: the kernel refused the program that lists namespaces");
        Self {
            has_list: object.load_to_run(NETS).inspect_err(report).is_ok(),
            result: KernelComparison::default(),
            host: HostGrowth::default(),
            pace: DutyCycle::default(),
            interval,
            threads: None,
            empty: BTreeSet::new(),
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
        let listed = self.list(object);
        let before = Maps::nets(object)?;
        let (readings, existing) = self.read_kernel(&before, listed.as_ref());
        let host = readings.iter().map(|(key, reading)| (*key, reading.host));
        self.host.record(&host.collect(), &existing);
        let kernel = readings
            .into_iter()
            .map(|(key, reading)| (key, reading.compared))
            .collect();
        let after = Maps::nets(object)?;
        let mut round = Round {
            listed,
            before,
            kernel,
            after,
            existing,
        };
        if self.result.needs_second_look(&round) {
            thread::sleep(SETTLE);
            round.after = Maps::nets(object)?;
        }
        Some(round)
    }

    /// Every namespace there is, whoever holds it.
    fn list(&mut self, object: &mut Object) -> Option<BTreeSet<NetKey>> {
        let nets = walk::nets(object);
        if let (true, Err(error)) = (self.has_list, &nets) {
            warn!(%error, "{DOUBT}: the kernel's list of namespaces cannot be read");
        }
        self.has_list = nets.is_ok();
        Some(nets.ok()?.into_iter().map(|net| net.key).collect())
    }

    /// The kernel's counters of every namespace that can be entered, and the numbers of all found.
    fn read_kernel(
        &mut self,
        counted: &Counted,
        listed: Option<&BTreeSet<NetKey>>,
    ) -> (BTreeMap<NetKey, SnmpCounters>, BTreeSet<u32>) {
        let mut found = namespaces::find(Depth::Processes);
        // There is a namespace that no process is in: then a thread may be.
        let listed_numbers = || listed.into_iter().flatten().map(|key| key.inum);
        let is_missing = |inum: &u32| *inum != 0 && !found.contains_key(inum);
        let is_new = |inum| is_missing(&inum) && !self.empty.contains(&inum);
        let now = Instant::now();
        if counted.keys().any(|key| is_missing(&key.inum))
            || listed_numbers().any(is_new)
            || self.threads.is_none_or(|next| now >= next)
        {
            found = namespaces::find(Depth::Threads);
            self.threads = Some(now + THREADS);
            let is_empty = |inum: &u32| !found.contains_key(inum);
            self.empty = listed_numbers().filter(is_empty).collect();
        }
        let mut known = counted.keys().chain(listed.into_iter().flatten());
        let has_cookies = known.any(|key| key.cookie != 0);
        let visited = namespaces::visit(&found, || {
            let counts = snmp::read(Path::new("/proc/thread-self/net"))?;
            let cookie = match netns::cookie() {
                // It would be taken for another one.
                Err(error) if has_cookies => return Err(error),
                cookie => cookie.unwrap_or(0),
            };
            Ok((cookie, counts))
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
