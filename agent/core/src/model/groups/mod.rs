//! Groups: the hooks' counters as figures a view can show.
//!
//! # Invariants
//! No figure that was shown goes backwards.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use halfopen_common::{
    Ending, Event, GROUP_OVERFLOW_DIRECTION, GroupCounts, GroupKey, IgnoredDeaths, Outstanding,
    Record, ResetReason, direction,
};

use super::{
    census::{UNKNOWN_OWNER, owner_label},
    connection::{Direction, Known},
    death,
    group::{Counts, Group, IdleTimes, OTHER},
    liveness::Evidence,
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
                ResetReason::ABORT_ON_DATA => "tcp_abort_on_data",
                ResetReason::NETFILTER => "netfilter",
                // As the kernel names it where it tells why a segment was dropped (skb_drop_reason).
                ResetReason::LISTEN_OVERFLOW => "tcp_listen_overflow",
                _ => told.get(&index).map_or("unknown", String::as_str),
            };
            Arc::from(inferred)
        };
        Self((0_u32..).take(ResetReason::COUNT).map(name).collect())
    }

    /// The name of the reason with this index.
    #[must_use]
    pub fn name(&self, index: u32) -> Arc<str> {
        let known = usize::try_from(index)
            .ok()
            .and_then(|index| self.0.get(index));
        let name = known.or(self.0.get(ResetReason::UNKNOWN as usize));
        name.map_or_else(|| Arc::from("unknown"), Arc::clone)
    }
}

/// Answers the hooks have not counted yet: probes outstanding whose peer was found heard, by group.
pub type PendingAnswers = BTreeMap<GroupKey, GroupAnswers>;

/// Answers not counted yet in one group, by the event that the hooks will count.
pub type GroupAnswers = [u64; Event::COUNT];

/// Adds a record's pending answer, if it has one.
pub fn add_pending(pending: &mut PendingAnswers, record: &Record) {
    if record.heard == 0 {
        return;
    }
    let (answer, recovery) = match record.outstanding {
        Outstanding::KEEPALIVE => (Some(Event::KeepaliveAnswered), Event::KeepaliveRecovery),
        Outstanding::WINDOW => (Some(Event::WindowAnswered), Event::WindowRecovery),
        Outstanding::CLOSED_WINDOW => (None, Event::WindowRecovery),
        Outstanding::RETRANSMISSION => (None, Event::RetransmissionRecovery),
        _ => return,
    };
    let recovery = record.recovers().then_some(recovery);
    let answers = pending.entry(record.group()).or_default();
    for event in [answer, recovery].into_iter().flatten() {
        answers[event as usize] += 1;
    }
}

/// Deaths that were ignored, by the kernel's group in which they are counted.
pub type Ignored = BTreeMap<GroupKey, IgnoredDeaths>;

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
    shown: Figures,
    /// What was shown, and counted, while its owner was not known: that stays where it was shown.
    before: Option<Box<(Figures, GroupCounts)>>,
    /// What was counted when it was shown last; nothing where its owner is known.
    latest: Option<Box<GroupCounts>>,
    /// Whether its owner, which is not known, is to be asked for again.
    asks: bool,
    /// Whether something was shown that the hooks are still to count.
    owes: bool,
    /// The sum of all counters when they last changed.
    sum: u64,
    /// When that was.
    changed: Duration,
}

impl Entry {
    /// Adds what is shown in its group.
    fn add_to(
        &self,
        groups: &mut BTreeMap<Group, Counts>,
        counters: &GroupCounts,
        reasons: &Reasons,
    ) {
        let since;
        let (shown, counters) = match self.before.as_deref() {
            None => (&self.shown, counters),
            Some((shown, counted)) => {
                since = (self.shown.since(shown), counters_since(counters, counted));
                (&since.0, &since.1)
            }
        };
        let mut deaths = shown.deaths.iter();
        if deaths.any(|shown| *shown != 0) || has_more_than_deaths(counters) {
            let counts = groups.entry(self.group.clone()).or_default();
            shown.add_to(counts, counters, reasons);
        }
    }
}

