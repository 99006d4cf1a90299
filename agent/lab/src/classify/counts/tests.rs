//! Comparisons of counts that are made by hand: no figure comes from an agent.

use super::*;
use crate::{
    classify::{
        counterparts::{kernel_counterparts, unseen_events},
        expectations::{QUIET, RESET},
    },
    scenario::table,
};

fn seven() -> Expectations {
    table::all()
        .find(|scenario| scenario.number == 7)
        .unwrap()
        .expectations()
}

fn sides(agent: &[(&str, u64)]) -> [SideCounts; 2] {
    let kernel = Counters::from([
        ("TCPKeepAlive", 3),
        ("TCPAbortOnTimeout", 1),
        ("OutRsts", 1),
        ("EstabResets", 1),
    ]);
    let agent = agent
        .iter()
        .map(|(key, count)| ((*key).to_owned(), *count))
        .collect();
    let record = DeathRecord::fixture("keepalive", 3);
    let client = SideCounts {
        kernel,
        agent,
        records: vec![record],
        ..SideCounts::default()
    };
    [client, SideCounts::default()]
}

const RIGHT: [(&str, u64); 3] = [
    ("keepalive_probes", 3),
    ("deaths{keepalive}", 1),
    ("resets_sent{tcp_keepalive_timeout}", 1),
];

fn check(
    expected: &Expectations,
    agent: &[(&str, u64)],
    exactness: Exactness,
    found: (usize, usize),
) {
    let assessment = classify(expected, &sides(agent), exactness, &Falsified::new());
    assert_eq!(
        (assessment.wrong.len(), assessment.short.len()),
        found,
        "{agent:?} {assessment:?}"
    );
}

#[test]
fn what_the_table_says_passes() {
    check(&seven(), &RIGHT, Exactness::Exact, (0, 0));
    check(&seven(), &RIGHT, Exactness::NeverOver, (0, 0));
}

#[test]
fn a_falsified_expectation_fails() {
    let mut wrong = seven();
    wrong.client.agent = &[("keepalive_probes", AgentFigure::Exactly(4))];
    check(&wrong, &RIGHT, Exactness::Exact, (4, 0));
    let mut wrong = seven();
    wrong.client.kernel = &[("TCPKeepAlive", KernelFigure::Exactly(4))];
    // And the figures that are no longer named must be 0.
    check(&wrong, &RIGHT, Exactness::Exact, (3, 0));
    let mut wrong = seven();
    wrong.server = RESET;
    check(&wrong, &RIGHT, Exactness::Exact, (5, 0));
    let falsified = Falsified::from([("outbound keepalive_probes".to_owned(), 4)]);
    let assessment = classify(&seven(), &sides(&RIGHT), Exactness::Exact, &falsified);
    assert_eq!(
        assessment.wrong,
        ["outbound keepalive_probes: 3 counted, 4 expected"]
    );
}

#[test]
fn a_count_too_low_is_wrong_or_short() {
    let low = [("keepalive_probes", 2), RIGHT[1], RIGHT[2]];
    check(&seven(), &low, Exactness::Exact, (1, 0));
    check(&seven(), &low, Exactness::NeverOver, (0, 1));
    check(&seven(), &[], Exactness::Exact, (3, 0));
}

#[test]
fn a_count_too_high_is_always_wrong() {
    for high in [
        ("keepalive_probes", 4),
        ("deaths{unknown}", 1),
        ("resets_received", 1),
    ] {
        let mut agent = RIGHT.to_vec();
        agent.retain(|(key, _)| *key != high.0);
        agent.push(high);
        check(&seven(), &agent, Exactness::Exact, (1, 0));
        check(&seven(), &agent, Exactness::NeverOver, (1, 0));
    }
}

#[test]
fn what_no_hook_sees_is_not_counted() {
    const SEEN: [&str; 2] = ["hook", "other/kprobe"];
    let expected = Expectations {
        client: SideExpectation {
            kernel: &[],
            agent: &[(
                "resets_sent{netfilter}",
                AgentFigure::Hooked(&SEEN, &AgentFigure::Exactly(1)),
            )],
        },
        server: QUIET,
        liveness: &[],
        record: RecordExpectation::silent_for(0),
    };
    let wrong = |hooks: &[&str], counted| {
        let client = SideCounts {
            agent: [("resets_sent{netfilter}".to_owned(), counted)].into(),
            hooks: hooks.iter().map(|hook| (*hook).to_owned()).collect(),
            ..SideCounts::default()
        };
        let sides = [client, SideCounts::default()];
        let never_over = Exactness::NeverOver;
        let exact = classify(&expected, &sides, Exactness::Exact, &Falsified::new());
        let lenient = classify(&expected, &sides, never_over, &Falsified::new());
        (!exact.wrong.is_empty(), !lenient.wrong.is_empty())
    };
    assert_eq!(wrong(&SEEN, 1), (false, false));
    assert_eq!(wrong(&SEEN, 0), (true, false));
    assert_eq!(wrong(&SEEN, 2), (true, true));
    assert_eq!(wrong(&["hook"], 0), (false, false));
    assert_eq!(wrong(&[], 1), (true, true));
}

#[test]
fn a_figure_of_the_kernel_s_counters() {
    let counts = SideCounts {
        kernel: Counters::from([("sent", 4), ("held", 2)]),
        ..SideCounts::default()
    };
    let range = AgentFigure::KernelRange(["sent", "held"], 1);
    for (figure, counted, expected) in [
        (range, 4, 5),
        (range, 5, 5),
        (range, 6, 6),
        (range, 7, 7),
        (range, 8, 7),
        (AgentFigure::AtMost("sent"), 3, 3),
        (AgentFigure::AtMost("sent"), 5, 4),
        (AgentFigure::AtMost("none"), 1, 0),
        (AgentFigure::KernelAny("sent"), 9, 1),
        (AgentFigure::KernelAny("none"), 9, 0),
    ] {
        assert_eq!(
            exact(figure, &counts, counted),
            Some(expected),
            "{figure:?}, {counted}"
        );
    }
}

#[test]
fn a_hook_that_sees_nothing_is_noticed() {
    let classify = |agent| {
        classify(
            &seven(),
            &sides(agent),
            Exactness::NeverOver,
            &Falsified::new(),
        )
    };
    let (blind, sighted) = (classify(&RIGHT[1..]), classify(&RIGHT));
    assert_eq!(
        unseen_events(&[&blind]),
        ["keepalive_probes: none seen of at least 3"]
    );
    assert_eq!(unseen_events(&[&blind, &sighted]), [""; 0]);
}

#[test]
fn counterparts_add_up() {
    let agent = &sides(&RIGHT)[0].agent;
    let expected = [
        ("TCPKeepAlive", 3),
        ("TCPWinProbe", 0),
        ("TCPAbortOnTimeout", 1),
        ("OutRsts", 1),
        ("TCPTimeouts", 0),
    ];
    assert_eq!(kernel_counterparts(agent), expected);
    let netfilter = AgentCounts::from([("resets_sent{netfilter}".to_owned(), 5)]);
    assert_eq!(kernel_counterparts(&netfilter)[3], ("OutRsts", 0));
}
