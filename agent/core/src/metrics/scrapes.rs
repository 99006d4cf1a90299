//! How the agent answers those who scrape it.
//!
//! # Invariants
//! No label holds what a scraper could choose freely.

use std::time::Duration;

use super::{Kind, Metric, Section};

/// Status codes of answers to scrapes: 400 for a wrong question, 500 where the metrics cannot be
/// written, 503 where there is no snapshot in time or there are too many scrapes.
pub const CODES: [u16; 4] = [200, 400, 500, 503];

/// Answers to scrapes since the agent began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrapes {
    /// Those answered, by code, in the order of [`CODES`].
    pub answered: [u64; CODES.len()],
    /// Bytes of bodies written as they are.
    pub plain_bytes: u64,
    /// Bytes of bodies written with gzip.
    pub gzip_bytes: u64,
    /// Those that wait for their answer now.
    pub in_flight: u64,
    /// How long it took to take the snapshot that is shown.
    pub snapshot_duration: Option<Duration>,
}

/// The metrics of scrapes.
pub const SCRAPES: &[Metric<Scrapes>] = &[
    Metric {
        name: "halfopen_scrapes_total",
        kind: Kind::Counter,
        unit: "scrapes",
        section: Section::Scrapes,
        help: "Scrapes answered, by HTTP status code.",
        labels: &["code"],
        question: "Do scrapes fail?",
        query: r#"sum by (instance, code) (increase(METRIC{code!="200"}[5m])) > 0"#,
        read: |scrapes, out| {
            for (code, count) in CODES.iter().zip(scrapes.answered) {
                out.count([&code.to_string()], count);
            }
        },
    },
    Metric {
        name: "halfopen_scrapes_in_flight",
        kind: Kind::Gauge,
        unit: "scrapes",
        section: Section::Scrapes,
        help: "Scrapes in progress, including this one; limited by --web.max-requests.",
        labels: &[],
        question: "Are there more scrapes than the agent can answer?",
        query: "max by (instance) (max_over_time(METRIC[5m]))",
        read: |scrapes, out| out.count([], scrapes.in_flight),
    },
    Metric {
        name: "halfopen_scrape_body_bytes_total",
        kind: Kind::Counter,
        unit: "bytes",
        section: Section::Scrapes,
        help: "Bytes of response bodies sent to scrapers, as encoded.",
        labels: &["encoding"],
        question: "How many bytes a second do scrapes take on the wire?",
        query: "sum by (instance, encoding) (rate(METRIC[5m]))",
        read: |scrapes, out| {
            out.count(["gzip"], scrapes.gzip_bytes);
            out.count(["identity"], scrapes.plain_bytes);
        },
    },
    Metric {
        name: "halfopen_snapshot_duration_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        section: Section::Scrapes,
        help: "Time to take the snapshot shown by this scrape.",
        labels: &[],
        question: "What makes scrapes slow?",
        query: "max by (instance) (METRIC)",
        read: |scrapes, out| {
            if let Some(duration) = scrapes.snapshot_duration {
                out.add([], duration.as_secs_f64());
            }
        },
    },
];
