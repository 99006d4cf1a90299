//! What a comparison gave, and how exact the agent's counts must be.
//!
//! # Invariants
//!
//! A count that is too high is never excused.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{classify::observed::ObservedLiveness, net::end::End, observe::exposition::Metrics};

/// The functions whose events tracepoints may miss.
const INEXACT_BY_TRACEPOINT: [&str; 5] = [
    "tcp_xmit_probe_skb",
    "tcp_retransmit_timer",
    "tcp_keepalive_timer",
    "tcp_write_timer_handler",
    "tcp_send_active_reset",
];

/// How exact the agent must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exactness {
    /// Every count is right.
    Exact,
    /// No count is too high; what is missing is accounted for.
    NeverOver,
}

impl Exactness {
    /// How exact an agent can be with the mechanisms that it reports.
    #[must_use]
    pub fn implied(metrics: &Metrics) -> Self {
        let inexact = metrics.hooks().iter().any(|(hook, mechanism)| {
            mechanism == "tracepoint" && INEXACT_BY_TRACEPOINT.contains(&hook.as_str())
        });
        if inexact {
            Self::NeverOver
        } else {
            Self::Exact
        }
    }
}

/// What the comparison gave.
#[derive(Debug, Clone, Default)]
pub struct Assessment {
    /// What the agent must have counted; a text where the figure is not fixed beforehand.
    pub expected: BTreeMap<String, Value>,
    /// What it counted.
    pub counted: BTreeMap<String, Value>,
    /// What the kernel counted.
    pub kernel: BTreeMap<String, Value>,
    /// Its verdicts on the connection meanwhile.
    pub judged: Vec<ObservedLiveness>,
    /// What is wrong.
    pub wrong: Vec<String>,
    /// What is missing but may be.
    pub short: Vec<String>,
}

impl Assessment {
    /// Compares one figure of the agent.
    pub fn compare(&mut self, key: &str, expected: u64, counted: u64, exactness: Exactness) {
        if counted < expected && exactness == Exactness::NeverOver {
            let missing = expected - counted;
            self.short.push(format!(
                "{key}: {counted} of {expected}, {missing} unaccounted"
            ));
        } else if counted != expected {
            self.wrong
                .push(format!("{key}: {counted} counted, {expected} expected"));
        }
    }

    /// Compares one figure of the agent at one end, and notes both for the report.
    pub(crate) fn compare_at(
        &mut self,
        end: End,
        key: &str,
        expected: u64,
        counted: u64,
        exactness: Exactness,
    ) {
        let key = format!("{} {key}", end.direction());
        self.compare(&key, expected, counted, exactness);
        self.expected.insert(key.clone(), expected.into());
        self.counted.insert(key, counted.into());
    }
}
