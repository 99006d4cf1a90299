//! Events that one side counts after the other was read.

use super::*;

#[test]
fn a_shortfall_asks_for_a_second_look_until_it_is_shown() {
    let mut comparison = KernelComparison::default();
    let start = round(&[(1, 0, Some(0), 0)]);
    assert!(comparison.needs_second_look(&start), "hooks may lag behind");
    comparison.record(&start);
    assert!(!comparison.needs_second_look(&start));
    let short = round(&[(1, 2, Some(3), 2)]);
    for _ in 0..2 {
        assert!(comparison.needs_second_look(&short));
        comparison.record(&short);
    }
    assert!(!comparison.needs_second_look(&short));
}

/// Its hooks' counts must not run ahead of its first reading for good.
#[test]
fn a_namespace_with_a_past_asks_for_a_second_look() {
    let mut comparison = KernelComparison::default();
    let mut start = round(&[]);
    exists(&mut start, 1);
    comparison.record(&start);
    assert!(comparison.needs_second_look(&round(&[(1, 2, Some(503), 2)])));
}

/// Seen in a storm of a million resets: one was counted more than 20 ms after the kernel counted it.
#[test]
fn what_is_counted_late_is_not_missing() {
    let rounds = [
        round(&[(1, 0, Some(0), 0)]),
        round(&[(1, 8, Some(10), 9)]),
        round(&[(1, 10, Some(10), 10)]),
    ];
    check(&rounds[..2], balance(10, 9, 1, 0, 0));
    check(&rounds, balance(10, 10, 0, 0, 0));
    // Nor where the namespace ended meanwhile.
    let ended = round(&[(1, 10, None, 10)]);
    let rounds = [rounds[0].clone(), rounds[1].clone(), ended.clone(), ended];
    check(&rounds, balance(10, 10, 0, 0, 0));
}

/// A hook may count before the kernel does.
#[test]
fn what_is_counted_early_is_not_too_much() {
    let rounds = [
        round(&[(1, 0, Some(0), 0)]),
        round(&[(1, 10, Some(9), 10)]),
        round(&[(1, 10, Some(10), 10)]),
    ];
    check(&rounds, balance(10, 10, 0, 0, 0));
}

/// What has been shown as missing is not counted on the other side as well.
#[test]
fn what_is_counted_after_it_was_shown_as_missing_stays_missing() {
    let short = || round(&[(1, 9, Some(10), 9)]);
    let start = || round(&[(1, 0, Some(0), 0)]);
    let found = round(&[(1, 12, Some(12), 12)]);
    check(
        &[start(), short(), short(), found],
        balance(12, 11, 1, 0, 0),
    );
    let over = || round(&[(1, 5, Some(4), 5)]);
    let gone = round(&[(1, 9, Some(9), 9)]);
    check(&[start(), over(), over(), gone], balance(8, 9, 0, 1, 0));
}

#[test]
fn what_was_missing_at_the_last_reading_is_shown() {
    let ended = round(&[(2, 2, None, 2)]);
    check(
        &[
            round(&[]),
            round(&[(2, 2, Some(3), 2)]),
            ended.clone(),
            ended,
            round(&[]),
        ],
        balance(3, 2, 1, 0, 0),
    );
}
