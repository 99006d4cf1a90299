//! Groups: the hooks' counters as figures a view can show.
//! It must never let a figure that was shown go backwards.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use halfopen_common::{
    Ending, Event, GROUP_OVERFLOW_DIRECTION, GroupCounts, GroupKey, Outstanding, Record,
    ResetReason, direction,
};

use super::{
    budget::OTHER,
    census::owner_label,
    connection::Known,
    death,
    liveness::Evidence,
    snapshot::{Counts, Direction, Group},
};

/// Names of the reasons of resets, by the index the hooks count under.
#[derive(Debug, Clone)]
pub struct Reasons(Vec<Arc<str>>);

impl Reasons {
    /// From the kernel's own enumeration, in lower case without prefix; inferred reasons carry the
    /// name the kernel gives them where it tells.
    #[must_use]
    pub fn new(told: &HashMap<u32, String>) -> Self {
        let name = |index: u32| {
            let inferred = match index {
                ResetReason::KEEPALIVE_TIMEOUT => "tcp_keepalive_timeout",
                ResetReason::ABORT_ON_CLOSE => "tcp_abort_on_close",
                ResetReason::ABORT_ON_LINGER => "tcp_abort_on_linger",
                ResetReason::ABORT_ON_MEMORY => "tcp_abort_on_memory",
                ResetReason::STATE => "tcp_state",
                _ => told.get(&index).map_or("unknown", String::as_str),
            };
            Arc::from(inferred)
        };
        Self((0_u32..).take(ResetReason::COUNT).map(name).collect())
    }

    /// The name of the reason with this index.
    #[must_use]
    pub fn name(&self, index: u8) -> Arc<str> {
        let name = self.0.get(usize::from(index)).or(self.0.last());
        name.map_or_else(|| Arc::from("unknown"), Arc::clone)
    }
}

/// Answers the hooks have not counted yet: probes outstanding whose peer was found heard, by group.
pub type Pending = BTreeMap<GroupKey, PendingAnswers>;

/// Answers not counted yet in one group, by the event that the hooks will count.
pub type PendingAnswers = [u64; Event::COUNT];

/// Adds a record's pending answer, if it has one.
pub fn add_pending(pending: &mut Pending, record: &Record) {
    if record.heard == 0 {
        return;
    }
    let (answer, recovery) = match record.outstanding {
        Outstanding::KEEPALIVE => (Some(Event::KeepaliveAnswered), Event::KeepaliveRecovery),
        Outstanding::WINDOW => (Some(Event::WindowAnswered), Event::WindowRecovery),
        Outstanding::RETRANSMISSION => (None, Event::RetransmissionRecovery),
        _ => return,
    };
    let recovery = record.recovers().then_some(recovery);
    let answers = pending.entry(record.group()).or_default();
    for event in [answer, recovery].into_iter().flatten() {
        answers[event as usize] += 1;
    }
}

/// Keeps what was shown of each of the kernel's groups.
#[derive(Debug, Default)]
pub struct Ledger {
    known: BTreeMap<GroupKey, Entry>,
    /// Counts of keys that the kernel has forgotten, by the group they were shown in.
    retained: BTreeMap<Group, Counts>,
}

/// What is known of one of the kernel's groups.
#[derive(Debug)]
struct Entry {
    /// Where it is shown. It stays so: counts that change their group would go backwards in one.
    group: Group,
    shown: PendingAnswers,
    /// The sum of all counters when they last changed.
    sum: u64,
    /// When that was.
    changed: Duration,
}

impl Ledger {
    /// The groups as views show them; `owner` tells the name of a cgroup's owner, and is asked once for
    /// each of the kernel's groups. The pending answers must have been read *after* the counters, never
    /// before: an answer the hooks count in between is then in neither, and what was shown before
    /// stands, where the other order would count it twice for good.
    pub fn show(
        &mut self,
        counters: &BTreeMap<GroupKey, GroupCounts>,
        pending: &Pending,
        reasons: &Reasons,
        owner: impl Fn(u64) -> Known<Arc<str>>,
        now: Duration,
    ) -> BTreeMap<Group, Counts> {
        let mut groups = self.retained.clone();
        for (key, counters) in counters {
            let pending = pending.get(key).copied().unwrap_or_default();
            let entry = self.known.entry(*key).or_insert_with(|| Entry {
                group: group(key, &owner),
                shown: PendingAnswers::default(),
                sum: 0,
                changed: now,
            });
            let shown = &mut entry.shown;
            for ((shown, counted), pending) in shown.iter_mut().zip(counters.events).zip(pending) {
                *shown = (*shown).max(counted + pending);
            }
            let sum = sum(counters);
            if sum != entry.sum {
                entry.sum = sum;
                entry.changed = now;
            }
            if sum != 0 {
                let counts = groups.entry(entry.group.clone()).or_default();
                add(counts, entry.shown, counters, reasons);
            }
        }
        groups
    }

