//! The series of one reading, as metrics' declarations read them.
//!
//! # Invariants
//! No value is kept between readings: what is gone from the reading is gone from the families.

use super::{Kind, Metric};

/// One metric with all its series at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name in text format 0.0.4: a counter's ends with `_total`.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What is measured or counted.
    pub unit: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Its series, in the order of their labels; never empty.
    pub samples: Vec<Sample>,
}

/// One series' value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels' values, in the order of [`Family::labels`].
    pub labels: Vec<String>,
    /// What was read.
    pub value: SampleValue,
}

/// A value, by the type of its metric.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// Upper bounds, each with the number of values up to it: cumulative.
        buckets: Vec<(f64, u64)>,
        /// The number of all values.
        count: u64,
        /// The sum of all values.
        sum: f64,
    },
}

/// What one metric reads from `state`; `None` where it has no series.
pub fn family<S>(metric: &Metric<S>, state: &S) -> Option<Family> {
    let mut series = Series {
        kind: metric.kind,
        labels: metric.labels,
        samples: Vec::new(),
    };
    (metric.read)(state, &mut series);
    if series.samples.is_empty() {
        return None;
    }
    series.samples.sort_by(|a, b| a.labels.cmp(&b.labels));
    Some(Family {
        name: metric.name,
        help: metric.help,
        kind: metric.kind,
        unit: metric.unit,
        labels: metric.labels,
        samples: series.samples,
    })
}

/// The series of one metric, as they are read.
pub struct Series {
    kind: Kind,
    labels: &'static [&'static str],
    samples: Vec<Sample>,
}

impl Series {
    /// Adds a count with the values of the metric's labels.
    pub fn count<const N: usize>(&mut self, values: [&str; N], count: u64) {
        // Prometheus has no integers; above 2^53 a count is rounded, which no counter here reaches.
        self.add(values, count as f64);
    }

    /// Adds a value with the values of the metric's labels; of a histogram there is no one value.
    /// What is no number is unknown: it adds nothing.
    pub fn add<const N: usize>(&mut self, values: [&str; N], value: f64) {
        if value.is_nan() {
            return;
        }
        if matches!(self.kind, Kind::Histogram(_)) {
            return debug_assert!(false, "a histogram has no one value");
        }
        self.push(values, SampleValue::Number(value));
    }

    /// Adds a histogram: the number of values up to each of the metric's bounds and not up to the one
    /// before, of those above all bounds last, and the sum of all values.
    pub fn histogram<const N: usize>(&mut self, values: [&str; N], counts: &[u64], sum: f64) {
        let Kind::Histogram(bounds) = self.kind else {
            return debug_assert!(false, "only a histogram has buckets");
        };
        debug_assert_eq!(counts.len(), bounds.len() + 1, "the last has no bound");
        let mut cumulative = 0;
        let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
            cumulative += count;
            (f64::from(*bound), cumulative)
        });
        let value = SampleValue::Histogram {
            buckets: buckets.collect(),
            count: counts.iter().sum(),
            sum,
        };
        self.push(values, value);
    }

    fn push<const N: usize>(&mut self, values: [&str; N], value: SampleValue) {
        debug_assert_eq!(N, self.labels.len(), "one value for each label");
        self.samples.push(Sample {
            labels: values.map(str::to_owned).to_vec(),
            value,
        });
    }
}
