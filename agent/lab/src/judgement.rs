//! How the agent must judge a scenario's connection while it is played, and what it did judge.
//! It must never excuse a judgement that the table does not have.

mod compare;
mod seen;

use std::fmt;

use serde::Serialize;

pub use compare::compare;
pub use seen::Seen;

use crate::connections::Detect;

/// One end of a scenario's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The connecting one.
    Client,
    /// The accepting one.
    Server,
}

impl End {
    /// As it is written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// What the agent must call a connection seen from this end.
    pub(crate) const fn direction(self) -> &'static str {
        match self {
            Self::Client => "outbound",
            Self::Server => "inbound",
        }
    }
}

/// From when on the agent under test calls silence idle, and a CLOSE_WAIT stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thresholds {
    /// After [`crate::agent::THRESHOLDS`]: the lab started it.
    Ours,
    /// Nobody here knows: it was started elsewhere, perhaps with hours. What is idle may then be
    /// called healthy, and what is stale half-closed.
    Theirs,
}

impl Thresholds {
    /// The judgement that may stand for another one, whose threshold may not be reached.
    fn before(self, liveness: &str) -> Option<&'static str> {
        match (self, liveness) {
            (Self::Theirs, "idle_guarded" | "idle_unguarded") => Some("healthy"),
            (Self::Theirs, "stale_close_wait") => Some("half_closed"),
            _ => None,
        }
    }
}

/// A judgement: any of some words, and what it rests on where it is a suspicion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    any_of: &'static [&'static str],
    evidence: Option<&'static str>,
}

/// A judgement by these words.
#[must_use]
pub const fn judged(any_of: &'static [&'static str]) -> Judgement {
    Judgement {
        any_of,
        evidence: None,
    }
}

/// A suspect, by this evidence.
#[must_use]
pub const fn suspect(evidence: &'static str) -> Judgement {
    Judgement {
        any_of: &["suspect"],
        evidence: Some(evidence),
    }
}

impl Judgement {
    /// Whether this is what the agent said.
    #[must_use]
    pub fn is_met_by(&self, seen: &Seen, thresholds: Thresholds) -> bool {
        let word = |word: &&str| {
            seen.liveness == **word || thresholds.before(word) == Some(&seen.liveness)
        };
        self.any_of.iter().any(word) && self.evidence == seen.evidence.as_deref()
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.any_of.join(" or "))?;
        self.evidence
            .map_or(Ok(()), |evidence| write!(f, "/{evidence}"))
    }
}

/// A line of the scenario table about judgements.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    end: End,
    judgement: Judgement,
    detect: Option<Detect>,
    /// How many looks must have found it; 0 where none has to.
    looks: u64,
}

impl End {
    /// This end must be judged so at some moment.
    #[must_use]
    pub const fn is(self, judgement: Judgement) -> Due {
        Due {
            end: self,
            judgement,
            detect: None,
            looks: 1,
        }
    }

    /// This end may be judged so, on its way.
    #[must_use]
    pub const fn may_be(self, judgement: Judgement) -> Due {
        let mut due = self.is(judgement);
        due.looks = 0;
        due
    }
}

impl Due {
    /// With this time to detect while idle, in seconds.
    #[must_use]
    pub const fn found_within(mut self, seconds: u64) -> Self {
        self.detect = Some(Detect::Millis(seconds * 1000));
        self
    }

    /// With no hope that it ever finds its peer dead while idle.
    #[must_use]
    pub const fn never_found(mut self) -> Self {
        self.detect = Some(Detect::Never);
        self
    }

    /// At so many looks.
    #[must_use]
    pub const fn looks(mut self, looks: u64) -> Self {
        self.looks = looks;
        self
    }

    fn is_met_by(&self, seen: &Seen, thresholds: Thresholds) -> bool {
        seen.end == self.end && self.judgement.is_met_by(seen, thresholds)
    }
}
