//! What works on this kernel and what does not, as a report for people and for programs.
//!
//! # Invariants
//! What is unknown is not shown as absent.

mod json;
mod text;

pub use json::json;
pub use text::text;

use crate::model::{
    coverage::{Availability, Coverage},
    snapshot::Snapshot,
};

/// All that the doctor found out.
#[derive(Debug, Clone)]
pub struct Report {
    /// Version of halfopen.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// Effective user id.
    pub uid: Option<u32>,
    /// The capabilities that matter.
    pub privileges: Vec<Privilege>,
    /// What was found on the machine besides.
    pub facts: Vec<Fact>,
    /// The hooks, attached for a moment; or why none could be.
    pub attached: Result<Snapshot, String>,
}

/// One thing about the machine that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// A short key, for programs.
    pub key: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// What was found, or why it could not be.
    pub found: Result<String, String>,
}

impl Report {
    /// Whether at least one hook attached.
    #[must_use]
    pub fn works(&self) -> bool {
        let attached =
            |snapshot: &Snapshot| snapshot.hooks.iter().any(|hook| hook.mechanism.is_some());
        self.attached.as_ref().is_ok_and(attached)
    }
}

/// A capability that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privilege {
    /// Its name.
    pub name: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
    /// Whether it is effective; `None` where that could not be found out.
    pub held: Option<bool>,
}

/// The kinds of counts, each with whether it can be known.
fn kinds(coverage: &Coverage) -> [(&'static str, &Availability); 10] {
    let Coverage {
        keepalive_probes,
        window_probes,
        retransmission_timeouts,
        resets_received,
        resets_sent,
        netfilter_resets,
        deaths,
        syn_cookies,
        connects_without_port,
        suspects,
    } = coverage;
    [
        ("keepalive_probes", keepalive_probes),
        ("window_probes", window_probes),
        ("retransmission_timeouts", retransmission_timeouts),
        ("resets_received", resets_received),
        ("resets_sent", resets_sent),
        ("netfilter_resets", netfilter_resets),
        ("deaths", deaths),
        ("syn_cookies", syn_cookies),
        ("connects_without_port", connects_without_port),
        ("suspects", suspects),
    ]
}
