//! OpenMetrics 1.0.0, the text format that Prometheus asks for first.
//!
//! # Invariants
//! Nothing is written that the specification's grammar does not allow, whatever stands in a label.

use std::fmt::{self, Write};

use super::{
    Kind,
    collector::{Family, Sample, SampleValue},
};

/// The exposition of `families`. No timestamps, no exemplars, and no `_created`: the agent does not know when
/// a series began.
#[must_use]
pub fn write(families: &[Family]) -> String {
    let mut out = String::new();
    for family in families {
        // Writing to a string fails only if it cannot grow, and then all ends.
        let _ = write_family(&mut out, family);
    }
    out.push_str("# EOF\n");
    out
}

fn write_family(out: &mut String, family: &Family) -> fmt::Result {
    // A counter's family has the name without the suffix that its samples must have.
    let (name, suffix) = match family.kind {
        Kind::Counter => (stem(family.name), "_total"),
        Kind::Gauge | Kind::Histogram(_) => (family.name, ""),
    };
    writeln!(out, "# HELP {name} {}", Escaped(family.help))?;
    writeln!(out, "# TYPE {name} {}", family.kind.as_str())?;
    let stem = name.strip_suffix(family.unit);
    if stem.is_some_and(|stem| stem.ends_with('_')) {
        writeln!(out, "# UNIT {name} {}", family.unit)?;
    }
    for sample in &family.samples {
        let labels = (family.labels, sample);
        match &sample.value {
            SampleValue::Number(value) => write_sample(out, [name, suffix], labels, None, *value)?,
            SampleValue::Histogram {
                buckets,
                count,
                sum,
            } => {
                let last = (f64::INFINITY, *count);
                for (bound, count) in buckets.iter().copied().chain([last]) {
                    write_sample(out, [name, "_bucket"], labels, Some(bound), count as f64)?;
                }
                write_sample(out, [name, "_count"], labels, None, *count as f64)?;
                write_sample(out, [name, "_sum"], labels, None, *sum)?;
            }
        }
    }
    Ok(())
}

fn stem(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

fn write_sample(
    out: &mut String,
    [name, suffix]: [&str; 2],
    (names, sample): (&[&str], &Sample),
    bound: Option<f64>,
    value: f64,
) -> fmt::Result {
    write!(out, "{name}{suffix}")?;
    let mut before = '{';
    for (name, value) in names.iter().zip(&sample.labels) {
        write!(out, "{before}{name}=\"{}\"", Escaped(value))?;
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
