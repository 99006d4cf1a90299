//! Why a filter cannot be understood, in a sentence a person can act on.
//!
//! # Invariants
//! What was typed is shown escaped: it may have come from elsewhere.

use std::fmt;

/// How much of a word is repeated.
const LONGEST: usize = 60;

/// Why a filter cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    /// Where it is, in characters from 1; one beyond the last where something is missing at the end.
    pub position: usize,
    /// The word in question; `None` at the end.
    pub word: Option<String>,
    /// What is wrong, and what may stand there.
    pub problem: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            position,
            word,
            problem,
        } = self;
        match word {
            Some(word) => {
                let mut short: String = word.chars().take(LONGEST).collect();
                if short.len() < word.len() {
                    short.push('…');
                }
                write!(f, "filter, at {short:?} (character {position}): {problem}")
            }
            None => write!(f, "filter, at its end: {problem}"),
        }
    }
}
