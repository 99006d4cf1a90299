//! Deaths that are ignored, among others: random histories of what the hooks count, of records that wait to
//! be read, and of records that are lost.

use std::collections::VecDeque;

use super::*;
use crate::model::fixture::Random;

/// Endings, two of which have one cause.
const ENDINGS: [Ending; 3] = [Ending::ResetReceived, Ending::PeerForgot, Ending::Keepalive];

/// What the hooks have counted, and what they know that nobody else does.
#[derive(Default)]
struct Kernel {
    counters: BTreeMap<GroupKey, GroupCounts>,
    /// Records that were not read yet: of which death, and whether it is to be ignored.
    ring: VecDeque<(GroupKey, Ending, bool)>,
    /// Reported, not counted yet.
    between: Option<(GroupKey, Ending)>,
    /// Deaths that must be shown: those not to be ignored, and those whose record was lost.
    truth: BTreeMap<(GroupKey, Cause), u64>,
    ignored: u64,
}

impl Kernel {
    /// One half of a death: it is reported, and then counted.
    fn step(&mut self, random: &mut Random) {
        if let Some((key, ending)) = self.between.take() {
            let counters = self.counters.entry(key);
            let counters = counters.or_insert_with(GroupCounts::new_zeroed);
            counters.endings[ending as usize] += 1;
            return;
        }
        let pick = |random: &mut Random, most| usize::try_from(random.below(most)).unwrap();
        let key = key(1 + random.below(3), 443, direction::INBOUND);
        let ending = ENDINGS[pick(random, 3)];
        let (is_ignored, is_lost) = (random.below(4) != 0, random.below(20) == 0);
        if !is_lost {
            self.ring.push_back((key, ending, is_ignored));
        }
        if is_lost || !is_ignored {
            let cause = death::cause(ending).unwrap();
            *self.truth.entry((key, cause)).or_default() += 1;
        } else {
            self.ignored += 1;
        }
        self.between = Some((key, ending));
    }

    /// The agent reads so many records.
    fn drain(&mut self, most: usize, ignored: &mut Ignored) {
        for (key, ending, is_ignored) in self.ring.drain(..most.min(self.ring.len())) {
            if is_ignored {
                ignored.entry(key).or_default().0[ending as usize] += 1;
            }
        }
    }

    fn truth(&self) -> BTreeMap<Cause, u64> {
        let mut sums = BTreeMap::new();
        for ((_, cause), deaths) in &self.truth {
            *sums.entry(*cause).or_default() += deaths;
        }
        sums
    }
}

/// Deaths by cause, of all groups.
fn deaths(shown: &BTreeMap<Group, Counts>) -> BTreeMap<Cause, u64> {
    let mut sums = BTreeMap::new();
    for counts in shown.values() {
        crate::model::group::add_all(&mut sums, &counts.deaths);
    }
    sums
}

/// No figure goes backwards or beyond what is true, whenever it is read; at rest each is exact.
#[test]
fn histories() {
    let mut random = Random::new(1);
    for history in 1..=200 {
        let (mut kernel, mut ignored) = (Kernel::default(), Ignored::new());
        let mut ledger = Ledger::default();
        let mut latest: BTreeMap<Group, Counts> = BTreeMap::new();
        for _ in 0..60 {
            for _ in 0..random.below(12) {
                kernel.step(&mut random);
                if random.below(4) == 0 {
                    kernel.drain(usize::try_from(random.below(5)).unwrap(), &mut ignored);
                }
            }
            // The counters first, then every record up to a moment after that.
            let read = kernel.counters.clone();
            for _ in 0..random.below(3) {
                kernel.step(&mut random);
            }
            kernel.drain(usize::MAX, &mut ignored);
            let shown = show_without(&mut ledger, &read, &ignored);
            for (group, counts) in &latest {
                for (cause, deaths) in &counts.deaths {
                    let now = shown.get(group).and_then(|counts| counts.deaths.get(cause));
                    assert!(
                        now >= Some(deaths),
                        "{history}: {group:?} {cause:?} {now:?} {deaths}"
                    );
                }
            }
            let truth = kernel.truth();
            for (cause, deaths) in deaths(&shown) {
                assert!(deaths <= truth[&cause], "{history}: {cause:?} {deaths}");
            }
            latest = shown;
        }
        if kernel.between.is_some() {
            kernel.step(&mut random);
        }
        kernel.drain(usize::MAX, &mut ignored);
        let shown = show_without(&mut ledger, &kernel.counters, &ignored);
        assert_eq!(deaths(&shown), kernel.truth(), "{history}");
        let sum: u64 = ignored.values().flat_map(|deaths| deaths.0).sum();
        assert_eq!(sum, kernel.ignored, "{history}");
        // What the kernel forgets stays what it was.
        for (key, counters) in &kernel.counters {
            ledger.retire(key, counters, &ignored, &reasons());
        }
        let shown = show_without(&mut ledger, &BTreeMap::new(), &Ignored::new());
        assert_eq!(deaths(&shown), kernel.truth(), "{history}, forgotten");
    }
}

/// All in one unit but for the cgroup's number.
fn show_without(
    ledger: &mut Ledger,
    counters: &BTreeMap<GroupKey, GroupCounts>,
    ignored: &Ignored,
) -> BTreeMap<Group, Counts> {
    let owner = |cgroup: u64| Ok(format!("{cgroup}.service").into());
    let pending = PendingAnswers::new();
    ledger.show(
        counters,
        &pending,
        ignored,
        &reasons(),
        owner,
        Duration::ZERO,
    )
}

#[test]
fn a_group_of_ignored_deaths_alone_takes_no_series() {
    let key = key(1, 443, direction::INBOUND);
    let dead = |n| counters(|c| c.endings[Ending::ResetReceived as usize] = n);
    let mut ignored = Ignored::new();
    ignored.entry(key).or_default().0[Ending::ResetReceived as usize] = 5;
    let mut ledger = Ledger::default();
    let shown = show_without(&mut ledger, &[(key, dead(5))].into(), &ignored);
    assert!(shown.is_empty(), "{shown:?}");
    // Its resets stay what they are, and another cause's deaths are not touched.
    let read = counters(|c| {
        c.endings[Ending::ResetReceived as usize] = 5;
        c.endings[Ending::Keepalive as usize] = 2;
        c.events[Event::ResetReceived as usize] = 5;
    });
    let shown = show_without(&mut ledger, &[(key, read)].into(), &ignored);
    let counts = shown.values().next().unwrap();
    assert_eq!(counts.resets_received, 5);
    assert_eq!(counts.deaths, BTreeMap::from([(Cause::Keepalive, 2)]));
}

#[test]
fn a_group_is_not_forgotten_while_an_ignored_death_is_to_be_counted() {
    let key = key(1, 443, direction::INBOUND);
    let dead = |n| counters(|c| c.endings[Ending::ResetReceived as usize] = n);
    let mut ignored = Ignored::new();
    ignored.entry(key).or_default().0[Ending::ResetReceived as usize] = 2;
    let mut ledger = Ledger::default();
    let long = Duration::from_secs(7200);
    show_without(&mut ledger, &[(key, dead(1))].into(), &ignored);
    assert_eq!(ledger.stale(Duration::ZERO, long).count(), 0);
    show_without(&mut ledger, &[(key, dead(2))].into(), &ignored);
    assert_eq!(ledger.stale(Duration::ZERO, long).count(), 1);
}