/// Figures of a group that are not just what the hooks have counted. None goes backwards.
#[derive(Debug, Clone, Default)]
struct Figures {
    /// Those counted, and answers that are pending.
    events: GroupAnswers,
    /// Deaths without those ignored, by [`Ending`].
    deaths: [u64; Ending::COUNT],
}

impl Figures {
    /// Takes over what was read later; whether more was shown before than stands there.
    fn update(
        &mut self,
        counters: &GroupCounts,
        pending: &GroupAnswers,
        ignored: &IgnoredDeaths,
    ) -> bool {
        let mut owes = false;
        let (events, endings) = without_withdrawn(counters);
        let events = events.iter().zip(pending);
        for (shown, (counted, pending)) in self.events.iter_mut().zip(events) {
            *shown = (*shown).max(counted + pending);
            owes |= *shown > *counted;
        }
        // More may be ignored than were counted when the counters were read.
        let deaths = endings.iter().zip(&ignored.0);
        for (shown, (counted, ignored)) in self.deaths.iter_mut().zip(deaths) {
            *shown = (*shown).max(counted.saturating_sub(*ignored));
            owes |= *shown + *ignored > *counted;
        }
        owes
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            events: difference(&self.events, &before.events),
            deaths: difference(&self.deaths, &before.deaths),
        }
    }

    fn add_to(&self, counts: &mut Counts, counters: &GroupCounts, reasons: &Reasons) {
        let event = |event: Event| self.events[event as usize];
        counts.keepalive_probes += event(Event::KeepaliveProbe);
        counts.keepalive_probes_answered += event(Event::KeepaliveAnswered);
        counts.window_probes += event(Event::WindowProbe);
        counts.window_probes_answered += event(Event::WindowAnswered);
        counts.retransmission_timeouts += event(Event::RetransmissionTimeout);
        counts.resets_received += event(Event::ResetReceived);
        counts.deaths_inferred += event(Event::DeathInferred);
        counts.syn_cookies_sent += event(Event::CookieSent);
        counts.syn_cookies_validated += event(Event::CookieValidated);
        counts.connects_without_port += event(Event::ConnectWithoutPort);
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
            let count = self.deaths[ending as usize];
            let named = death::cause(ending).zip(death::path(ending));
            if let Some((cause, path)) = named.filter(|_| count != 0) {
                *counts.deaths.entry(cause).or_default() += count;
                *counts.deaths_by_path.entry(path).or_default() += count;
            }
        }
        counts.idle_before_close.add(&IdleTimes {
            counts: counters.idle_before_close,
            sum: Duration::from_nanos(counters.idle_before_close_ns),
        });
    }
}

impl Ledger {
    /// The groups as views show them; `owner` tells the name of a cgroup's owner, and is asked once for
    /// each of the kernel's groups, and once more after [`Self::ask_again`]. The pending answers must have been read *after* the counters, never
    /// before: an answer the hooks count in between is then in neither, and what was shown before
    /// stands, where the other order would count it twice for good. `ignored` must know of every death
    /// that the counters have, and may know of more: too few deaths are shown then for a moment, where the
    /// other order would show for good what is to be ignored.
    pub fn show(
        &mut self,
        counters: &BTreeMap<GroupKey, GroupCounts>,
        pending: &PendingAnswers,
        ignored: &Ignored,
        reasons: &Reasons,
        owner: impl Fn(u64) -> Known<Arc<str>>,
        now: Duration,
    ) -> BTreeMap<Group, Counts> {
        let mut groups = self.retained.clone();
        for (key, counters) in counters {
            let pending = pending.get(key).copied().unwrap_or_default();
            let entry = self.known.entry(*key).or_insert_with(|| Entry {
                group: group(key, &owner),
                shown: Figures::default(),
                before: None,
                latest: None,
                asks: false,
                owes: false,
                sum: 0,
                changed: now,
            });
            if std::mem::take(&mut entry.asks) {
                let named = group(key, &owner);
                if named != entry.group
                    && let Some(latest) = entry.latest.take()
                {
                    entry.add_to(&mut self.retained, &latest, reasons);
                    entry.add_to(&mut groups, &latest, reasons);
                    entry.before = Some(Box::new((entry.shown.clone(), *latest)));
                    entry.group = named;
                }
            }
            let ignored = ignored.get(key).copied().unwrap_or_default();
            entry.owes = entry.shown.update(counters, &pending, &ignored);
            let sum = sum(counters);
            if sum != entry.sum {
                entry.sum = sum;
                entry.changed = now;
            }
            entry.add_to(&mut groups, counters, reasons);
            if entry.group.owner == UNKNOWN_OWNER {
                match &mut entry.latest {
                    Some(latest) => **latest = *counters,
                    none => *none = Some(Box::new(*counters)),
                }
            }
        }
        groups
    }

