//! Connections and what is thought of them, for people and for programs.
//!
//! # Invariants
//! What is unknown is not shown as a figure, and what the walk itself missed is shown.

mod cells;
mod json;
mod layout;
mod sort;
mod text;

pub use json::json;
pub use sort::{Key, Sort};
pub use text::{Options, Text, text};

use super::words::{counted, grouped};
use crate::model::{
    assessed::{Assessed, ReadMethod},
    liveness::Thresholds,
};

/// What is to be shown, and what it was chosen from.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// The connections, in the order in which they are shown.
    pub rows: &'a [Assessed],
    /// Connections found.
    pub total: u64,
    /// Connections that would have been shown, but for a limit.
    pub beyond_limit: u64,
    /// Whether only connections worth worrying about are shown.
    pub noteworthy_only: bool,
    /// Connections left out as not worth worrying about, though a fact is unknown that might have
    /// made them so.
    pub uncertain: u64,
    /// Network namespaces that could not be seen.
    pub unseen_namespaces: u64,
    /// Times the reader lost its place and may have missed a few connections.
    pub incomplete: u64,
    /// Where the facts come from.
    pub source: ReadMethod,
    /// What they were assessed by.
    pub thresholds: Thresholds,
}

/// What has to be said about a report beside its rows, one sentence a line.
fn notes(report: &Report<'_>) -> Vec<String> {
    let shown = report.rows.len();
    let mut notes = Vec::new();
    let mut first = format!(
        "{} of {} shown",
        grouped(u64::try_from(shown).unwrap_or(u64::MAX)),
        counted(report.total, "connection")
    );
    if report.beyond_limit > 0 {
        first += &format!(", {} more beyond --limit", grouped(report.beyond_limit));
    }
    if report.noteworthy_only {
        first += "; without --all, only those worth worrying about";
    }
    notes.push(first);
    if report.uncertain > 0 {
        notes.push(format!(
            "{} left out since a fact is unknown that might have made them worth worrying about; \
             --all shows them",
            counted(report.uncertain, "connection")
        ));
    }
    if report.unseen_namespaces > 0 {
        notes.push(format!(
            "{} could not be seen",
            counted(report.unseen_namespaces, "network namespace")
        ));
    }
    if report.incomplete > 0 {
        notes.push(format!(
            "the reader lost its place {}: a few connections may be missing",
            counted(report.incomplete, "time")
        ));
    }
    notes.extend(report.source.blind_spot().map(str::to_owned));
    notes
}
