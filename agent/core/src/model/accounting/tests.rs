//! Rounds of readings and the balances that come of them.

mod histories;
mod late;
mod orders;

use super::*;

fn key(cookie: u64) -> NetKey {
    NetKey {
        cookie,
        inum: 100 + u32::try_from(cookie).unwrap(),
        padding: 0,
    }
}

/// What each counter shows after so much has happened: each more than the one before it, so that none stands for
/// another.
fn each(n: u64) -> KernelCounts {
    [1, 2, 3, 4, 5].map(|factor| n * factor)
}

/// Readings of the first counter: cookie, before, kernel (`None`: not read), after. The kernel lists those
/// that were read.
fn round(readings: &[(u64, u64, Option<u64>, u64)]) -> Round {
    let mut round = Round {
        listed: Some(BTreeSet::new()),
        ..Round::default()
    };
    let counts = |n| NetCounts { counted: each(n) };
    for (cookie, before, kernel, after) in readings {
        round.before.insert(key(*cookie), counts(*before));
        round.after.insert(key(*cookie), counts(*after));
        if let Some(kernel) = kernel {
            round.kernel.insert(key(*cookie), each(*kernel));
            exists(&mut round, *cookie);
        }
    }
    round
}

fn exists(round: &mut Round, cookie: u64) {
    round.existing.insert(key(cookie).inum);
    round.listed.get_or_insert_default().insert(key(cookie));
}

/// The balance of the first counter that is shown next: it adds up, and no figure goes backwards. Those of the
/// others are so many times as large.
fn follows(shown: Balance, comparison: &KernelComparison) -> Balance {
    let balances = comparison.balances();
    let now = balances[&KernelCounter::ALL[0]];
    let figures: [fn(Balance) -> u64; 5] = [
        |balance| balance.kernel,
        |balance| balance.counted,
        |balance| balance.unaccounted,
        |balance| balance.overcounted,
        |balance| balance.uncompared,
    ];
    for figure in figures {
        let all = KernelCounter::ALL.map(|counter| figure(balances[&counter]));
        assert_eq!(all, each(figure(now)));
        let is_later = figure(shown) <= figure(now);
        assert!(is_later, "went backwards: {shown:?} to {now:?}");
    }
    assert_eq!(
        now.kernel + now.overcounted,
        now.counted + now.unaccounted,
        "does not add up: {now:?}"
    );
    now
}

/// The last round comes twice: what it finds wrong is shown when it is found again.
fn check(rounds: &[Round], expected: Balance) {
    let mut comparison = KernelComparison::default();
    let mut shown = Balance::default();
    for round in rounds.iter().chain(rounds.last()) {
        comparison.record(round);
        shown = follows(shown, &comparison);
    }
    assert_eq!(shown, expected);
}

fn balance(
    kernel: u64,
    counted: u64,
    unaccounted: u64,
    overcounted: u64,
    uncompared: u64,
) -> Balance {
    Balance {
        kernel,
        counted,
        unaccounted,
        overcounted,
        uncompared,
    }
}

#[test]
fn a_past_before_the_start_is_not_ours() {
    check(
        &[
            round(&[(1, 0, Some(500), 0)]),
            round(&[(1, 3, Some(503), 3)]),
        ],
        balance(3, 3, 0, 0, 0),
    );
}

/// Of the two events during the first reading the kernel's may hold none, one or both.
#[test]
fn events_during_the_first_reading_are_neither_lost_nor_too_many() {
    let begin = || round(&[(1, 5, Some(100), 7)]);
    for held in 0..=2 {
        let kernel = 100 + 2 - held + 3;
        check(
            &[begin(), round(&[(1, 10, Some(kernel), 10)])],
            balance(kernel - 100, kernel - 100, 0, 0, 0),
        );
    }
    // What is beyond them is what it is.
    check(
        &[begin(), round(&[(1, 10, Some(102), 10)])],
        balance(2, 3, 0, 1, 0),
    );
    check(
        &[begin(), round(&[(1, 10, Some(106), 10)])],
        balance(6, 5, 1, 0, 0),
    );
}

#[test]
fn events_between_the_readings_are_no_loss() {
    let rounds = [
        round(&[(1, 0, Some(0), 0)]),
        round(&[(1, 5, Some(7), 9)]),
        round(&[(1, 20, Some(20), 20)]),
    ];
    check(&rounds, balance(20, 20, 0, 0, 0));
}

#[test]
fn what_no_hook_saw_is_unaccounted_for_good() {
    let rounds = [
        round(&[(1, 0, Some(0), 0)]),
        round(&[(1, 2, Some(3), 2)]),
        round(&[(1, 9, Some(10), 12)]),
        round(&[(1, 12, Some(13), 12)]),
    ];
    check(&rounds, balance(13, 12, 1, 0, 0));
}

#[test]
fn counting_too_much_shows() {
    check(
        &[round(&[(1, 0, Some(0), 0)]), round(&[(1, 4, Some(3), 4)])],
        balance(3, 4, 0, 1, 0),
    );
}

#[test]
fn a_namespace_found_later_began_at_zero() {
    let rounds = [
        round(&[(1, 0, Some(50), 0)]),
        round(&[(1, 0, Some(50), 0), (2, 2, Some(3), 2)]),
    ];
    check(&rounds, balance(3, 2, 1, 0, 0));
}

#[test]
fn a_namespace_that_ends_keeps_its_balance_and_the_rest_is_uncompared() {
    let rounds = [
        round(&[]),
        round(&[(2, 3, Some(3), 3)]),
        round(&[(2, 5, None, 5)]),
        round(&[(2, 6, None, 6)]),
        round(&[]),
    ];
    check(&rounds, balance(3, 3, 0, 0, 3));
}

