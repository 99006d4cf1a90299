//! From the kernel's groups to those that are shown: owners by name, within the budget.
//!
//! # Invariants
//! The kernel forgets a group only after its counts were kept here.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use halfopen_common::{GroupCounts, GroupKey};

use crate::{bpf::maps::Maps, events::ignored::IgnoredTally, host::owners::Owners};
use halfopen_core::metrics::cardinality::{Budget, Limits, Shown};
use halfopen_core::model::{
    census::Census,
    group::{Counts, Group, Suspects},
    groups::{Ignored, Ledger, PendingAnswers, Reasons},
    snapshot::{WalkStatus, Walked},
};

/// Cgroups that are gone are looked for this often.
const FORGET: Duration = Duration::from_secs(60);

/// What is shown of groups.
pub struct Grouped {
    /// Counters.
    pub counts: BTreeMap<Group, Counts>,
    /// Suspects.
    pub suspects: Suspects,
    /// The walk.
    pub walk: WalkStatus,
    /// Groups that are shown together.
    pub folded: u64,
}

/// Keeps names and counts.
pub struct Groups {
    owners: Owners,
    /// [`Owners::views`] as owners were last asked for.
    views: u64,
    ledger: Ledger,
    budget: Budget,
    time_to_live: Duration,
    /// Whether the kernel's table is to outlive this: then it alone may keep counts.
    is_kept: bool,
    began: Instant,
    forgot: Instant,
}

impl Groups {
    /// Within these limits.
    pub fn new(owners: Owners, limits: Limits, is_kept: bool) -> Self {
        let now = Instant::now();
        Self {
            views: owners.views(),
            owners,
            ledger: Ledger::default(),
            time_to_live: limits.time_to_live,
            budget: Budget::new(limits),
            is_kept,
            began: now,
            forgot: now,
        }
    }

    /// The counters, by owner.
    pub fn count(
        &mut self,
        counters: &BTreeMap<GroupKey, GroupCounts>,
        pending: &PendingAnswers,
        ignored: &Ignored,
        reasons: &Reasons,
    ) -> BTreeMap<Group, Counts> {
        let owner = |cgroup| {
            self.owners.of(match cgroup {
                0 => Err(halfopen_core::model::connection::Unknown::NotOnThisKernel),
                cgroup => Ok(cgroup),
            })
        };
        let now = self.began.elapsed();
        let views = self.owners.views();
        if std::mem::replace(&mut self.views, views) != views {
            self.ledger.ask_again();
        }
        self.ledger
            .show(counters, pending, ignored, reasons, owner, now)
    }

    /// What is shown of everything there is.
    pub fn show(
        &mut self,
        counts: BTreeMap<Group, Counts>,
        suspects: Suspects,
        walk: WalkStatus,
    ) -> Grouped {
        let sums = match &walk {
            WalkStatus::Done(walked) => walked.census.groups.clone(),
            WalkStatus::NotYet | WalkStatus::Failed(_) => BTreeMap::new(),
        };
        let all = Shown {
            counts,
            sums,
            suspects,
        };
        let living = self.owners.living();
        // Where it is not known who exists, nobody is gone.
        let is_alive = |owner: &str| {
            let living = living.as_ref();
            living.is_none_or(|living| owner.is_empty() || living.contains(owner))
        };
        let shown = self.budget.show(all, is_alive, self.began.elapsed());
        Grouped {
            counts: shown.counts,
            suspects: shown.suspects,
            walk: match walk {
                WalkStatus::Done(walked) => WalkStatus::Done(Walked {
                    census: Arc::new(Census {
                        groups: shown.sums,
                        orphaned: walked.census.orphaned.clone(),
                        namespaces: walked.census.namespaces.clone(),
                        ..*walked.census
                    }),
                    ..walked
                }),
                walk => walk,
            },
            folded: self.budget.folded() as u64,
        }
    }

    /// Makes room in the kernel's table: of cgroups that are gone, and in which nothing has happened for
    /// long, the counts are kept here alone; of owners that are gone, in the total alone. Not where the
    /// kernel's table outlives the agent: the next one would show less.
    pub fn forget(
        &mut self,
        counters: &mut BTreeMap<GroupKey, GroupCounts>,
        maps: &mut Maps,
        ignored: &IgnoredTally,
        reasons: &Reasons,
    ) {
        if self.is_kept || self.forgot.elapsed() < FORGET.min(self.time_to_live) {
            return;
        }
        self.forgot = Instant::now();
        let now = self.began.elapsed();
        let stale: Vec<GroupKey> = self.ledger.stale(self.time_to_live, now).collect();
        let gone = stale
            .into_iter()
            .filter(|key| key.cgroup != 0 && !self.owners.exists(key.cgroup));
        let mut retired = Vec::new();
        for key in gone {
            if counters.remove(&key).is_none() {
                continue;
            }
            if let Some(counts) = maps.forget_group(&key) {
                retired.push((key, counts));
            }
        }
        if !retired.is_empty() {
            // What was counted up to the last moment may have to be ignored.
            let reading = ignored.up_to_now().unwrap_or_else(|| ignored.latest());
            for (key, counts) in &retired {
                self.ledger.retire(key, counts, &reading.deaths, reasons);
                ignored.forget(key);
            }
        }
        let budget = &self.budget;
        for (group, counts) in self.ledger.depart(|group| budget.is_gone(group, now)) {
            self.budget.depart(&group, &counts);
        }
    }
}
