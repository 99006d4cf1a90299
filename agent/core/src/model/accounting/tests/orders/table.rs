//! The orders, each with what is expected of it by hand: ten events in each step of the namespace's life.

use std::ops::RangeInclusive;

/// Never.
pub const NEVER: i32 = i32::MAX;

/// What is expected.
pub struct Outcome {
    /// Events that are compared.
    pub compared: u64,
    pub uncompared: u64,
    /// An event that the hooks miss in one of these steps is unaccounted; in no other.
    pub found: RangeInclusive<i32>,
}

/// One order.
pub struct Order {
    pub name: &'static str,
    pub born: i32,
    /// Steps at whose end it can be entered.
    pub read: &'static [RangeInclusive<i32>],
    /// The step before which it ends.
    pub ends: i32,
    /// Where the kernel hands out its list, and where it does not.
    pub listed: Outcome,
    pub unlisted: Outcome,
}

const fn outcome(compared: u64, uncompared: u64, found: RangeInclusive<i32>) -> Outcome {
    Outcome {
        compared,
        uncompared,
        found,
    }
}

/// No step.
const NOWHERE: RangeInclusive<i32> = NEVER..=NEVER;

/// Where nothing is expected to depend on the list.
macro_rules! order {
    ($name:literal, $born:expr, $read:expr, $ends:expr, $listed:expr) => {
        order!($name, $born, $read, $ends, $listed, $listed)
    };
    ($name:literal, $born:expr, $read:expr, $ends:expr, $listed:expr, $unlisted:expr) => {
        Order {
            name: $name,
            born: $born,
            read: $read,
            ends: $ends,
            listed: $listed,
            unlisted: $unlisted,
        }
    };
}

/// Without a list, a namespace that is nowhere to be found is taken for gone, so that a part of its
/// life is uncompared; and a loss in a namespace's first reading cannot be told from a past.
pub const ORDERS: &[Order] = &[
    order!(
        "older than the hooks, read from the start",
        -2,
        &[1..=NEVER],
        NEVER,
        outcome(70, 0, 2..=8)
    ),
    order!(
        "older than the hooks, never entered",
        -2,
        &[],
        NEVER,
        outcome(0, 70, NOWHERE)
    ),
    order!(
        "older than the hooks, entered later",
        -2,
        &[4..=NEVER],
        NEVER,
        outcome(40, 30, 5..=8)
    ),
    order!(
        "older than the hooks, entered at the end",
        -2,
        &[8..=NEVER],
        NEVER,
        outcome(0, 70, NOWHERE)
    ),
    order!(
        "older than the hooks, out of reach for a while",
        -2,
        &[1..=2, 6..=NEVER],
        NEVER,
        outcome(40, 30, 2..=8),
        outcome(30, 40, 7..=8)
    ),
    order!(
        "older than the hooks, out of reach for good",
        -2,
        &[1..=2],
        NEVER,
        outcome(10, 60, NOWHERE)
    ),
    order!(
        "older than the hooks, entered once",
        -2,
        &[4..=4],
        NEVER,
        outcome(0, 70, NOWHERE)
    ),
    order!(
        "older than the hooks, left and entered twice",
        -2,
        &[3..=3, 7..=NEVER],
        NEVER,
        outcome(20, 50, 4..=8),
        outcome(10, 60, 8..=8)
    ),
    order!(
        "older than the first round, read from the start",
        0,
        &[1..=NEVER],
        NEVER,
        outcome(70, 0, 2..=8)
    ),
    order!(
        "older than the first round, entered in the second",
        0,
        &[2..=NEVER],
        NEVER,
        outcome(60, 10, 3..=8),
        outcome(70, 0, 3..=8)
    ),
    order!(
        "older than the first round, entered later",
        0,
        &[4..=NEVER],
        NEVER,
        outcome(40, 30, 5..=8)
    ),
    order!(
        "older than the first round, never entered",
        0,
        &[],
        NEVER,
        outcome(0, 70, NOWHERE)
    ),
    order!(
        "born later, read at once",
        3,
        &[3..=NEVER],
        NEVER,
        outcome(60, 0, 3..=8),
        outcome(60, 0, 4..=8)
    ),
    order!(
        "born later, read in the next round",
        3,
        &[4..=NEVER],
        NEVER,
        outcome(60, 0, 3..=8),
        outcome(60, 0, 5..=8)
    ),
    order!(
        "born later, entered late",
        3,
        &[6..=NEVER],
        NEVER,
        outcome(30, 30, 3..=8),
        outcome(20, 40, 7..=8)
    ),
    order!(
        "born later, never entered",
        3,
        &[],
        NEVER,
        outcome(0, 60, NOWHERE)
    ),
    order!(
        "born later, out of reach for a while",
        3,
        &[3..=4, 7..=NEVER],
        NEVER,
        outcome(40, 20, 3..=8),
        outcome(30, 30, 8..=8)
    ),
    order!(
        "born later, out of reach for one round",
        3,
        &[3..=4, 6..=NEVER],
        NEVER,
        outcome(50, 10, 3..=8),
        outcome(50, 10, 4..=8)
    ),
    order!(
        "short-lived, read twice",
        3,
        &[3..=4],
        5,
        outcome(20, 0, 3..=4),
        outcome(20, 0, 4..=4)
    ),
    order!(
        "short-lived, read once",
        3,
        &[3..=3],
        4,
        outcome(10, 0, 3..=3),
        outcome(10, 0, NOWHERE)
    ),
    order!(
        "short-lived, ends after its last reading",
        3,
        &[3..=4],
        6,
        outcome(20, 10, NOWHERE),
        outcome(20, 10, NOWHERE)
    ),
    order!(
        "short-lived, never read",
        3,
        &[],
        5,
        outcome(0, 20, NOWHERE)
    ),
    order!(
        "older than the hooks, ends after a while",
        -2,
        &[1..=4],
        5,
        outcome(30, 0, 2..=4)
    ),
    order!(
        "older than the hooks, entered once and ends",
        -2,
        &[4..=4],
        5,
        outcome(0, 30, NOWHERE)
    ),
];
