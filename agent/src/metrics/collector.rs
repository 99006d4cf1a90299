//! A `prometheus` collector of constant values: the series are exactly those of one reading.
//! It must never keep a value between readings: what is gone from the reading is gone.

use std::{collections::HashMap, sync::Arc};

use prometheus::{
    core::{Collector, Desc},
    proto,
};

use super::{Kind, Metric};

/// Some metrics of a table, read from one `state`.
pub struct ConstCollector<S: 'static> {
    metrics: Vec<&'static Metric<S>>,
    descriptions: Vec<Desc>,
    state: Arc<S>,
}

impl<S> ConstCollector<S> {
    /// A collector of one reading.
    ///
    /// # Errors
    /// When a declaration holds a name, label or help that Prometheus does not accept.
    pub fn new(metrics: Vec<&'static Metric<S>>, state: Arc<S>) -> Result<Self, prometheus::Error> {
        let describe = |metric: &&Metric<S>| {
            let labels = metric.labels.iter().map(ToString::to_string).collect();
            Desc::new(
                metric.name.into(),
                metric.help.into(),
                labels,
                HashMap::new(),
            )
        };
        Ok(Self {
            descriptions: metrics.iter().map(describe).collect::<Result<_, _>>()?,
            metrics,
            state,
        })
    }
}

impl<S: Send + Sync> Collector for ConstCollector<S> {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        self.metrics
            .iter()
            .filter_map(|metric| family(metric, &self.state))
            .collect()
    }
}

fn family<S>(metric: &Metric<S>, state: &S) -> Option<proto::MetricFamily> {
    let mut series = Series {
        kind: metric.kind,
        labels: metric.labels,
        metrics: Vec::new(),
    };
    (metric.read)(state, &mut series);
    if series.metrics.is_empty() {
        return None;
    }
    let mut family = proto::MetricFamily::default();
    family.set_name(metric.name.into());
    family.set_help(metric.help.into());
    family.set_field_type(match metric.kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge => proto::MetricType::GAUGE,
        Kind::Histogram => proto::MetricType::HISTOGRAM,
    });
    family.set_metric(series.metrics);
    Some(family)
}

/// The series of one metric, as they are read.
pub struct Series {
    kind: Kind,
    labels: &'static [&'static str],
    metrics: Vec<proto::Metric>,
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
        let mut metric = self.labelled(values);
        match self.kind {
            Kind::Histogram => return debug_assert!(false, "a histogram has no one value"),
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.metrics.push(metric);
    }

    /// Adds a histogram: the number of values up to each bound and not up to the one before, of those
    /// above all bounds last, and the sum of all values.
    pub fn histogram<const N: usize>(
        &mut self,
        values: [&str; N],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        debug_assert_eq!(counts.len(), bounds.len() + 1, "the last has no bound");
        let mut metric = self.labelled(values);
        let mut histogram = proto::Histogram::default();
        let mut cumulative = 0;
        let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
            cumulative += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    fn labelled<const N: usize>(&self, values: [&str; N]) -> proto::Metric {
        debug_assert_eq!(N, self.labels.len(), "one value for each label");
        let mut metric = proto::Metric::default();
        let pairs = self.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).into());
            pair.set_value(value.into());
            pair
        });
        metric.set_label(pairs.collect());
        metric
    }
}