#[test]
fn a_namespace_read_a_round_late_is_compared_from_its_beginning() {
    check(
        &[
            round(&[(2, 0, Some(0), 0)]),
            round(&[(1, 1, None, 1), (2, 0, Some(0), 0)]),
            round(&[(1, 3, Some(4), 3), (2, 0, Some(0), 0)]),
        ],
        balance(4, 3, 1, 0, 0),
    );
}

#[test]
fn a_namespace_read_at_last_is_not_short_of_what_was_counted_before() {
    let hidden = |counted| {
        let mut hidden = round(&[(1, counted, None, counted), (2, 0, Some(0), 0)]);
        exists(&mut hidden, 1);
        hidden
    };
    check(
        &[
            round(&[(2, 0, Some(0), 0)]),
            hidden(1),
            hidden(1),
            round(&[(1, 3, Some(4), 3), (2, 0, Some(0), 0)]),
        ],
        // One was counted while nothing could be compared; of three since, one was missed.
        balance(3, 2, 1, 0, 1),
    );
}

#[test]
fn a_namespace_never_read_is_uncompared() {
    check(
        &[
            round(&[]),
            round(&[(3, 4, None, 4)]),
            round(&[(3, 4, None, 4)]),
        ],
        balance(0, 0, 0, 0, 4),
    );
}

#[test]
fn a_namespace_read_again_goes_on_where_it_stopped() {
    let rounds = [
        round(&[(1, 0, Some(0), 0)]),
        round(&[(1, 2, Some(2), 2)]),
        round(&[(1, 4, None, 4)]),
        round(&[(1, 5, Some(5), 5)]),
    ];
    check(&rounds, balance(3, 3, 0, 0, 2));
}

/// Three events came after the kernel's counters were read, just before the namespace could not be.
#[test]
fn events_between_the_last_readings_are_no_loss_when_it_is_read_again() {
    let rounds = |kernel| {
        [
            round(&[(1, 0, Some(0), 0)]),
            round(&[(1, 2, Some(2), 5)]),
            round(&[(1, 5, None, 5)]),
            round(&[(1, 8, Some(kernel), 8)]),
        ]
    };
    check(&rounds(8), balance(8, 8, 0, 0, 0));
    // Beyond them, a loss is one.
    check(&rounds(9), balance(9, 8, 1, 0, 0));
}

#[test]
fn gone_only_after_it_was_not_found_twice() {
    let mut comparison = KernelComparison::default();
    comparison.record(&round(&[(1, 0, Some(0), 0)]));
    let mut hidden = round(&[(1, 1, None, 1)]);
    exists(&mut hidden, 1);
    for _ in 0..3 {
        assert_eq!(comparison.record(&hidden), []);
    }
    assert_eq!(comparison.namespaces(), Namespaces { seen: 0, unseen: 1 });
    let mut comparison = KernelComparison::default();
    comparison.record(&round(&[(1, 0, Some(0), 0)]));
    assert_eq!(comparison.record(&round(&[(1, 1, None, 1)])), []);
    assert_eq!(comparison.record(&round(&[(1, 1, None, 1)])), [key(1)]);
}

/// Held by a descriptor alone, it is in the kernel's list and nowhere else.
#[test]
fn a_namespace_that_is_only_listed_is_unseen() {
    let mut comparison = KernelComparison::default();
    let mut listed = round(&[(1, 0, Some(0), 0)]);
    exists(&mut listed, 2);
    listed.listed.get_or_insert_default().insert(key(3));
    let unborn = NetKey { inum: 0, ..key(4) };
    listed.listed.get_or_insert_default().insert(unborn);
    comparison.record(&listed);
    assert_eq!(comparison.namespaces(), Namespaces { seen: 1, unseen: 2 });
}

/// The kernel counted 3 when it was read last, the hooks 5 a moment later, and nothing tells them apart.
#[test]
fn what_no_reading_confirmed_is_uncompared_once_the_namespace_is_gone() {
    let ended = round(&[(2, 5, None, 5)]);
    check(
        &[
            round(&[]),
            round(&[(2, 2, Some(3), 5)]),
            ended.clone(),
            ended,
            round(&[]),
        ],
        balance(3, 3, 0, 0, 2),
    );
}

/// One dump of a table that changes may pass over an entry.
#[test]
fn an_entry_that_was_passed_over_once_is_not_lost() {
    let mut passed_over = round(&[(1, 0, Some(8), 0)]);
    passed_over.before.clear();
    passed_over.after.clear();
    let rounds = [
        round(&[(1, 3, Some(500), 3)]),
        round(&[(1, 8, Some(505), 8)]),
        Round {
            kernel: round(&[(1, 0, Some(507), 0)]).kernel,
            ..passed_over
        },
        round(&[(1, 12, Some(509), 12)]),
    ];
    check(&rounds, balance(9, 9, 0, 0, 0));
}

#[test]
fn namespaces_without_events_are_forgotten() {
    let mut comparison = KernelComparison::default();
    let mut empty = round(&[(1, 0, Some(0), 0)]);
    empty.before.clear();
    empty.after.clear();
    comparison.record(&empty);
    for _ in 0..2 {
        comparison.record(&round(&[]));
    }
    assert!(comparison.stopped.is_empty() && comparison.absent.is_empty());
    assert_eq!(comparison.has_past, Some(BTreeSet::new()));
}
