//! Compares the verdicts of the scenario table with those that the agent gave.
//!
//! # Invariants
//!
//! A verdict that is missing fails, as does one that the table does not have.

use super::LivenessRule;
use crate::{
    classify::observed::ObservedLiveness,
    net::end::End,
    observe::{agent_client::AgentThresholds, connections::DetectionTime},
};

/// What is wrong with what was reported: every verdict that is due must be there, and no other.
#[must_use]
pub fn compare(
    table: &[LivenessRule],
    seen: &[ObservedLiveness],
    thresholds: AgentThresholds,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for rule in table {
        let (end, expected) = (rule.end, rule.expected);
        let met: Vec<_> = seen
            .iter()
            .filter(|seen| rule.is_met_by(seen, thresholds))
            .collect();
        let looks: u64 = met.iter().map(|seen| seen.looks).sum();
        if looks < rule.looks {
            let end = end.as_str();
            wrong.push(format!(
                "{end}: reported {expected} at {looks} looks, {} are due; seen: {}",
                rule.looks,
                describe(seen, rule.end)
            ));
        }
        for seen in met {
            if !is_detected_in_time(rule.detect, seen) {
                wrong.push(format!(
                    "{}: {}, with times to detect {:?} where the table says {:?}",
                    end.as_str(),
                    seen.word(),
                    seen.detect,
                    rule.detect
                ));
            }
            if let Some(most) = rule.silent_ms
                && seen.silence_ms.is_none_or(|silence| silence > most)
            {
                let silence = seen
                    .silence_ms
                    .map_or_else(|| "unknown".to_owned(), |silence| format!("{silence} ms"));
                wrong.push(format!(
                    "{}: {}, silence {silence} at one look, {most} ms at most",
                    end.as_str(),
                    seen.word()
                ));
            }
        }
    }
    for seen in seen {
        let end = seen.end.as_str();
        if !table.iter().any(|rule| rule.is_met_by(seen, thresholds)) {
            wrong.push(format!(
                "{end}: reported {} at {} looks ({}), which the table does not have",
                seen.word(),
                seen.looks,
                seen.why
            ));
        }
        if seen.direction != seen.end.direction() {
            wrong.push(format!("{end}: reported {}", seen.direction));
        }
    }
    wrong
}

/// Ages are rounded, and read at two moments.
const GRAIN_MS: u64 = 100;

/// Of its time, a timer may fire so much late, never early (`calc_wheel_index`, kernel/time/timer.c).
const LATE: u64 = 8;

/// Silence that is spent already is no longer to come: with it, the time to detect is that of the settings, and
/// without it no longer.
fn is_detected_in_time(expected: Option<DetectionTime>, seen: &ObservedLiveness) -> bool {
    match expected {
        None => true,
        Some(DetectionTime::Never) => seen.detect.iter().all(|detect| *detect == expected),
        Some(DetectionTime::Millis(whole)) => {
            let is_time = |detect: &_| matches!(detect, Some(DetectionTime::Millis(_)));
            seen.detect.iter().all(is_time)
                && seen.detect_range.is_some_and(|(least, most)| {
                    least + GRAIN_MS >= whole && most <= whole + whole / LATE
                })
        }
    }
}

/// What was seen of one end, for people.
fn describe(seen: &[ObservedLiveness], end: End) -> String {
    let words: Vec<String> = seen
        .iter()
        .filter(|seen| seen.end == end)
        .map(|seen| format!("{} ×{} ({})", seen.word(), seen.looks, seen.why))
        .collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}

#[cfg(test)]
mod tests;