    /// Groups of the kernel in which nothing has happened for so long.
    pub fn stale(&self, age: Duration, now: Duration) -> impl Iterator<Item = GroupKey> {
        let is_stale = move |entry: &Entry| now.saturating_sub(entry.changed) > age;
        let known = self.known.iter();
        known
            .filter(move |(_, entry)| is_stale(entry))
            .map(|(key, _)| *key)
    }

    /// Takes over the counts of one that the kernel is made to forget.
    pub fn retire(&mut self, key: &GroupKey, counters: &GroupCounts, reasons: &Reasons) {
        if let Some(entry) = self.known.remove(key) {
            let counts = self.retained.entry(entry.group).or_default();
            add(counts, entry.shown, counters, reasons);
        }
    }

    /// Gives away what is retained of groups that are gone, and of which the kernel knows nothing more.
    pub fn depart(&mut self, is_gone: impl Fn(&Group) -> bool) -> Vec<(Group, Counts)> {
        let live: BTreeSet<&Group> = self.known.values().map(|entry| &entry.group).collect();
        let departs = |group: &&Group| !live.contains(group) && is_gone(group);
        let gone: Vec<Group> = self.retained.keys().filter(departs).cloned().collect();
        let gone = gone.into_iter();
        gone.filter_map(|group| self.retained.remove_entry(&group))
            .collect()
    }
}

fn add(counts: &mut Counts, shown: PendingAnswers, counters: &GroupCounts, reasons: &Reasons) {
    let event = |event: Event| shown[event as usize];
    counts.keepalive_probes += event(Event::KeepaliveProbe);
    counts.keepalive_probes_answered += event(Event::KeepaliveAnswered);
    counts.window_probes += event(Event::WindowProbe);
    counts.window_probes_answered += event(Event::WindowAnswered);
    counts.retransmission_timeouts += event(Event::RetransmissionTimeout);
    counts.resets_received += event(Event::ResetReceived);
    for (evidence, recovery) in [
        (Evidence::Keepalive, Event::KeepaliveRecovery),
        (Evidence::Retransmission, Event::RetransmissionRecovery),
        (Evidence::WindowProbe, Event::WindowRecovery),
    ] {
        *counts.recoveries.entry(evidence).or_default() += event(recovery);
    }
    for (count, name) in counters
        .resets_sent
        .iter()
        .zip(&reasons.0)
        .filter(|(count, _)| **count != 0)
    {
        *counts.resets_sent.entry(name.to_string()).or_default() += count;
    }
    for ending in Ending::ALL {
        let count = counters.endings[ending as usize];
        if let Some(cause) = death::cause(ending).filter(|_| count != 0) {
            *counts.deaths.entry(cause).or_default() += count;
        }
    }
}

/// It changes with any of them.
fn sum(counters: &GroupCounts) -> u64 {
    let counters = counters
        .events
        .iter()
        .chain(&counters.resets_sent)
        .chain(&counters.endings);
    counters.fold(0, |sum, count| sum.wrapping_add(*count))
}

