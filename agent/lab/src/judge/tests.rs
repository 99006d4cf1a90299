//! Verdicts on accounts made by hand.
//! It must never take a figure from an agent.

use super::*;
use crate::scenarios;

fn seven() -> &'static Scenario {
    scenarios::all()
        .find(|scenario| scenario.number == 7)
        .unwrap()
}

fn accounts(agent: &[(&str, u64)]) -> [Account; 2] {
    let kernel = Counters::of(&[
        ("TCPKeepAlive", 3),
        ("TCPAbortOnTimeout", 1),
        ("OutRsts", 1),
        ("EstabResets", 1),
    ]);
    let agent = agent
        .iter()
        .map(|(key, count)| ((*key).to_owned(), *count))
        .collect();
    let certificate = Certificate::fixture("keepalive", 3);
    let client = Account {
        kernel,
        agent,
        certificates: vec![certificate],
    };
    [client, Account::default()]
}

const RIGHT: [(&str, u64); 3] = [
    ("keepalive_probes", 3),
    ("deaths{keepalive}", 1),
    ("resets_sent{tcp_keepalive_timeout}", 1),
];

fn check(scenario: &Scenario, agent: &[(&str, u64)], policy: Policy, expected: (usize, usize)) {
    let verdict = judge(scenario, &accounts(agent), policy, &Falsified::new());
    assert_eq!(
        (verdict.wrong.len(), verdict.short.len()),
        expected,
        "{agent:?} {verdict:?}"
    );
}

#[test]
fn what_the_table_says_passes() {
    check(seven(), &RIGHT, Policy::Exact, (0, 0));
    check(seven(), &RIGHT, Policy::NeverOver, (0, 0));
}

#[test]
fn a_falsified_expectation_fails() {
    let mut wrong = *seven();
    wrong.client.agent = &[("keepalive_probes", Count::Exactly(4))];
    check(&wrong, &RIGHT, Policy::Exact, (4, 0));
    let mut wrong = *seven();
    wrong.client.kernel = &[("TCPKeepAlive", Figure::Exactly(4))];
    // And the figures that are no longer named must be 0.
    check(&wrong, &RIGHT, Policy::Exact, (3, 0));
    let mut wrong = *seven();
    wrong.server = scenarios::RESET;
    check(&wrong, &RIGHT, Policy::Exact, (4, 0));
    let falsified = Falsified::from([("outbound keepalive_probes".to_owned(), 4)]);
    let verdict = judge(seven(), &accounts(&RIGHT), Policy::Exact, &falsified);
    assert_eq!(
        verdict.wrong,
        ["outbound keepalive_probes: 3 counted, 4 expected"]
    );
}

#[test]
fn a_count_too_low_is_wrong_or_short() {
    let low = [("keepalive_probes", 2), RIGHT[1], RIGHT[2]];
    check(seven(), &low, Policy::Exact, (1, 0));
    check(seven(), &low, Policy::NeverOver, (0, 1));
    check(seven(), &[], Policy::Exact, (3, 0));
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
        check(seven(), &agent, Policy::Exact, (1, 0));
        check(seven(), &agent, Policy::NeverOver, (1, 0));
    }
}

#[test]
fn a_hook_that_sees_nothing_is_noticed() {
    let judge = |agent| {
        judge(
            seven(),
            &accounts(agent),
            Policy::NeverOver,
            &Falsified::new(),
        )
    };
    let (blind, sighted) = (judge(&RIGHT[1..]), judge(&RIGHT));
    assert_eq!(
        unseen(&[&blind]),
        ["keepalive_probes: none seen of at least 3"]
    );
    assert_eq!(unseen(&[&blind, &sighted]), [""; 0]);
}

#[test]
fn counterparts_add_up() {
    let agent = &accounts(&RIGHT)[0].agent;
    let expected = [
        ("TCPKeepAlive", 3),
        ("TCPWinProbe", 0),
        ("TCPAbortOnTimeout", 1),
        ("OutRsts", 1),
    ];
    assert_eq!(counterparts(agent), expected);
}