    /// Owners that were not known are asked for again, when groups are shown next. What was shown until then
    /// stays without an owner: moved, it would go backwards in one place or stand in two.
    pub fn ask_again(&mut self) {
        for entry in self.known.values_mut() {
            entry.asks = entry.group.owner == UNKNOWN_OWNER;
        }
    }

    /// Groups of the kernel in which nothing has happened for so long, and nothing is still to be counted
    /// that was shown: counted in a group that begins anew, it would be shown twice.
    pub fn stale(&self, age: Duration, now: Duration) -> impl Iterator<Item = GroupKey> {
        let is_stale = move |entry: &Entry| !entry.owes && now.saturating_sub(entry.changed) > age;
        let known = self.known.iter();
        known
            .filter(move |(_, entry)| is_stale(entry))
            .map(|(key, _)| *key)
    }

    /// Takes over the counts of one that the kernel is made to forget, what was counted and ignored since
    /// they were last shown included.
    pub fn retire(
        &mut self,
        key: &GroupKey,
        counters: &GroupCounts,
        ignored: &Ignored,
        reasons: &Reasons,
    ) {
        if let Some(mut entry) = self.known.remove(key) {
            let ignored = ignored.get(key).copied().unwrap_or_default();
            let pending = GroupAnswers::default();
            entry.shown.update(counters, &pending, &ignored);
            entry.add_to(&mut self.retained, counters, reasons);
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

fn difference<const N: usize>(later: &[u64; N], earlier: &[u64; N]) -> [u64; N] {
    std::array::from_fn(|index| later[index].saturating_sub(earlier[index]))
}

fn counters_since(later: &GroupCounts, earlier: &GroupCounts) -> GroupCounts {
    GroupCounts {
        events: difference(&later.events, &earlier.events),
        resets_sent: difference(&later.resets_sent, &earlier.resets_sent),
        endings: difference(&later.endings, &earlier.endings),
        idle_before_close: difference(&later.idle_before_close, &earlier.idle_before_close),
        idle_before_close_ns: later
            .idle_before_close_ns
            .saturating_sub(earlier.idle_before_close_ns),
    }
}

/// Events and ends, less the resets received that were taken back.
fn without_withdrawn(counters: &GroupCounts) -> (GroupAnswers, [u64; Ending::COUNT]) {
    let (mut events, mut endings) = (counters.events, counters.endings);
    let withdrawn = events[Event::ResetWithdrawn as usize];
    let received = &mut events[Event::ResetReceived as usize];
    *received = received.saturating_sub(withdrawn);
    let deaths = &mut endings[Ending::ResetReceived as usize];
    *deaths = deaths.saturating_sub(withdrawn);
    (events, endings)
}

/// Whether there is something to show beside deaths.
fn has_more_than_deaths(counters: &GroupCounts) -> bool {
    let mut others = counters.events.iter().chain(&counters.resets_sent);
    others.any(|count| *count != 0)
}

/// It changes with any of them.
fn sum(counters: &GroupCounts) -> u64 {
    let counters = counters
        .events
        .iter()
        .chain(&counters.resets_sent)
        .chain(&counters.endings)
        .chain(&counters.idle_before_close);
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
mod tests;
