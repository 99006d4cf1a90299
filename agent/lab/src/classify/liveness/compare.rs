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

/// Whether a time to detect is known and not beyond what the table says.
const fn is_within(detect: Option<DetectionTime>, limit: DetectionTime) -> bool {
    match (detect, limit) {
        (Some(DetectionTime::Millis(left)), DetectionTime::Millis(most)) => left <= most,
        (Some(DetectionTime::Never), DetectionTime::Never) => true,
        _ => false,
    }
}

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
            if let Some(limit) = rule.detect
                && !seen.detect.iter().all(|detect| is_within(*detect, limit))
            {
                wrong.push(format!(
                    "{}: {}, with times to detect {:?} where the table says {:?}",
                    end.as_str(),
                    seen.word(),
                    seen.detect,
                    limit
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
