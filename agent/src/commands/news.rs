//! Tells the log what changed between snapshots: hooks once, missed counts as they appear.
//! It must never flood the log: what goes on happening is told once a minute.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use halfopen_core::model::{accounting::KernelCounter, hook::HookStatus, snapshot::Snapshot};

/// Least time between two lines about the same counter.
const QUIET: Duration = Duration::from_secs(60);

/// What was told before.
#[derive(Default)]
pub struct News {
    began: bool,
    unaccounted: BTreeMap<KernelCounter, Told>,
    overcounted: BTreeMap<KernelCounter, Told>,
}

#[derive(Clone, Copy)]
struct Told {
    count: u64,
    at: Instant,
}

impl News {
    /// Sees a snapshot taken `now`.
    pub fn see(&mut self, snapshot: &Snapshot, now: Instant) {
        if !self.began {
            self.began = true;
            snapshot.hooks.iter().for_each(tell_hook);
        }
        for (counter, balance) in &snapshot.accounting {
            let name = counter.as_str();
            if let Some(new) = news(&mut self.unaccounted, *counter, balance.unaccounted, now) {
                warn!(
                    counter = name,
                    new,
                    total = balance.unaccounted,
                    "the kernel counted events that no hook saw"
                );
            }
            if let Some(new) = news(&mut self.overcounted, *counter, balance.overcounted, now) {
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

/// How many are new since they were last told, if it is time to tell.
fn news(
    told: &mut BTreeMap<KernelCounter, Told>,
    counter: KernelCounter,
    count: u64,
    now: Instant,
) -> Option<u64> {
    let before = told.get(&counter).copied();
    let new = count.saturating_sub(before.map_or(0, |told| told.count));
    let quiet = before.is_some_and(|told| now.saturating_duration_since(told.at) < QUIET);
    if new == 0 || quiet {
        return None;
    }
    told.insert(counter, Told { count, at: now });
    Some(new)
}

fn tell_hook(hook: &HookStatus) {
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
    fn news_are_told_once_a_minute_and_never_lost() {
        let start = Instant::now();
        let mut told = BTreeMap::new();
        let mut check = |second, count, expected| {
            let now = start + Duration::from_secs(second);
            let new = news(&mut told, KernelCounter::OutRsts, count, now);
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
