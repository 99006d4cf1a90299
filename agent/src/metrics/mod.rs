//! Prometheus metrics: each is declared once, with its help, labels and how it is read.
//! It must never ask the kernel, a file or a clock: all it knows is the value it is given.

mod collector;
mod connections;
mod ends;
mod process;
mod table;

use std::sync::Arc;

pub use collector::{ConstCollector, Series};
pub use connections::CONNECTIONS;
pub use process::{PROCESS, Process};
use prometheus::{Registry, TextEncoder};
pub use table::TABLE;

use crate::model::snapshot::Snapshot;

/// The Content-Type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One metric: everything there is to know about it, in one place.
pub struct Metric<S: 'static> {
    /// Its name, spelled nowhere else.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What it counts, for a reader who knows TCP but not halfopen.
    pub help: &'static str,
    /// Names of its labels, in the order in which `read` gives their values.
    pub labels: &'static [&'static str],
    /// Adds its series; adds none where the value is unknown.
    pub read: fn(&S, &mut Series),
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the agent runs.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

/// The exposition (text format 0.0.4) of a snapshot and, where known, of the agent's own process.
///
/// # Errors
/// When a declaration breaks a rule of the format, such as a name declared twice.
pub fn text(
    snapshot: Arc<Snapshot>,
    process: Option<Process>,
) -> Result<String, prometheus::Error> {
    let registry = Registry::new();
    for table in [TABLE, CONNECTIONS] {
        let collector = ConstCollector::new(table, Arc::clone(&snapshot))?;
        registry.register(Box::new(collector))?;
    }
    if let Some(process) = process {
        registry.register(Box::new(ConstCollector::new(PROCESS, Arc::new(process))?))?;
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}
