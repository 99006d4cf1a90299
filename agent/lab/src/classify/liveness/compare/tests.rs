//! Verdicts made by hand beside rules of the scenario table.

use super::{
    super::{any_of, suspect},
    *,
};
use crate::{observe::connections::DetectionTime, scenario::table};

fn seen(end: End, word: &str, detect: Option<DetectionTime>) -> ObservedLiveness {
    let (liveness, evidence) = match word.split_once('/') {
        Some((liveness, evidence)) => (liveness, Some(evidence.to_owned())),
        None => (word, None),
    };
    ObservedLiveness {
        end,
        liveness: liveness.to_owned(),
        evidence,
        direction: end.direction().to_owned(),
        detect: vec![detect],
        detect_range: match detect {
            Some(DetectionTime::Millis(ms)) => Some((ms + 100, ms)),
            _ => None,
        },
        silence_ms: Some(100),
        looks: 1,
        why: "it is so".to_owned(),
    }
}

fn rules(number: u16) -> &'static [LivenessRule] {
    let mut all = table::all();
    all.find(|scenario| scenario.number == number)
        .unwrap()
        .liveness
}

fn check(
    table: &[LivenessRule],
    seen: &[ObservedLiveness],
    thresholds: AgentThresholds,
    expected: usize,
) {
    let wrong = compare(table, seen, thresholds);
    assert_eq!(wrong.len(), expected, "{seen:?} {thresholds:?} {wrong:#?}");
}

const IN_14_S: Option<DetectionTime> = Some(DetectionTime::Millis(14_000));

fn right() -> Vec<ObservedLiveness> {
    vec![
        seen(End::Client, "idle_guarded", IN_14_S),
        seen(End::Client, "suspect/keepalive", IN_14_S),
    ]
}

#[test]
fn what_the_table_says_passes() {
    check(rules(7), &right(), AgentThresholds::Ours, 0);
    check(rules(7), &right()[1..], AgentThresholds::Ours, 0);
    check(rules(17), &[], AgentThresholds::Ours, 0);
}

#[test]
fn a_verdict_that_is_missing_is_wrong() {
    check(rules(7), &[], AgentThresholds::Ours, 1);
    check(rules(7), &right()[..1], AgentThresholds::Ours, 1);
    let wrong = compare(rules(7), &right()[..1], AgentThresholds::Ours);
    assert!(
        wrong[0].ends_with("seen: idle_guarded ×1 (it is so)"),
        "{wrong:?}"
    );
}

#[test]
fn a_verdict_that_is_not_in_the_table_is_wrong() {
    for other in ["suspect/retransmission", "orphan", "idle_unguarded"] {
        let mut all = right();
        all.push(seen(End::Client, other, IN_14_S));
        check(rules(7), &all, AgentThresholds::Ours, 1);
        check(rules(7), &all, AgentThresholds::Theirs, 1);
    }
    let mut all = right();
    all.push(seen(End::Server, "healthy", None));
    check(rules(7), &all, AgentThresholds::Ours, 1);
    check(
        rules(17),
        &[seen(End::Client, "healthy", None)],
        AgentThresholds::Ours,
        1,
    );
}

#[test]
fn a_falsified_table_fails() {
    const OTHER: &[LivenessRule] = &[
        End::Client.is(suspect("window_probe")),
        End::Client.may_be(any_of(&["idle_guarded"])),
    ];
    check(OTHER, &right(), AgentThresholds::Ours, 2);
    const LATER: &[LivenessRule] = &[
        End::Client.is(suspect("keepalive")).found_within(15),
        End::Client.may_be(any_of(&["idle_guarded"])),
    ];
    check(LATER, &right(), AgentThresholds::Ours, 1);
    const NEVER: &[LivenessRule] = &[
        End::Client.is(suspect("keepalive")).never_found(),
        End::Client.may_be(any_of(&["idle_guarded"])),
    ];
    check(NEVER, &right(), AgentThresholds::Ours, 1);
    const OFTEN: &[LivenessRule] = &[
        End::Client.is(suspect("keepalive")).looks(2),
        End::Client.may_be(any_of(&["idle_guarded"])),
    ];
    check(OFTEN, &right(), AgentThresholds::Ours, 1);
}

#[test]
fn an_unknown_threshold_may_not_be_reached() {
    let healthy = [seen(End::Client, "healthy", Some(DetectionTime::Never))];
    check(rules(6), &healthy, AgentThresholds::Ours, 1);
    check(rules(6), &healthy, AgentThresholds::Theirs, 0);
    let half_closed = [seen(End::Client, "half_closed", Some(DetectionTime::Never))];
    check(rules(22), &half_closed, AgentThresholds::Ours, 1);
    check(rules(22), &half_closed, AgentThresholds::Theirs, 0);
}

#[test]
fn the_opener_is_told_from_the_other() {
    let mut all = right();
    all[1].direction = "inbound".to_owned();
    check(rules(7), &all, AgentThresholds::Ours, 1);
}

#[test]
fn silence_is_limited_where_the_table_says_so() {
    let table = [End::Client.is(any_of(&["healthy"])).silent_within(2000)];
    for (silence_ms, expected) in [(Some(2000), 0), (Some(2001), 1), (None, 1)] {
        let mut one = seen(End::Client, "healthy", None);
        one.silence_ms = silence_ms;
        check(&table, &[one], AgentThresholds::Ours, expected);
    }
}

#[test]
fn silence_that_is_spent_is_no_longer_to_come() {
    let table = [End::Client.is(suspect("keepalive")).found_within(14)];
    for (silence, detect, expected) in [
        (5_500, 8_560, 0),
        (5_500, 14_000, 0),
        (5_500, 8_300, 1),
        (5_500, 16_000, 1),
        (0, 13_000, 1),
    ] {
        let detect_time = Some(DetectionTime::Millis(detect));
        let mut one = seen(End::Client, "suspect/keepalive", detect_time);
        one.silence_ms = Some(silence);
        one.detect_range = Some((silence + detect, detect));
        check(&table, &[one], AgentThresholds::Ours, expected);
    }
}
