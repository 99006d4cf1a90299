//! Random histories of a namespace amid traffic. It comes, goes and is out of reach at any time. Hooks count
//! late: some after the second look, but never by a whole round, and not where a comparison begins.

use super::*;
use crate::model::fixture::Random;

const HISTORIES: u64 = 5_000;
const STEPS: u32 = 40;
/// Nothing happens any more from here on.
const QUIET: u32 = 30;

/// Events at one moment, at most.
const MOST: u64 = 3;

struct History {
    random: Random,
    has_list: bool,
    exists: bool,
    kernel: u64,
    /// The hooks' table.
    counted: u64,
    /// All that the hooks counted.
    all: u64,
    /// What they have yet to count.
    late: u64,
    was_read: bool,
}

impl History {
    fn new(sequence: u64) -> Self {
        let mut random = Random::new(sequence);
        let mut is = |percent| random.below(100) < percent;
        let (has_list, exists, is_old) = (is(70), is(50), is(50));
        Self {
            kernel: if exists && is_old { 300 } else { 0 },
            random,
            has_list,
            exists,
            counted: 0,
            all: 0,
            late: 0,
            was_read: false,
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    /// Something happens, and some of it is counted late.
    fn go_on(&mut self, step: u32) {
        if !self.exists || step >= QUIET {
            return;
        }
        let events = self.random.below(MOST + 1);
        let late = self.random.below(2).min(events);
        self.kernel += events;
        self.count(events - late);
        self.late += late;
    }

    fn count(&mut self, events: u64) {
        self.counted += events;
        self.all += events;
    }

    fn catch_up(&mut self) {
        let late = mem::take(&mut self.late);
        self.count(late);
    }

    fn round(&mut self, step: u32, comparison: &KernelComparison) -> Round {
        self.go_on(step);
        self.catch_up();
        let before = self.counted;
        self.go_on(step);
        let kernel = self.kernel;
        self.go_on(step);
        let is_read = self.exists && (step >= QUIET || self.chance(60));
        let mut now = round(&[(1, before, is_read.then_some(kernel), self.counted)]);
        if self.exists {
            exists(&mut now, 1);
        }
        if !self.has_list {
            now.listed = None;
        }
        let is_first = is_read && !self.was_read;
        if comparison.needs_second_look(&now) && (is_first || self.chance(50)) {
            self.catch_up();
            let counted = each(self.counted);
            now.after.insert(key(1), NetCounts { counted });
        }
        self.was_read |= is_read;
        now
    }
}

#[test]
fn nothing_is_missing_that_was_not_missed() {
    for sequence in 1..=HISTORIES {
        let mut history = History::new(sequence);
        let mut comparison = KernelComparison::default();
        let mut shown = Balance::default();
        let mut before_start = 0;
        let mut has_ended = false;
        for step in 0..STEPS {
            history.exists |= !has_ended && history.chance(20);
            if history.exists && history.chance(3) {
                (history.exists, has_ended) = (false, true);
            }
            let round = history.round(step, &comparison);
            if step == 0 {
                before_start = counts(&round.before, &key(1))[0];
            }
            if comparison.record(&round).contains(&key(1)) {
                history.counted = 0;
                history.was_read = false;
            }
            shown = follows(shown, &comparison);
        }
        let wrong = (shown.unaccounted, shown.overcounted);
        assert_eq!(wrong, (0, 0), "history {sequence}: {shown:?}");
        // All of it is compared or uncompared, but what came while first readings were taken.
        let all = history.all - before_start;
        let sum = shown.counted + shown.uncompared;
        let least = all.saturating_sub(2 * MOST);
        assert!(
            (least..=all).contains(&sum),
            "history {sequence}: {sum} of {all}: {shown:?}"
        );
    }
}
