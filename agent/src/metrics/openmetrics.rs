//! OpenMetrics 1.0.0, the text format that Prometheus asks for first.
//! It must never write what the specification's grammar does not allow, whatever stands in a label.

use std::fmt::{self, Write};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// The exposition of `families`, whose names are those of text format 0.0.4; `unit` knows the unit of a
/// name. No timestamps, no exemplars, and no `_created`: the agent does not know when a series began.
pub fn write(families: &[MetricFamily], unit: impl Fn(&str) -> Option<&'static str>) -> String {
    let mut out = String::new();
    for family in families {
        let unit = unit(family.name());
        // Writing to a string fails only if it cannot grow, and then all ends.
        let _ = write_family(&mut out, family, unit);
    }
    out.push_str("# EOF\n");
    out
}

fn write_family(out: &mut String, family: &MetricFamily, unit: Option<&str>) -> fmt::Result {
    // A counter's family has the name without the suffix that its samples must have.
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => (stem(family.name()), "counter"),
        MetricType::HISTOGRAM => (family.name(), "histogram"),
        _ => (family.name(), "gauge"),
    };
    writeln!(out, "# HELP {name} {}", Escaped(family.help()))?;
    writeln!(out, "# TYPE {name} {kind}")?;
    let is_suffix = |unit: &&str| {
        let stem = name.strip_suffix(unit);
        stem.is_some_and(|stem| stem.ends_with('_'))
    };
    if let Some(unit) = unit.filter(is_suffix) {
        writeln!(out, "# UNIT {name} {unit}")?;
    }
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::COUNTER => {
                let value = metric.get_counter().get_value();
                write_sample(out, [name, "_total"], labels, None, value)?;
            }
            MetricType::HISTOGRAM => write_histogram(out, name, metric)?,
            _ => write_sample(
                out,
                [name, ""],
                labels,
                None,
                metric.get_gauge().get_value(),
            )?,
        }
    }
    Ok(())
}

fn stem(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

fn write_histogram(out: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    let count = histogram.get_sample_count() as f64;
    for bucket in histogram.get_bucket() {
        let bound = Some(bucket.upper_bound());
        let count = bucket.cumulative_count() as f64;
        write_sample(out, [name, "_bucket"], labels, bound, count)?;
    }
    write_sample(out, [name, "_bucket"], labels, Some(f64::INFINITY), count)?;
    write_sample(out, [name, "_count"], labels, None, count)?;
    write_sample(
        out,
        [name, "_sum"],
        labels,
        None,
        histogram.get_sample_sum(),
    )
}

fn write_sample(
    out: &mut String,
    [name, suffix]: [&str; 2],
    labels: &[LabelPair],
    bound: Option<f64>,
    value: f64,
) -> fmt::Result {
    write!(out, "{name}{suffix}")?;
    let mut before = '{';
    for label in labels {
        write!(
            out,
            "{before}{}=\"{}\"",
            label.name(),
            Escaped(label.value())
        )?;
        before = ',';
    }
    if let Some(bound) = bound {
        write!(out, "{before}le=\"{}\"", Bound(bound))?;
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    // A whole number stands without a point, as the specification would have it of counts.
    writeln!(out, " {value}")
}

/// A bucket's bound as the specification would have all write it: always with a point.
struct Bound(f64);

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_infinite() {
            f.write_str("+Inf")
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

/// An `escaped-string` of the grammar.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
