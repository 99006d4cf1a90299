//! One row: what was expected, counted and judged of one scenario, each time that it was played.

use std::{collections::BTreeMap, mem};

use serde::Serialize;
use serde_json::Value;

use crate::{
    Error,
    classify::{assessment::Assessment, expectations::OPEN, observed::ObservedLiveness},
    net::end::End,
};

/// One line of the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportRow {
    /// Number and variant, or `totals`, or `sockets`.
    pub scenario: String,
    /// What happens in it.
    pub title: String,
    /// `ipv4`, `ipv6` or `ipv4-mapped`.
    pub family: &'static str,
    /// `second` where the client sits in a second namespace.
    pub namespace: &'static str,
    /// What the agent must have counted.
    pub expected: BTreeMap<String, Value>,
    /// What it counted.
    pub counted: BTreeMap<String, Value>,
    /// What the kernel counted.
    pub kernel: BTreeMap<String, Value>,
    /// How long it took, in milliseconds; nothing for what is no scenario.
    pub played_ms: Option<u64>,
    /// The longest that a processor was late by meanwhile, in milliseconds, where it was late (see
    /// [`pace`](crate::observe::pace)).
    pub late_ms: Option<u64>,
    /// What was wrong each time it was played before: it is played again where the machine was late.
    pub earlier: Vec<EarlierPlay>,
    /// Its verdicts on the connection while the scenario was played.
    pub judged: Vec<ObservedLiveness>,
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Whether it could not be played.
    pub skipped: bool,
    /// What is wrong, or missing but accounted for, or why it was skipped.
    pub why: String,
    #[serde(skip)]
    pub(super) short: bool,
}

impl ReportRow {
    pub(crate) fn totals(assessment: Assessment) -> Self {
        Self::new(
            "totals".to_owned(),
            "all of the lab's namespaces together".to_owned(),
            assessment,
        )
    }

    pub(crate) fn sockets(assessment: Assessment) -> Self {
        Self::new(
            "sockets".to_owned(),
            "sockets left in the lab's namespaces, by state".to_owned(),
            assessment,
        )
    }

    /// It could not be played.
    pub(crate) fn skip(&mut self, why: &str) {
        (self.ok, self.skipped, self.why) = (true, true, why.to_owned());
    }

    /// Whether it may be the machine that is at fault.
    pub(crate) const fn is_to_be_played_again(&self) -> bool {
        !self.ok && self.late_ms.is_some()
    }

    /// It was played again, which gave `next`.
    pub(crate) fn replace(&mut self, mut next: Self) {
        let why = mem::take(&mut self.why);
        let late_ms = self.late_ms.unwrap_or_default();
        next.earlier = mem::take(&mut self.earlier);
        next.earlier.push(EarlierPlay { late_ms, why });
        *self = next;
    }

    /// It was not played to its end.
    pub(crate) fn fail(&mut self, error: &Error) {
        (self.ok, self.why) = (false, error.to_string());
    }

    pub(crate) fn new(scenario: String, title: String, assessment: Assessment) -> Self {
        let Assessment {
            expected,
            counted,
            kernel,
            judged,
            wrong,
            short,
        } = assessment;
        Self {
            scenario,
            title,
            family: "",
            namespace: "",
            expected,
            counted,
            kernel,
            played_ms: None,
            late_ms: None,
            earlier: Vec::new(),
            judged,
            ok: wrong.is_empty(),
            skipped: false,
            short: !short.is_empty(),
            why: [wrong, short].concat().join("; "),
        }
    }

    /// What was expected, then what was counted in the same order.
    pub(super) fn cells(&self) -> [String; 2] {
        let zero = Value::from(0);
        let (mut expected, mut counted) = (String::new(), String::new());
        let mut side = None;
        for (key, must) in &self.expected {
            let count = self.counted.get(key).unwrap_or(&zero);
            if *count == zero && (*must == zero || *must == OPEN) {
                continue;
            }
            let (this, name) = key.split_once(' ').unwrap_or(("", key));
            if !expected.is_empty() {
                expected.push_str(if side == Some(this) { ", " } else { "; " });
                counted.push(' ');
            }
            if side != Some(this) && !this.is_empty() {
                expected.push_str(this);
                expected.push_str(": ");
            }
            side = Some(this);
            let must = must
                .as_str()
                .map_or_else(|| must.to_string(), str::to_owned);
            expected.push_str(&format!("{name} {must}"));
            counted.push_str(&count.to_string());
        }
        if expected.is_empty() {
            return ["nothing".to_owned(), "nothing".to_owned()];
        }
        [expected, counted]
    }

    /// Each end's verdicts, in the order of first sight.
    pub(super) fn verdicts(&self) -> String {
        let mut ends: BTreeMap<End, Vec<String>> = BTreeMap::new();
        for seen in &self.judged {
            ends.entry(seen.end).or_default().push(seen.word());
        }
        let ends = ends
            .iter()
            .map(|(end, words)| format!("{}: {}", end.as_str(), words.join(", ")));
        ends.collect::<Vec<_>>().join("; ")
    }

    pub(super) fn word(&self) -> &'static str {
        match self {
            Self { skipped: true, .. } => "skipped",
            Self { ok: false, .. } => "FAILED",
            Self { short: true, .. } => "short",
            _ => "ok",
        }
    }
}

/// A play of a scenario that does not count, since the machine was late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EarlierPlay {
    /// By how much at most, in milliseconds.
    pub late_ms: u64,
    /// What was wrong.
    pub why: String,
}
