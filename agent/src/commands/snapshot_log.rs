//! Logs what changed between snapshots: hooks once, missed counts as they appear.
//!
//! # Invariants
//! At most one line a minute for each counter.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use halfopen_core::model::{accounting::KernelCounter, hook::HookStatus, snapshot::Snapshot};

/// Least time between two lines about the same counter.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What was logged before.
#[derive(Default)]
pub struct SnapshotLog {
    began: bool,
    unaccounted: BTreeMap<KernelCounter, LoggedCount>,
    overcounted: BTreeMap<KernelCounter, LoggedCount>,
}

#[derive(Clone, Copy)]
struct LoggedCount {
    count: u64,
    at: Instant,
}

impl SnapshotLog {
    /// Logs what is new in a snapshot taken `now`.
    pub fn record(&mut self, snapshot: &Snapshot, now: Instant) {
        if !self.began {
            self.began = true;
            snapshot.hooks.iter().for_each(log_hook);
        }
        for (counter, balance) in &snapshot.accounting {
            let name = counter.as_str();
            if let Some(new) = unlogged(&mut self.unaccounted, *counter, balance.unaccounted, now) {
                warn!(
                    counter = name,
                    new,
                    total = balance.unaccounted,
                    "the kernel counted events that no hook saw"
                );
            }
            if let Some(new) = unlogged(&mut self.overcounted, *counter, balance.overcounted, now) {
                error!(
                    counter = name,
                    new,
                    total = balance.overcounted,
                    "the hooks counted events that the kernel did not; please report this"
                );
            }
        }
    }
}

/// How many are new since the last line, if it is time for another.
fn unlogged(
    logged: &mut BTreeMap<KernelCounter, LoggedCount>,
    counter: KernelCounter,
    count: u64,
    now: Instant,
) -> Option<u64> {
    let before = logged.get(&counter).copied();
    let new = count.saturating_sub(before.map_or(0, |logged| logged.count));
    let quiet =
        before.is_some_and(|logged| now.saturating_duration_since(logged.at) < LOG_INTERVAL);
    if new == 0 || quiet {
        return None;
    }
    logged.insert(counter, LoggedCount { count, at: now });
    Some(new)
}

fn log_hook(hook: &HookStatus) {
    let name = hook.hook;
    match hook.mechanism {
        Some(mechanism) => info!(hook = name, mechanism = mechanism.as_str(), "hook attached"),
        None => {
            let reasons: Vec<String> = hook
                .refused
                .iter()
                .map(|(mechanism, reason)| format!("{}: {reason}", mechanism.as_str()))
                .collect();
            warn!(
                hook = name,
                purpose = hook.purpose,
                reasons = reasons.join("; "),
                "hook missing"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_counts_are_logged_once_a_minute_and_never_lost() {
        let start = Instant::now();
        let mut logged = BTreeMap::new();
        let mut check = |second, count, expected| {
            let now = start + Duration::from_secs(second);
            let new = unlogged(&mut logged, KernelCounter::OutRsts, count, now);
            assert_eq!(new, expected, "at {second} s");
        };
        check(0, 0, None);
        check(1, 3, Some(3));
        check(2, 5, None);
        check(60, 6, None);
        check(61, 6, Some(3));
        check(200, 6, None);
        check(201, 7, Some(1));
    }
}
