//! Compares what a scenario must show with what the kernel and the agent counted.
//!
//! # Invariants
//!
//! A count that is too high is never excused.

use std::{
    collections::{BTreeMap, BTreeSet},
    slice,
};

use serde_json::Value;

use crate::{
    classify::{
        assessment::{Assessment, Exactness},
        expectations::{
            AgentFigure, CAPTURED, COMPARED, Expectations, KernelFigure, OPEN, RecordExpectation,
            SideExpectation,
        },
    },
    observe::{deaths::DeathRecord, exposition::AgentCounts, snmp::Counters},
};

/// The kernel keeps the time of a peer's last segment in jiffies. On an emulated machine these may fall behind
/// the clock that ages are taken from.
const COARSE_MS: u64 = 500;

/// What is known of one side of a connection.
#[derive(Debug, Clone, Default)]
pub struct SideCounts {
    /// What its namespace counted.
    pub kernel: Counters,
    /// What the agent counted.
    pub agent: AgentCounts,
    /// The agent's death records.
    pub records: Vec<DeathRecord>,
    /// The agent's hooks that are attached, each as `hook` and as `hook/mechanism`.
    pub hooks: BTreeSet<String>,
}

/// Expectations put in place of the table's, by side and key: to see that a wrong one is noticed.
pub type Falsified = BTreeMap<String, u64>;

/// Compares one scenario's kernel counters and capture alone.
#[must_use]
pub fn classify_kernel(expected: &Expectations, counters: &[Counters; 2]) -> Assessment {
    let mut assessment = Assessment::default();
    for (name, side, counters) in [
        ("outbound", &expected.client, &counters[0]),
        ("inbound", &expected.server, &counters[1]),
    ] {
        let unnamed = COMPARED
            .iter()
            .chain(&CAPTURED)
            .filter(|name| side.kernel.iter().all(|(named, _)| named != *name));
        let zero = unnamed.map(|name| (*name, KernelFigure::Exactly(0)));
        for (counter, figure) in zero.chain(side.kernel.iter().copied()) {
            let count = counters.get(counter);
            let key = format!("{name} {counter}");
            if let Err(must) = figure.check(count) {
                assessment
                    .wrong
                    .push(format!("{key} is {count}, the table says {must}"));
            }
            assessment.kernel.insert(key, count.into());
        }
    }
    assessment
}

/// Compares one scenario, the client's side first.
#[must_use]
pub fn classify(
    expected: &Expectations,
    sides: &[SideCounts; 2],
    exactness: Exactness,
    falsified: &Falsified,
) -> Assessment {
    let mut assessment = classify_kernel(
        expected,
        &[sides[0].kernel.clone(), sides[1].kernel.clone()],
    );
    for (name, side, counts) in [
        ("outbound", &expected.client, &sides[0]),
        ("inbound", &expected.server, &sides[1]),
    ] {
        let figures = expectations(side);
        let keys: BTreeSet<&str> = figures
            .keys()
            .copied()
            .chain(counts.agent.keys().map(String::as_str))
            .chain(
                falsified
                    .keys()
                    .filter_map(|key| key.strip_prefix(name)?.strip_prefix(' ')),
            )
            .collect();
        for key in keys {
            let counted = counts.agent.get(key).copied().unwrap_or(0);
            let named = format!("{name} {key}");
            assessment.counted.insert(named.clone(), counted.into());
            let falsified = falsified.get(&named).copied().map(AgentFigure::Exactly);
            let from_table = figures.get(key).copied().unwrap_or(AgentFigure::Exactly(0));
            let figure = falsified.unwrap_or(from_table);
            let limits: &[&str] = match &figure {
                AgentFigure::KernelRange(counters, _) => counters,
                AgentFigure::AtMost(counter) => slice::from_ref(counter),
                _ => &[],
            };
            for counter in limits {
                let count = counts.kernel.get(counter).into();
                assessment.kernel.insert(format!("{name} {counter}"), count);
            }
            let exact = exact(figure, counts, counted);
            if let Some(exact) = exact {
                assessment.compare(&named, exact, counted, exactness);
            }
            let must: Value = match (exact, figure) {
                (None, _) => OPEN.into(),
                // What the kernel leaves at 0 says nothing in a report.
                (Some(1..), AgentFigure::Kernel(counter)) => format!("={counter}").into(),
                (Some(1..), AgentFigure::KernelRange([counter, _], 0)) => {
                    format!("={counter}").into()
                }
                (Some(1..), AgentFigure::KernelRange([counter, _], more)) => {
                    format!("={counter}+{more}").into()
                }
                (Some(exact), _) => exact.into(),
            };
            assessment.expected.insert(named, must);
        }
        check_deaths(&mut assessment, expected, (name, side), counts, exactness);
    }
    assessment
}

