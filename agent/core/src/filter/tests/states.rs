//! Which states a filter means.

use super::{super::Filter, sample};
use crate::model::{assessed::Assessed, connection::State};

fn state(state: State) -> Assessed {
    let mut assessed = sample();
    assessed.connection.state = state;
    assessed
}

#[test]
fn states() {
    let all = State::ALL.map(|state| state.as_str());
    let but = |left_out: &[&str]| -> Vec<&'static str> {
        all.into_iter()
            .filter(|state| !left_out.contains(state))
            .collect()
    };
    for (filter, expected) in [
        ("state established", vec!["established"]),
        ("state syn-sent", vec!["syn_sent"]),
        ("state syn-recv", vec!["syn_recv"]),
        ("state fin-wait-1", vec!["fin_wait1"]),
        ("state fin-wait-2", vec!["fin_wait2"]),
        ("state fin_wait2", vec!["fin_wait2"]),
        ("state time-wait", vec!["time_wait"]),
        ("state closed", vec!["close"]),
        ("state CLOSE-WAIT", vec!["close_wait"]),
        ("state last-ack", vec!["last_ack"]),
        ("state listening", vec!["listen"]),
        ("state closing", vec!["closing"]),
        ("state all", but(&[])),
        ("state connected", but(&["listen", "close"])),
        ("state synchronized", but(&["listen", "close", "syn_sent"])),
        ("state bucket", vec!["syn_recv", "time_wait"]),
        ("state big", but(&["syn_recv", "time_wait"])),
        ("exclude listening", but(&["listen"])),
        (
            "exclude listening exclude closed",
            but(&["listen", "close"]),
        ),
        (
            "state established state closing",
            vec!["established", "closing"],
        ),
        ("state bucket exclude time-wait", vec!["syn_recv"]),
        // Read from left to right.
        ("exclude closing state closing", but(&[])),
        ("state established and sport 443", vec!["established"]),
        // States at the front hold for the whole filter, whatever stands behind them.
        (
            "state established sport 1 or sport 443",
            vec!["established"],
        ),
        (
            "state established and sport 1 or sport 443",
            vec!["established"],
        ),
        (
            "sport 443 state established state closing",
            vec!["established", "closing"],
        ),
        (
            "( state established ) or state closing",
            vec!["established", "closing"],
        ),
        ("not state bucket", but(&["syn_recv", "time_wait"])),
    ] {
        let parsed = Filter::parse(filter).unwrap();
        let found: Vec<_> = State::ALL
            .into_iter()
            .filter(|found| parsed.matches(&state(*found)))
            .map(State::as_str)
            .collect();
        assert_eq!(found, expected, "{filter}");
    }
}
