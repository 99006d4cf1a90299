//! What a list has to show although it is not worth worrying about: what its filter names.
//!
//! Addresses, ports and owners say whose connections are meant; how one fares is left to the list. States,
//! verdicts, times and sizes say how it fares: whoever writes `state close-wait` or `idle < 1m` wants to see those.
//!
//! # Invariants
//! What a filter denies it does not name: `not state established` and `exclude established` only narrow.

use super::{Expression, Filter, condition::Condition, condition::Facts, condition::Truth};
use crate::model::assessed::Assessed;

impl Filter {
    /// Whether a list shows a connection that matches: it is worth worrying about, or a condition that holds for it
    /// names it.
    #[must_use]
    pub fn shows(&self, assessed: &Assessed) -> bool {
        assessed.is_noteworthy()
            || self.0.names(Facts {
                assessed,
                event: None,
            })
    }

    /// Whether it names everything that it matches: then a list leaves none of it out.
    #[must_use]
    pub fn names_all(&self) -> bool {
        self.0.always_names()
    }
}

impl Expression {
    fn names(&self, facts: Facts<'_>) -> bool {
        match self {
            Self::All(all) => all.iter().any(|each| each.names(facts)),
            // Only the alternatives that hold say anything of this connection.
            Self::Any(any) => any
                .iter()
                .any(|each| each.truth(facts) == Truth::Yes && each.names(facts)),
            Self::Not(_) => false,
            Self::Is(condition) => condition.names(),
        }
    }

    fn always_names(&self) -> bool {
        match self {
            Self::All(all) => all.iter().any(Self::always_names),
            Self::Any(any) => any.iter().all(Self::always_names),
            Self::Not(_) => false,
            Self::Is(condition) => condition.names(),
        }
    }
}

impl Condition {
    /// Whether it says how a connection fares, not whose it is.
    const fn names(&self) -> bool {
        match self {
            Self::States(states) => states.are_named(),
            Self::Suspect(_)
            | Self::Zombie
            | Self::Orphan
            | Self::Unguarded
            | Self::Embryonic
            | Self::Unaccepted
            | Self::Stalled
            | Self::ZeroWindow
            | Self::Idle(..)
            | Self::Silent(..)
            | Self::Detect(..)
            | Self::Memory(..)
            | Self::Age(..)
            | Self::BytesSent(..)
            | Self::BytesReceived(..)
            | Self::Cause(_) => true,
            Self::Host(..)
            | Self::Port(..)
            | Self::Cgroup { .. }
            | Self::Owner(_)
            | Self::Netns(..)
            | Self::Uid(..) => false,
        }
    }
}