/// What the agent must have counted; `None` if nothing but the agent fixes it. Within a range that is `counted`, what
/// it has counted.
fn exact(figure: AgentFigure, counts: &SideCounts, counted: u64) -> Option<u64> {
    let is_attached = |hooks: &[&str]| hooks.iter().all(|hook| counts.hooks.contains(*hook));
    match figure {
        AgentFigure::Exactly(exact) => Some(exact),
        AgentFigure::Kernel(counter) => Some(counts.kernel.get(counter)),
        AgentFigure::AtMost(counter) => Some(counted.min(counts.kernel.get(counter))),
        AgentFigure::KernelAny(counter) => Some(counts.kernel.get(counter).min(1)),
        AgentFigure::KernelRange(counters, more) => {
            let [least, further] = counters.map(|counter| counts.kernel.get(counter));
            Some(counted.clamp(least + more, least + further + more))
        }
        AgentFigure::Hooked(hooks, figure) if is_attached(hooks) => exact(*figure, counts, counted),
        AgentFigure::Hooked(..) => Some(0),
        AgentFigure::Open => None,
    }
}

/// Each death has one record, with the cause it is counted under and the probes that the kernel counted.
fn check_deaths(
    assessment: &mut Assessment,
    expected: &Expectations,
    (name, side): (&str, &SideExpectation),
    counts: &SideCounts,
    exactness: Exactness,
) {
    let mut causes: BTreeMap<String, u64> = BTreeMap::new();
    for record in &counts.records {
        *causes.entry(record.cause.clone()).or_default() += 1;
    }
    for (key, figure) in side.agent {
        let Some(cause) = cause_of(key) else {
            continue;
        };
        let certified = causes.get(cause).copied().unwrap_or(0);
        if let Some(exact) = exact(*figure, counts, certified) {
            causes.remove(cause);
            assessment.compare(
                &format!("{name} certificates{{{cause}}}"),
                exact,
                certified,
                exactness,
            );
        }
    }
    for (cause, certified) in causes {
        assessment.compare(
            &format!("{name} certificates{{{cause}}}"),
            0,
            certified,
            exactness,
        );
    }
    // A side is one connection: what its namespace counted is what it did.
    let [record] = counts.records.as_slice() else {
        return;
    };
    for (what, counter, recorded) in [
        ("keepalive probes", "TCPKeepAlive", record.keepalive_probes),
        ("window probes", "TCPWinProbe", record.window_probes),
    ] {
        if let Some(recorded) = recorded {
            let key = format!("{name} certified {what}");
            assessment.compare(&key, counts.kernel.get(counter), recorded, exactness);
        }
    }
    if name == "outbound" {
        check_client_record(assessment, expected.record, record, counts, exactness);
    }
}

fn check_client_record(
    assessment: &mut Assessment,
    expected: RecordExpectation,
    record: &DeathRecord,
    counts: &SideCounts,
    exactness: Exactness,
) {
    let (least, most) = expected.silence_ms;
    let age = record.age_ms.unwrap_or(u64::MAX - COARSE_MS);
    let is_right = match record.silence_ms {
        Some(silent) => (least..=most).contains(&silent) && silent <= age + COARSE_MS,
        // What is unknown is within no limits.
        None => (least, most) == (0, u64::MAX),
    };
    if !is_right {
        let silent = record.silence_ms;
        assessment.wrong.push(format!(
            "outbound certificate: silent for {silent:?} ms at an age of {age} ms, {least} ms at least and {most} ms \
             at most expected"
        ));
    }
    for (what, figure, recorded) in [
        (
            "retransmission timeouts",
            expected.timeouts,
            record.retransmission_timeouts,
        ),
        ("unanswered", expected.unanswered, record.unanswered),
    ] {
        let recorded = recorded.unwrap_or(0);
        if let Some(exact) = figure.and_then(|figure| exact(figure, counts, recorded)) {
            let key = format!("outbound certified {what}");
            assessment.compare(&key, exact, recorded, exactness);
        }
    }
}

fn cause_of(key: &str) -> Option<&str> {
    key.strip_prefix("deaths{")?.strip_suffix('}')
}

fn expectations(side: &SideExpectation) -> BTreeMap<&'static str, AgentFigure> {
    let mut expected = BTreeMap::from([(
        "retransmission_timeouts",
        AgentFigure::Kernel("TCPTimeouts"),
    )]);
    expected.extend(side.agent.iter().copied());
    expected
}

#[cfg(test)]
mod tests;
