//! How RTOs are rounded into classes of sockets.

use std::collections::BTreeSet;

use halfopen_common::{round_up_rto, rtos_rounded_to};

/// HZ=1000, 120 s: the longest RTO there is.
const LONGEST: u32 = 120_000;

#[test]
fn an_rto_is_never_rounded_down_and_by_less_than_an_eighth_up() {
    for rto in 0..=LONGEST {
        let rounded = round_up_rto(rto);
        assert!(
            rto <= rounded && rounded - rto <= rto / 8,
            "{rto}: {rounded}"
        );
        assert!(rtos_rounded_to(rounded).contains(&rto), "{rto}: {rounded}");
    }
    assert!(round_up_rto(u32::MAX) >= u32::MAX / 8 * 7, "does not wrap");
}

#[test]
fn what_is_rounded_to_an_rto_is_nothing_else() {
    for rto in (0..=LONGEST).step_by(7) {
        let rounded = round_up_rto(rto);
        for rto in rtos_rounded_to(rounded) {
            assert_eq!(round_up_rto(rto), rounded, "{rto}");
        }
    }
}

#[test]
fn classes_stay_few() {
    // Round trips within a data centre: one class at HZ=1000 and at HZ=250.
    for span in [201..=208_u32, 49..=52] {
        let rounded: BTreeSet<u32> = span.map(round_up_rto).collect();
        assert_eq!(rounded.len(), 1, "{rounded:?}");
    }
    let rounded: BTreeSet<u32> = (200..=LONGEST).map(round_up_rto).collect();
    assert!(rounded.len() <= 8 * 10, "{}", rounded.len());
}
