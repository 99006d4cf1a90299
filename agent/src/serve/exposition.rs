//! The metrics as a scraper reads them: text format 0.0.4 by the `prometheus` crate, or OpenMetrics.

use halfopen_core::metrics::{
    self, Family, Format, Kind, Readings, SampleValue, Sections, openmetrics,
};
use prometheus::{TextEncoder, proto};

/// The exposition of these sections of the metrics.
///
/// # Errors
/// When a declaration breaks a rule of the format.
pub fn write(
    readings: &Readings,
    sections: Sections,
    format: Format,
) -> Result<String, prometheus::Error> {
    let families = metrics::families(readings, sections);
    match format {
        Format::Text => {
            let families: Vec<_> = families.iter().map(encoded).collect();
            TextEncoder::new().encode_to_string(&families)
        }
        Format::OpenMetrics => Ok(openmetrics::write(&families)),
    }
}

fn encoded(family: &Family) -> proto::MetricFamily {
    let mut encoded = proto::MetricFamily::default();
    encoded.set_name(family.name.into());
    encoded.set_help(family.help.into());
    encoded.set_field_type(match family.kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge => proto::MetricType::GAUGE,
        Kind::Histogram(_) => proto::MetricType::HISTOGRAM,
    });
    let samples = family.samples.iter().map(|sample| {
        let mut metric = proto::Metric::default();
        let pairs = family.labels.iter().zip(&sample.labels);
        metric.set_label(pairs.map(|(name, value)| pair(name, value)).collect());
        set_value(&mut metric, family.kind, &sample.value);
        metric
    });
    encoded.set_metric(samples.collect());
    encoded
}

fn pair(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.into());
    pair.set_value(value.into());
    pair
}

fn set_value(metric: &mut proto::Metric, kind: Kind, value: &SampleValue) {
    match value {
        SampleValue::Number(value) if kind == Kind::Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(*value);
            metric.set_counter(counter);
        }
        SampleValue::Number(value) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        SampleValue::Histogram {
            buckets,
            count,
            sum,
        } => {
            let buckets = buckets.iter().map(|(bound, cumulative)| {
                let mut bucket = proto::Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(*cumulative);
                bucket
            });
            let mut histogram = proto::Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_count(*count);
            histogram.set_sample_sum(*sum);
            metric.set_histogram(histogram);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use halfopen_core::metrics::declared;
    use prometheus::core::Desc;

    #[test]
    fn prometheus_accepts_every_declaration_and_no_name_stands_twice() {
        let mut names = BTreeSet::new();
        for metric in declared() {
            let labels = metric.labels.iter().map(ToString::to_string).collect();
            let described = Desc::new(
                metric.name.into(),
                metric.help.into(),
                labels,
                HashMap::new(),
            );
            assert!(described.is_ok(), "{}: {described:?}", metric.name);
            assert!(names.insert(metric.name), "{} stands twice", metric.name);
        }
        assert!(names.len() > 40, "{}", names.len());
    }
}
