//! What the agent reported of one end of a connection, look by look.

use serde::{Serialize, Serializer};

use crate::{
    net::end::End,
    observe::connections::{DetectionTime, ListedConnection},
};

/// What the agent reported of one end, as often as it reported the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObservedLiveness {
    /// Of which end.
    pub end: End,
    /// The verdict.
    pub liveness: String,
    /// What makes it a suspect.
    pub evidence: Option<String>,
    /// Who opened it.
    pub direction: String,
    /// Time to detect while idle, each that was reported.
    #[serde(rename = "detect_idle_ms", serialize_with = "in_words")]
    pub detect: Vec<Option<DetectionTime>>,
    /// Of the looks at which that was a time, in milliseconds: the least sum of it and the silence before, and the
    /// longest.
    #[serde(skip)]
    pub detect_range: Option<(u64, u64)>,
    /// The longest silence of the peer that was reported; `None` where it was unknown once.
    pub silence_ms: Option<u64>,
    /// How many looks found it.
    pub looks: u64,
    /// The agent's reason, the latest.
    pub why: String,
}

/// Some states count a timer down: what it counts is not kept.
const DETECTS_KEPT: usize = 3;

impl ObservedLiveness {
    /// One look.
    #[must_use]
    pub fn of(end: End, connection: ListedConnection) -> Self {
        Self {
            end,
            detect: vec![connection.detect()],
            detect_range: match connection.detect() {
                Some(DetectionTime::Millis(ms)) => {
                    Some((ms + connection.silence_ms.unwrap_or(0), ms))
                }
                Some(DetectionTime::Never) | None => None,
            },
            silence_ms: connection.silence_ms,
            liveness: connection.liveness,
            evidence: connection.evidence,
            direction: connection.direction,
            looks: 1,
            why: connection.why,
        }
    }

    /// Adds a look to what was seen before, in the order of first sight.
    pub(crate) fn add(self, all: &mut Vec<Self>) {
        let same = |other: &&mut Self| {
            (
                other.end,
                &other.liveness,
                &other.evidence,
                &other.direction,
            ) == (self.end, &self.liveness, &self.evidence, &self.direction)
        };
        let Some(before) = all.iter_mut().find(same) else {
            all.push(self);
            return;
        };
        before.looks += self.looks;
        before.why = self.why;
        before.detect_range = match (before.detect_range, self.detect_range) {
            (Some(before), Some(now)) => Some((before.0.min(now.0), before.1.max(now.1))),
            (before, now) => before.or(now),
        };
        let silences = before.silence_ms.zip(self.silence_ms);
        before.silence_ms = silences.map(|(before, now)| before.max(now));
        for detect in self.detect {
            if before.detect.len() < DETECTS_KEPT && !before.detect.contains(&detect) {
                before.detect.push(detect);
            }
        }
    }

    /// As it is written in reports.
    #[must_use]
    pub fn word(&self) -> String {
        let evidence = self.evidence.as_ref().map(|word| format!("/{word}"));
        format!("{}{}", self.liveness, evidence.unwrap_or_default())
    }
}

fn in_words<S: Serializer>(
    detect: &[Option<DetectionTime>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(detect.iter().map(|detect| match detect {
        None => serde_json::Value::Null,
        Some(DetectionTime::Millis(ms)) => (*ms).into(),
        Some(DetectionTime::Never) => "never".into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(end: End, detect: Option<DetectionTime>) -> ObservedLiveness {
        ObservedLiveness {
            end,
            liveness: "suspect".to_owned(),
            evidence: Some("keepalive".to_owned()),
            direction: "outbound".to_owned(),
            detect: vec![detect],
            detect_range: None,
            silence_ms: Some(100),
            looks: 1,
            why: "it is so".to_owned(),
        }
    }

    #[test]
    fn looks_add_up() {
        const SOON: Option<DetectionTime> = Some(DetectionTime::Millis(14_000));
        let mut all = Vec::new();
        for detect in [SOON, Some(DetectionTime::Never), SOON, None, SOON] {
            seen(End::Client, detect).add(&mut all);
            seen(End::Server, None).add(&mut all);
        }
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].looks, all[1].looks), (5, 5));
        assert_eq!(all[0].detect, [SOON, Some(DetectionTime::Never), None]);
    }

    #[test]
    fn the_range_of_times_to_detect_is_kept() {
        let mut all = Vec::new();
        for range in [
            Some((14_000, 13_000)),
            None,
            Some((14_100, 9_000)),
            Some((13_900, 14_000)),
        ] {
            let mut one = seen(End::Client, None);
            one.detect_range = range;
            one.add(&mut all);
        }
        assert_eq!(all[0].detect_range, Some((13_900, 14_000)));
    }

    #[test]
    fn the_longest_silence_counts_and_the_unknown_is_no_silence() {
        let mut all = Vec::new();
        for (silence_ms, expected) in [
            (Some(3), Some(3)),
            (Some(7), Some(7)),
            (Some(1), Some(7)),
            (None, None),
            (Some(9), None),
        ] {
            let mut one = seen(End::Client, None);
            one.silence_ms = silence_ms;
            one.add(&mut all);
            assert_eq!(all[0].silence_ms, expected);
        }
    }
}