fn group(key: &GroupKey, owner: impl Fn(u64) -> Known<Arc<str>>) -> Group {
    let named = || owner_label(&owner(key.cgroup));
    let (owner, direction, port) = match key.direction {
        direction::INBOUND => (named(), Direction::Inbound, Some(key.port)),
        direction::OUTBOUND => (named(), Direction::Outbound, Some(key.port)),
        GROUP_OVERFLOW_DIRECTION => (OTHER.to_owned(), Direction::None, None),
        _ => (String::new(), Direction::None, None),
    };
    Group {
        owner,
        direction,
        port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Cause;
    use zerocopy::FromZeros as _;

    fn key(cgroup: u64, port: u16, direction: u8) -> GroupKey {
        GroupKey {
            cgroup,
            port,
            direction,
            padding: [0; 5],
        }
    }

    fn counters(change: impl FnOnce(&mut GroupCounts)) -> GroupCounts {
        let mut counters = GroupCounts::new_zeroed();
        change(&mut counters);
        counters
    }

    fn record(change: impl FnOnce(&mut Record)) -> Record {
        let mut record = Record::new_zeroed();
        record.direction = direction::OUTBOUND;
        record.remote_port = 443;
        record.local_port = 50_000;
        change(&mut record);
        record
    }

    fn reasons() -> Reasons {
        Reasons::new(&HashMap::from([
            (15, "tcp_keepalive_timeout".into()),
            (1, "no_socket".into()),
        ]))
    }

    fn show(
        ledger: &mut Ledger,
        counters: &BTreeMap<GroupKey, GroupCounts>,
        pending: &Pending,
    ) -> BTreeMap<Group, Counts> {
        let owner = |_| Ok("unit.service".into());
        ledger.show(counters, pending, &reasons(), owner, Duration::ZERO)
    }

    #[test]
    fn groups_of_several_cgroups_are_summed_and_empty_ones_left_out() {
        let probes = |n| counters(|c| c.events[Event::KeepaliveProbe as usize] = n);
        let read = BTreeMap::from([
            (key(1, 443, direction::OUTBOUND), probes(2)),
            (key(2, 443, direction::OUTBOUND), probes(3)),
            (key(2, 80, direction::INBOUND), probes(0)),
        ]);
        let shown = show(&mut Ledger::default(), &read, &Pending::new());
        assert_eq!(shown.len(), 1);
        let group = Group {
            owner: "unit.service".to_owned(),
            direction: Direction::Outbound,
            port: Some(443),
        };
        assert_eq!(shown[&group].keepalive_probes, 5);
    }

    #[test]
    fn told_and_inferred_reasons_have_one_name() {
        let read = BTreeMap::from([(
            key(0, 0, direction::NONE),
            counters(|c| {
                c.resets_sent[15] = 1;
                c.resets_sent[ResetReason::KEEPALIVE_TIMEOUT as usize] = 2;
                c.resets_sent[1] = 4;
                c.resets_sent[ResetReason::UNKNOWN as usize] = 8;
                c.resets_sent[40] = 16;
                c.endings[Ending::Keepalive as usize] = 3;
            }),
        )]);
        let shown = show(&mut Ledger::default(), &read, &Pending::new());
        let counts = shown.values().next().unwrap();
        let expected = [
            ("no_socket", 4),
            ("tcp_keepalive_timeout", 3),
            ("unknown", 24),
        ];
        assert_eq!(
            counts.resets_sent,
            expected.map(|(name, n)| (name.to_owned(), n)).into()
        );
        assert_eq!(counts.deaths, BTreeMap::from([(Cause::Keepalive, 3)]));
        assert_eq!(shown.keys().next().unwrap().port, None);
    }

    #[test]
    fn a_pending_answer_counts_once_and_stays_when_the_hooks_take_it_over() {
        let key = key(0, 443, direction::OUTBOUND);
        let answered = |n| {
            BTreeMap::from([(
                key,
                counters(|c| {
                    c.events[Event::KeepaliveProbe as usize] = 1;
                    c.events[Event::KeepaliveAnswered as usize] = n;
                }),
            )])
        };
        let mut pending = Pending::new();
        let heard = record(|r| {
            r.outstanding = Outstanding::KEEPALIVE;
            r.heard = 1;
        });
        add_pending(&mut pending, &heard);
        add_pending(
            &mut pending,
            &record(|r| r.outstanding = Outstanding::KEEPALIVE),
        );
        assert_eq!(pending[&key][Event::KeepaliveRecovery as usize], 0);
        let mut recovered = Pending::new();
        for unanswered in [1, 2] {
            let heard = record(|r| {
                r.outstanding = Outstanding::WINDOW;
                r.heard = 1;
                r.unanswered = unanswered;
            });
            add_pending(&mut recovered, &heard);
        }
        let events = recovered[&key];
        assert_eq!(events[Event::WindowAnswered as usize], 2);
        assert_eq!(events[Event::WindowRecovery as usize], 1);
        let mut ledger = Ledger::default();
        let mut shown = |counters, pending: &Pending| {
            show(&mut ledger, &counters, pending)
                .values()
                .next()
                .unwrap()
                .keepalive_probes_answered
        };
        assert_eq!(shown(answered(0), &pending), 1);
        assert_eq!(shown(answered(0), &Pending::new()), 1, "counted in between");
        assert_eq!(shown(answered(1), &Pending::new()), 1);
    }

    #[test]
    fn what_the_kernel_forgets_is_kept_until_the_group_departs() {
        let probes = |n| counters(|c| c.events[Event::KeepaliveProbe as usize] = n);
        let [old, new] = [1, 2].map(|cgroup| key(cgroup, 443, direction::OUTBOUND));
        let mut ledger = Ledger::default();
        let owner = |_| Ok("unit.service".into());
        let show = |ledger: &mut Ledger, read: &[(GroupKey, u64)], second| {
            let read = read.iter().map(|(key, n)| (*key, probes(*n))).collect();
            let now = Duration::from_secs(second);
            let shown = ledger.show(&read, &Pending::new(), &reasons(), owner, now);
            shown.values().map(|it| it.keepalive_probes).sum::<u64>()
        };
        let age = Duration::from_secs(10);
        assert_eq!(show(&mut ledger, &[(old, 3), (new, 1)], 0), 4);
        assert_eq!(show(&mut ledger, &[(old, 3), (new, 2)], 11), 5);
        let stale: Vec<_> = ledger.stale(age, Duration::from_secs(11)).collect();
        assert_eq!(stale, [old]);
        ledger.retire(&old, &probes(3), &reasons());
        assert_eq!(show(&mut ledger, &[(new, 2)], 12), 5);
        assert_eq!(ledger.depart(|_| true), [], "the kernel still counts in it");
        ledger.retire(&new, &probes(2), &reasons());
        assert_eq!(show(&mut ledger, &[], 13), 5);
        assert_eq!(ledger.depart(|_| false), []);
        let gone = ledger.depart(|_| true);
        assert_eq!((gone.len(), gone[0].1.keepalive_probes), (1, 5));
        assert_eq!(show(&mut ledger, &[], 14), 0);
    }
}
