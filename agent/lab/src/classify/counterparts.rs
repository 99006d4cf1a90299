//! The agent's counts beside the kernel's counters: which belong together, and which hook saw nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    classify::{
        assessment::Assessment,
        expectations::{ACCOUNTED, OPEN},
    },
    observe::exposition::AgentCounts,
};

/// Resets made by netfilter, as the agent counts them.
const NETFILTER: &str = "resets_sent{netfilter}";

/// What the agent has of each compared counter, by adding up its own counts of one side.
#[must_use]
pub fn kernel_counterparts(counted: &AgentCounts) -> [(&'static str, u64); ACCOUNTED.len()] {
    // What is unknown was on no path of which it is known that the kernel counts it.
    const BY_TIMEOUT: [&str; 7] = [
        "deaths{keepalive}",
        "deaths{user_timeout}",
        "deaths{retransmission}",
        "deaths{window_probe}",
        "deaths{local_send_failure}",
        "deaths{connect_timeout}",
        "deaths{orphan}",
    ];
    let sum = |of: &dyn Fn(&str) -> bool| {
        counted
            .iter()
            .filter(|(key, _)| of(key))
            .map(|(_, count)| count)
            .sum()
    };
    [
        ("TCPKeepAlive", sum(&|key| key == "keepalive_probes")),
        ("TCPWinProbe", sum(&|key| key == "window_probes")),
        ("TCPAbortOnTimeout", sum(&|key| BY_TIMEOUT.contains(&key))),
        (
            "OutRsts",
            // TCP does not send those that netfilter makes.
            sum(&|key| key.starts_with("resets_sent{") && key != NETFILTER),
        ),
        ("TCPTimeouts", sum(&|key| key == "retransmission_timeouts")),
    ]
}

/// What the agent saw none of although the scenarios gave it several: tracepoints may miss some, but
/// a hook that misses all of them is broken.
#[must_use]
pub fn unseen_events(assessments: &[&Assessment]) -> Vec<String> {
    const SEVERAL: u64 = 3;
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for assessment in assessments {
        for (key, must) in &assessment.expected {
            let counted = assessment.counted.get(key).and_then(Value::as_u64);
            // A figure that is the kernel's counter is not 0, or it would be a number.
            let must = must.as_u64().unwrap_or(u64::from(must != OPEN));
            let name = key.split_once(' ').map_or(key.as_str(), |(_, name)| name);
            let sum = sums.entry(name).or_default();
            *sum = (sum.0 + must, sum.1 + counted.unwrap_or(0));
        }
    }
    let unseen = sums
        .into_iter()
        .filter(|(_, (must, counted))| *must >= SEVERAL && *counted == 0);
    unseen
        .map(|(name, (must, _))| format!("{name}: none seen of at least {must}"))
        .collect()
}
