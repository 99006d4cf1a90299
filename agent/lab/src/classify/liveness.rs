//! How the agent must report a scenario's connection while it is played.

mod compare;

use std::fmt;

pub use compare::compare;

use crate::{
    classify::observed::ObservedLiveness,
    net::end::End,
    observe::{agent_client::AgentThresholds, connections::DetectionTime},
};

pub(crate) const HEALTHY: ExpectedLiveness = any_of(&["healthy"]);
pub(crate) const IDLE_GUARDED: ExpectedLiveness = any_of(&["idle_guarded"]);
pub(crate) const IDLE_UNGUARDED: ExpectedLiveness = any_of(&["idle_unguarded"]);
pub(crate) const EMBRYONIC: ExpectedLiveness = any_of(&["embryonic"]);
pub(crate) const ZERO_WINDOW: ExpectedLiveness = any_of(&["zero_window"]);
pub(crate) const HALF_CLOSED: ExpectedLiveness = any_of(&["half_closed"]);
pub(crate) const UNACCEPTED: ExpectedLiveness = any_of(&["unaccepted"]);
/// The peer is heard and does not acknowledge.
pub(crate) const STALLED: ExpectedLiveness = any_of(&["stalled"]);
pub(crate) const STALE: ExpectedLiveness = any_of(&["stale_close_wait"]);
pub(crate) const STALE_FIN_WAIT2: ExpectedLiveness = any_of(&["stale_fin_wait2"]);
pub(crate) const CLOSING: ExpectedLiveness = any_of(&["closing"]);

/// A verdict on a connection: any of some words, and the evidence of a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedLiveness {
    any_of: &'static [&'static str],
    evidence: Option<&'static str>,
    /// What the reason says.
    why: Option<&'static str>,
}

/// A verdict by one of these words.
#[must_use]
pub const fn any_of(any_of: &'static [&'static str]) -> ExpectedLiveness {
    ExpectedLiveness {
        any_of,
        evidence: None,
        why: None,
    }
}

/// A suspect, by this evidence.
#[must_use]
pub const fn suspect(evidence: &'static str) -> ExpectedLiveness {
    ExpectedLiveness {
        any_of: &["suspect"],
        evidence: Some(evidence),
        why: None,
    }
}

impl ExpectedLiveness {
    /// The same with a reason that says this.
    #[must_use]
    pub const fn because(mut self, why: &'static str) -> Self {
        self.why = Some(why);
        self
    }

    /// Whether this is what the agent said.
    #[must_use]
    pub fn is_met_by(&self, observed: &ObservedLiveness, thresholds: AgentThresholds) -> bool {
        let word = |word: &&str| {
            observed.liveness == **word || thresholds.before(word) == Some(&observed.liveness)
        };
        self.any_of.iter().any(word)
            && self.evidence == observed.evidence.as_deref()
            && self.why.is_none_or(|why| observed.why.contains(why))
    }
}

impl fmt::Display for ExpectedLiveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.any_of.join(" or "))?;
        self.evidence
            .map_or(Ok(()), |evidence| write!(f, "/{evidence}"))?;
        self.why.map_or(Ok(()), |why| write!(f, " ({why})"))
    }
}

/// A line of the scenario table about verdicts.
#[derive(Debug, Clone, Copy)]
pub struct LivenessRule {
    end: End,
    expected: ExpectedLiveness,
    detect: Option<DetectionTime>,
    /// The peer's silence at most, at every look.
    silent_ms: Option<u64>,
    /// How many looks must have found it; 0 where none has to.
    looks: u64,
}

impl End {
    /// This end must have this verdict at some moment.
    #[must_use]
    pub const fn is(self, expected: ExpectedLiveness) -> LivenessRule {
        LivenessRule {
            end: self,
            expected,
            detect: None,
            silent_ms: None,
            looks: 1,
        }
    }

    /// This end may have this verdict, on its way.
    #[must_use]
    pub const fn may_be(self, expected: ExpectedLiveness) -> LivenessRule {
        let mut rule = self.is(expected);
        rule.looks = 0;
        rule
    }
}

impl LivenessRule {
    /// With this time to detect while idle, in seconds, less the silence that is spent already.
    #[must_use]
    pub const fn found_within(mut self, seconds: u64) -> Self {
        self.detect = Some(DetectionTime::Millis(seconds * 1000));
        self
    }

    /// While idle it never finds its peer dead.
    #[must_use]
    pub const fn never_found(mut self) -> Self {
        self.detect = Some(DetectionTime::Never);
        self
    }

    /// The peer is never reported silent for longer than this, in milliseconds.
    #[must_use]
    pub const fn silent_within(mut self, ms: u64) -> Self {
        self.silent_ms = Some(ms);
        self
    }

    /// At so many looks.
    #[must_use]
    pub const fn looks(mut self, looks: u64) -> Self {
        self.looks = looks;
        self
    }

    fn is_met_by(&self, observed: &ObservedLiveness, thresholds: AgentThresholds) -> bool {
        observed.end == self.end && self.expected.is_met_by(observed, thresholds)
    }
}
