//! All that is declared, without the ways to read it: for documentation, and to hold other texts against.
//!
//! # Invariants
//! A metric's name, help and type stand in its declaration alone.

use super::{Kind, Metric, OF_SNAPSHOT, PROCESS, SCRAPES, Section};

/// What stands for a metric's name in its query.
const PLACEHOLDER: &str = "METRIC";

/// One metric as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name, as text format 0.0.4 and PromQL have it.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What is measured or counted: a base unit, or the things themselves.
    pub unit: &'static str,
    /// What it is asked for by.
    pub section: Section,
    /// What it counts.
    pub help: &'static str,
    /// Names of its labels, without the `le` of a histogram's buckets.
    pub labels: &'static [&'static str],
    /// A question that it answers.
    pub question: &'static str,
    query: &'static str,
}

impl Declared {
    /// The PromQL that answers the question.
    #[must_use]
    pub fn query(&self) -> String {
        self.query.replace(PLACEHOLDER, self.name)
    }

    /// Names of its series, as they stand in queries: of a histogram there are three.
    #[must_use]
    pub fn series(&self) -> Vec<String> {
        let suffixes: &[&str] = match self.kind {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Histogram(_) => &["_bucket", "_sum", "_count"],
        };
        let series = suffixes
            .iter()
            .map(|suffix| format!("{}{suffix}", self.name));
        series.collect()
    }
}

/// Every metric, in the order of sections, and in each as declared.
#[must_use]
pub fn declared() -> Vec<Declared> {
    let mut all: Vec<_> = all().collect();
    all.sort_by_key(|metric| metric.section);
    all
}

fn all() -> impl Iterator<Item = Declared> {
    let of_snapshot = OF_SNAPSHOT.into_iter().flatten().map(declaration);
    let own = PROCESS.iter().map(declaration);
    of_snapshot
        .chain(own)
        .chain(SCRAPES.iter().map(declaration))
}

fn declaration<S>(metric: &Metric<S>) -> Declared {
    Declared {
        name: metric.name,
        kind: metric.kind,
        unit: metric.unit,
        section: metric.section,
        help: metric.help,
        labels: metric.labels,
        question: metric.question,
        query: metric.query,
    }
}
