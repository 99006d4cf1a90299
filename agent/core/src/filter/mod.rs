//! FILTER: which connections are meant, in the grammar of `ss` and a few words of halfopen's own.
//!
//! ```text
//! filter    = [ states [ "and" ] ] [ or ]        states at the front hold for the whole filter
//! or        = and { ( "or" | "||" | "|" ) and }
//! and       = not { [ "and" | "&&" | "&" ] not } conditions side by side must all hold
//! not       = { "not" | "!" } ( "(" or ")" | condition )
//! condition = states
//!           | ( "src" | "dst" ) [ = | != ] HOST
//!           | ( "sport" | "dport" ) [ COMPARISON ] PORT
//!           | "cgroup" [ = | != ] PATH
//!           | "owner" [ = | != ] GLOB | "netns" [ COMPARISON ] N | "uid" [ COMPARISON ] N
//!           | "suspect" [ "keepalive" | "retransmission" | "window-probe" | "local-send-failure" ]
//!           | "zombie" | "orphan" | "unguarded" | "embryonic" | "unaccepted" | "stalled" | "zero-window"
//!           | ( "idle" | "silent" ) COMPARISON DURATION | "memory" COMPARISON SIZE
//!           | "detect" ( COMPARISON DURATION | [ = | != ] "never" )
//!           | "age" COMPARISON DURATION | ( "bytes-sent" | "bytes-received" ) COMPARISON SIZE
//!           | "cause" [ = | != ] CAUSE
//! states    = ( "state" | "exclude" ) STATE { ( "state" | "exclude" ) STATE }
//! ```
//!
//! Facts may be unknown, so conditions have three values: they hold, do not hold, or cannot be determined.
//! What cannot be determined stays so under `not`; a connection matches only if the whole surely holds.
//! `idle > 1h` and `not idle > 1h` therefore both leave out a connection whose idle time is unknown.
//!
//! A list without `--all` shows what is worth worrying about, and what its filter names: a state, a verdict,
//! a time or a size. One rule says what names ([`Filter::shows`]).
//!
//! Some words are facts of events, such as `cause`, others of connections that live, such as `suspect`: see
//! [`Subject`].
//!
//! Words end at blanks, parentheses and operators (`dport>=1024` needs no blanks); a backslash before
//! one of these, or before a backslash, takes away its meaning.
//!
//! # Invariants
//! A filter reads no files and resolves no names.

mod condition;
mod error;
mod host;
mod lexer;
mod naming;
mod parser;
mod sentences;
mod subject;
#[cfg(test)]
mod tests;
mod value;

use std::time::Duration;

pub use error::FilterError;
pub use subject::Subject;

use crate::model::{assessed::Assessed, event::Event, liveness::Thresholds};
use condition::{Condition, Facts, Truth};

/// Which connections are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Expression);

/// Conditions and how they are joined. Only `Not`, and parentheses, nest: the parser bounds both.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    /// All hold; without any it always holds.
    All(Vec<Self>),
    /// At least one holds.
    Any(Vec<Self>),
    Not(Box<Self>),
    Is(Condition),
}

/// The filter that everything passes.
impl Default for Filter {
    fn default() -> Self {
        Self(Expression::All(Vec::new()))
    }
}

impl Filter {
    /// Parses a filter of events; an empty one lets everything pass.
    ///
    /// # Errors
    /// When it is no filter: the error names the word, its position, and what may stand there.
    pub fn parse(typed: &str) -> Result<Self, FilterError> {
        Self::parse_for(Subject::Event, typed)
    }

    /// Parses a filter of something else.
    ///
    /// # Errors
    /// As for [`Filter::parse`], and when a word means nothing of this subject.
    pub fn parse_for(subject: Subject, typed: &str) -> Result<Self, FilterError> {
        parser::parse(subject, typed).map(Self)
    }

    /// Parses the words of a command line; as with `ss`, quoting several as one makes no difference.
    ///
    /// # Errors
    /// As for [`Filter::parse_for`]; positions count in the words with one blank between them.
    pub fn of_words(subject: Subject, words: &[String]) -> Result<Self, FilterError> {
        Self::parse_for(subject, &words.join(" "))
    }

    /// Whether the filter surely holds for this connection.
    #[must_use]
    pub fn matches(&self, assessed: &Assessed) -> bool {
        let facts = Facts {
            assessed,
            event: None,
        };
        self.0.truth(facts) == Truth::Yes
    }

    /// Whether the filter surely holds for an event and what it tells of its connection. How the
    /// connection fares is not told, so words such as `suspect` match no event.
    #[must_use]
    pub fn matches_event(&self, event: &Event) -> bool {
        if self.is_empty() {
            return true;
        }
        let assessed = &Assessed::new(event.connection.clone(), &Thresholds::default());
        let event = Some(event);
        self.0.truth(Facts { assessed, event }) == Truth::Yes
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Finds the ids of the cgroups that stand in the filter by their paths, by way of `id_of`.
    /// Until then a condition on such a cgroup cannot be determined.
    ///
    /// # Errors
    /// The first error of `id_of`.
    pub fn resolve_cgroups<E>(
        &mut self,
        mut id_of: impl FnMut(&str) -> Result<u64, E>,
    ) -> Result<(), E> {
        self.0.resolve_cgroups(&mut id_of)
    }
}

impl Expression {
    fn truth(&self, facts: Facts<'_>) -> Truth {
        match self {
            Self::All(all) => all
                .iter()
                .map(|each| each.truth(facts))
                .min()
                .unwrap_or(Truth::Yes),
            Self::Any(any) => any
                .iter()
                .map(|each| each.truth(facts))
                .max()
                .unwrap_or(Truth::No),
            Self::Not(inner) => !inner.truth(facts),
            Self::Is(condition) => condition.truth(facts),
        }
    }

    fn resolve_cgroups<E>(
        &mut self,
        id_of: &mut impl FnMut(&str) -> Result<u64, E>,
    ) -> Result<(), E> {
        match self {
            Self::All(each) | Self::Any(each) => each
                .iter_mut()
                .try_for_each(|each| each.resolve_cgroups(id_of)),
            Self::Not(inner) => inner.resolve_cgroups(id_of),
            Self::Is(Condition::Cgroup { path, id, .. }) if id.is_none() => {
                *id = Some(id_of(path)?);
                Ok(())
            }
            Self::Is(_) => Ok(()),
        }
    }
}

/// Parses a duration: a whole number and one of `ms s m h d`, such as `5m`.
///
/// # Errors
/// When it is none, or so long that it cannot be held.
pub fn duration(typed: &str) -> Result<Duration, String> {
    value::duration(typed).ok_or_else(|| value::DURATION.to_owned())
}
