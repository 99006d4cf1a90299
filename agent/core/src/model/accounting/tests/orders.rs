//! Every order in which a namespace can be born, be entered, be out of reach and end, and the hooks and
//! the agent begin: the kernel and the hooks are played, the readings are what an agent would get of them.
//!
//! The hooks are attached at step 0, and each later step ends with a round. In each step of the
//! namespace's life `EVENTS` happen in it; then it is quiet for some rounds.

mod table;

use super::*;
use table::{ORDERS, Order};

/// Events in each step.
const EVENTS: u64 = 10;
/// The last step in which something happens.
const LAST: i32 = 8;
/// Rounds after it.
const QUIET: i32 = 3;

/// The namespace of an order; another is always there.
const OURS: u64 = 2;

/// What the kernel and the hooks have of a namespace.
#[derive(Default)]
struct World {
    kernel: u64,
    /// The entry of the hooks' table, once something was counted.
    counted: Option<u64>,
    /// All that the hooks counted, and what of it came before the first round.
    all: u64,
    before_start: u64,
}

impl World {
    fn happens(&mut self, step: i32, missed: Option<i32>) {
        self.kernel += EVENTS;
        if step >= 0 {
            let counted = EVENTS - u64::from(missed == Some(step));
            *self.counted.get_or_insert_default() += counted;
            self.all += counted;
        }
    }
}

/// How much of a namespace out of reach the agent knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// The kernel lists it.
    Listed,
    /// There is no list, and nothing leads to it.
    Unlisted,
    /// There is no list; it is found, but cannot be entered.
    Found,
    /// The list fails in some rounds, the first included.
    ListedAtTimes,
}

impl Order {
    fn is_alive(&self, step: i32) -> bool {
        (self.born..self.ends).contains(&step)
    }

    fn round(&self, step: i32, world: &World, sight: Sight) -> Round {
        let mut round = round(&[(1, 0, Some(7), 0)]);
        if let Some(counted) = world.counted {
            let counted = NetCounts {
                counted: each(counted),
            };
            round.before.insert(key(OURS), counted);
            round.after.insert(key(OURS), counted);
        }
        if self.is_alive(step) {
            let is_read = self.read.iter().any(|steps| steps.contains(&step));
            if is_read {
                round.kernel.insert(key(OURS), each(world.kernel));
            }
            if is_read || sight == Sight::Found {
                round.existing.insert(key(OURS).inum);
            }
            round.listed.get_or_insert_default().insert(key(OURS));
        }
        let fails = match sight {
            Sight::Listed => false,
            Sight::Unlisted | Sight::Found => true,
            Sight::ListedAtTimes => step % 3 == 1,
        };
        if fails {
            round.listed = None;
        }
        round
    }

    /// Plays it to its end.
    fn play(&self, sight: Sight, missed: Option<i32>) -> (World, Balance) {
        let mut world = World::default();
        let mut comparison = KernelComparison::default();
        let mut shown = Balance::default();
        for step in self.born.min(0)..=LAST + QUIET {
            if self.is_alive(step) && step <= LAST {
                world.happens(step, missed);
            }
            if step < 1 {
                continue;
            }
            let gone = comparison.record(&self.round(step, &world, sight));
            if gone.contains(&key(OURS)) {
                world.counted = None;
            }
            if step == 1 {
                world.before_start = world.all;
            }
            shown = follows(shown, &comparison);
        }
        (world, shown)
    }
}

#[test]
fn each_order_is_compared_or_uncompared() {
    for order in ORDERS {
        for (sight, expected) in [
            (Sight::Listed, &order.listed),
            (Sight::Unlisted, &order.unlisted),
        ] {
            let (_, shown) = order.play(sight, None);
            let compared = expected.compared;
            let expected = balance(compared, compared, 0, 0, expected.uncompared);
            assert_eq!(shown, expected, "{}, {sight:?}", order.name);
        }
    }
}

/// Whatever is known of it.
#[test]
fn in_no_order_is_anything_missing_that_was_not_missed() {
    for order in ORDERS {
        for sight in [
            Sight::Listed,
            Sight::Unlisted,
            Sight::Found,
            Sight::ListedAtTimes,
        ] {
            let (world, shown) = order.play(sight, None);
            let wrong = (shown.unaccounted, shown.overcounted);
            assert_eq!(wrong, (0, 0), "{}, {sight:?}: {shown:?}", order.name);
            assert_eq!(
                shown.counted + shown.uncompared,
                world.all - world.before_start,
                "{}, {sight:?}: {shown:?}",
                order.name
            );
        }
    }
}

#[test]
fn in_each_order_what_was_missed_is_found_where_it_can_be() {
    for order in ORDERS {
        for (sight, expected) in [
            (Sight::Listed, &order.listed),
            (Sight::Unlisted, &order.unlisted),
        ] {
            for step in 0..=LAST {
                let (_, shown) = order.play(sight, Some(step));
                let found = u64::from(expected.found.contains(&step));
                let actual = (shown.unaccounted, shown.overcounted);
                let name = order.name;
                assert_eq!(actual, (found, 0), "{name}, {sight:?}, missed in {step}");
            }
        }
    }
}
