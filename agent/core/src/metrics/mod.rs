//! Prometheus metrics: each is declared once, with its help, labels and how it is read.

pub mod cardinality;
mod collector;
mod connections;
mod deaths;
mod declared;
mod group_labels;
mod handshakes;
mod labels;
pub mod openmetrics;
mod process;
mod scrapes;
mod sections;
mod suspects;
mod table;
mod trust;

use std::sync::Arc;

pub use collector::{Family, Sample, SampleValue, Series};
use connections::CONNECTIONS;
pub(crate) use connections::{ACCEPT_QUEUE_GAUGES, PORT_GAUGES};
pub use declared::{Declared, declared};
use handshakes::HANDSHAKES;
pub use labels::{LABELS, Label, MOST_HOOKS, Values, values};
use process::PROCESS;
pub use process::Process;
use scrapes::SCRAPES;
pub use scrapes::{CODES, Scrapes};
pub use sections::{NoSuchSection, Section, Sections};
use table::TABLE;
use trust::TRUST;

use crate::model::snapshot::Snapshot;

/// The tables of all that is read from a snapshot.
const OF_SNAPSHOT: [&[Metric<Snapshot>]; 4] = [TABLE, HANDSHAKES, TRUST, CONNECTIONS];

/// One metric: everything there is to know about it, in one place.
pub struct Metric<S: 'static> {
    /// Its name, spelled nowhere else.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What is measured or counted: a base unit, or the things themselves.
    pub unit: &'static str,
    /// What it is about; what it is asked for by.
    pub section: Section,
    /// What it counts, for a reader who knows TCP but not halfopen.
    pub help: &'static str,
    /// Names of its labels, in the order in which `read` gives their values.
    pub labels: &'static [&'static str],
    /// A question that it answers.
    pub question: &'static str,
    /// The PromQL that answers it; `METRIC` stands for the name.
    pub query: &'static str,
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
    /// Counts by bucket, with these upper bounds and one bucket above all.
    Histogram(&'static [u32]),
}

impl Kind {
    /// The word of the exposition formats.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    /// Series of one set of labels: of a histogram each bucket, the sum and the count.
    #[must_use]
    pub const fn series(self) -> usize {
        match self {
            Self::Counter | Self::Gauge => 1,
            Self::Histogram(bounds) => bounds.len() + 3,
        }
    }
}

/// What metrics are written of.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// What the agent knows.
    pub snapshot: Arc<Snapshot>,
    /// The agent's own process, where it could be read.
    pub process: Option<Process>,
    /// Answers to scrapes, where there are any.
    pub scrapes: Option<Scrapes>,
}

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The Content-Type of what [`write`] returns.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// These sections of the metrics, in the order of their names.
#[must_use]
pub fn families(readings: &Readings, sections: Sections) -> Vec<Family> {
    let mut families = Vec::new();
    for table in OF_SNAPSHOT {
        families.extend(read(table, sections, &*readings.snapshot));
    }
    if let Some(process) = &readings.process {
        families.extend(read(PROCESS, sections, process));
    }
    if let Some(scrapes) = &readings.scrapes {
        families.extend(read(SCRAPES, sections, scrapes));
    }
    families.sort_by_key(|family| family.name);
    families
}

fn read<S>(
    table: &'static [Metric<S>],
    sections: Sections,
    state: &S,
) -> impl Iterator<Item = Family> {
    table
        .iter()
        .filter(move |metric| sections.contain(metric.section))
        .filter_map(move |metric| collector::family(metric, state))
}
