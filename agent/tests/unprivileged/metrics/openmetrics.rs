//! The OpenMetrics form, checked by the rules of OpenMetrics 1.0.0.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::fixtures::{
    golden,
    snapshot::{group, rich},
};
use halfopen::serve::exposition;
use halfopen_core::{
    metrics::{Format, Process, Readings, Scrapes, Sections},
    model::{connection::Direction, snapshot::Snapshot},
};

fn write(snapshot: Snapshot, format: Format) -> String {
    let readings = Readings {
        snapshot: Arc::new(snapshot),
        process: Some(Process {
            cpu_seconds: Some(1.5),
            start_seconds: Some(1_700_000_000.25),
            ..Process::default()
        }),
        scrapes: Some(Scrapes::default()),
    };
    exposition::write(&readings, Sections::ALL, format).unwrap()
}

type LabelPairs = Vec<(String, String)>;
/// Name and labels, sorted.
type SeriesKey = (String, LabelPairs);

/// One family: what its descriptors say, and its samples in order.
#[derive(Default)]
struct MetricFamily {
    described: BTreeMap<String, String>,
    samples: Vec<(SeriesKey, f64)>,
}

fn is_name(name: &str) -> bool {
    let first = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == ':');
    first
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// An `escaped-string`; its end is what follows the closing quote, if one is wanted.
fn unescape(text: &str, closes: bool) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if closes => return Ok((out, &text[at + 1..])),
            '"' => return Err(format!("a quote stands free in {text:?}")),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                other => return Err(format!("\\{other:?} is no escape")),
            },
            c => out.push(c),
        }
    }
    if closes {
        Err(format!("no closing quote in {text:?}"))
    } else {
        Ok((out, ""))
    }
}

/// `name{label="value",…} number`, without timestamp or exemplar.
fn sample(line: &str) -> Result<(SeriesKey, f64), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = LabelPairs::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, quoted) = rest.split_once("=\"").ok_or("no label")?;
            let (value, after) = unescape(quoted, true)?;
            if !is_name(label) || label.contains(':') {
                return Err(format!("{label:?} is no name of a label"));
            }
            labels.push((label.to_owned(), value));
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after.strip_prefix('}').ok_or("labels do not end")?;
                    break;
                }
            }
        }
    }
    let number = rest
        .strip_prefix(' ')
        .ok_or("no single space before the value")?;
    if number.is_empty() || number.contains(' ') {
        return Err(format!("{number:?} is more than a value"));
    }
    let value: f64 = number
        .parse()
        .map_err(|_| format!("{number:?} is no number"))?;
    if !is_name(name) {
        return Err(format!("{name:?} is no name"));
    }
    labels.sort();
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("a label stands twice".into());
    }
    Ok(((name.to_owned(), labels), value))
}

/// The families of an exposition, if it keeps the rules.
fn read(text: &str) -> Result<BTreeMap<String, MetricFamily>, String> {
    let body = text
        .strip_suffix("# EOF\n")
        .ok_or("it does not end with # EOF and a line feed")?;
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line before # EOF does not end".into());
    }
    let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in body.split_terminator('\n') {
        let fail = |reason: &str| Err(format!("{reason}: {line}"));
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.splitn(4, ' ');
            let (Some(""), Some(word), Some(name)) = (words.next(), words.next(), words.next())
            else {
                return fail("no descriptor");
            };
            if !["HELP", "TYPE", "UNIT"].contains(&word) || !is_name(name) {
                return fail("no descriptor");
            }
            let Some(what) = words.next() else {
                return fail("it describes nothing");
            };
            let (what, _) = unescape(what, false)?;
            if current.as_deref() != Some(name) {
                if families.contains_key(name) {
                    return fail("the family is in pieces");
                }
                current = Some(name.to_owned());
            }
            let family = families.entry(name.to_owned()).or_default();
            if !family.samples.is_empty() {
                return fail("it stands behind samples");
            }
            if family.described.insert(word.to_owned(), what).is_some() {
                return fail("said twice");
            }
            continue;
        }
        let (key, value) = sample(line).map_err(|reason| format!("{reason}: {line}"))?;
        let Some(family) = current.as_ref() else {
            return fail("no family");
        };
        let suffix = key.0.strip_prefix(family.as_str());
        let family = families.get_mut(family).unwrap();
        let suffixes: &[&str] = match family.described.get("TYPE").map(String::as_str) {
            Some("counter") => &["_total", "_created"],
            Some("gauge") => &[""],
            Some("histogram") => &["_bucket", "_count", "_sum", "_created"],
            _ => return fail("no type that halfopen has"),
        };
        if !suffix.is_some_and(|suffix| suffixes.contains(&suffix)) {
            return fail("it is not of this family");
        }
        family.samples.push((key, value));
    }
    for (name, family) in &families {
        check(name, family).map_err(|reason| format!("{name}: {reason}"))?;
    }
    Ok(families)
}

/// The rules of one family.
fn check(name: &str, family: &MetricFamily) -> Result<(), String> {
    let kind = family.described.get("TYPE").ok_or("no type")?;
    if let Some(unit) = family.described.get("UNIT")
        && !name.ends_with(&format!("_{unit}"))
    {
        return Err(format!("its unit {unit} is no suffix of its name"));
    }
    let keys: BTreeSet<_> = family.samples.iter().map(|(key, _)| key).collect();
    if keys.len() != family.samples.len() {
        return Err("a series stands twice".into());
    }
    for (key, value) in &family.samples {
        if value.is_nan() {
            return Err(format!("{key:?} is NaN"));
        }
        if kind != "gauge" && (*value < 0.0 || value.is_infinite()) {
            return Err(format!("{key:?} counts {value}"));
        }
    }
    if kind == "histogram" {
        check_histogram(family)
    } else {
        Ok(())
    }
}

/// Buckets with their bounds, counts, and the number of sums.
type Point = (Vec<(f64, f64)>, Vec<f64>, usize);

/// Buckets from the lowest to `+Inf`, which all hold what the ones before hold, and a count and a sum.
fn check_histogram(family: &MetricFamily) -> Result<(), String> {
    let mut points: BTreeMap<LabelPairs, Point> = BTreeMap::new();
    let mut latest: Option<LabelPairs> = None;
    for ((name, labels), value) in &family.samples {
        let (bounds, rest): (LabelPairs, LabelPairs) =
            labels.iter().cloned().partition(|(label, _)| label == "le");
        if latest.as_ref() != Some(&rest) && points.contains_key(&rest) {
            return Err(format!("the metric {rest:?} is in pieces"));
        }
        latest = Some(rest.clone());
        let (buckets, counts, sums) = points.entry(rest).or_default();
        if name.ends_with("_bucket") {
            let [(_, bound)] = bounds.as_slice() else {
                return Err("a bucket without le".into());
            };
            // Canonical numbers: +Inf, or with a point, or with an exponent.
            if bound != "+Inf" && !bound.contains(['.', 'e']) {
                return Err(format!("le {bound} is not canonical"));
            }
            buckets.push((bound.parse().map_err(|_| format!("le {bound}"))?, *value));
        } else if name.ends_with("_count") {
            counts.push(*value);
        } else {
            *sums += 1;
        }
    }
    for (labels, (buckets, counts, sums)) in &points {
        let rises = buckets
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let Some(last) = buckets.last().filter(|_| rises) else {
            return Err(format!("buckets of {labels:?} do not rise: {buckets:?}"));
        };
        if last.0 != f64::INFINITY || counts.as_slice() != [last.1] || *sums != 1 {
            return Err(format!(
                "{labels:?}: {last:?}, count {counts:?}, {sums} sums"
            ));
        }
    }
    Ok(())
}

/// Every series of an exposition by its key, with the bound of a bucket as a number.
fn all(families: impl IntoIterator<Item = MetricFamily>) -> BTreeMap<SeriesKey, String> {
    let samples = families.into_iter().flat_map(|family| family.samples);
    let keyed = samples.map(|((name, labels), value)| {
        let labels = labels.into_iter().map(|(label, value)| {
            let bound = value.parse::<f64>().ok().filter(|_| label == "le");
            (label, bound.map_or(value, |bound| format!("{bound}")))
        });
        ((name, labels.collect()), format!("{value}"))
    });
    keyed.collect()
}

/// The samples of text format 0.0.4, whose lines have the same form.
fn plain(text: &str) -> MetricFamily {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    MetricFamily {
        samples: lines.map(|line| sample(line).unwrap()).collect(),
        ..MetricFamily::default()
    }
}

fn hostile() -> Snapshot {
    let mut snapshot = rich();
    let counts = snapshot.groups.values().next().unwrap().clone();
    for owner in [
        "a\"b\\c\nd{}=,\u{7f}é\0",
        "\"} 1\n# EOF\n",
        "\\",
        "\\n",
        "\n\n",
        "# HELP",
        "",
        "\r\n\t ",
        "𝄞\u{202e}",
    ] {
        let group = group(owner, Direction::Outbound, Some(1));
        snapshot.groups.insert(group, counts.clone());
    }
    snapshot
}

#[test]
fn everything_keeps_the_rules() {
    for snapshot in [rich(), hostile(), Snapshot::default()] {
        let open = write(snapshot.clone(), Format::OpenMetrics);
        let families = read(&open).unwrap_or_else(|reason| panic!("{reason}\n{open}"));
        assert!(families.len() > 10);
        let text = write(snapshot, Format::Text);
        assert_eq!(all(families.into_values()), all([plain(&text)]));
    }
}

#[test]
fn owners_come_out_as_they_went_in() {
    let snapshot = hostile();
    let expected: BTreeSet<String> = snapshot
        .groups
        .keys()
        .map(|group| group.owner.clone())
        .collect();
    let families = read(&write(snapshot, Format::OpenMetrics)).unwrap();
    let samples = &families["halfopen_resets_sent"].samples;
    let labels = samples.iter().flat_map(|((_, labels), _)| labels);
    let owners = labels.filter(|(label, _)| label == "owner");
    let owners: BTreeSet<String> = owners.map(|(_, owner)| owner.clone()).collect();
    assert_eq!(owners, expected);
}

#[test]
fn units_are_told_of_names_that_have_one() {
    let families = read(&write(rich(), Format::OpenMetrics)).unwrap();
    let unit = |name: &str| families[name].described.get("UNIT").map(String::as_str);
    assert_eq!(unit("halfopen_hook_run_seconds"), Some("seconds"));
    assert_eq!(unit("halfopen_connection_memory_bytes"), Some("bytes"));
    assert_eq!(unit("halfopen_deaths_unknown_ratio"), Some("ratio"));
    assert_eq!(
        unit("halfopen_silence_before_death_seconds"),
        Some("seconds")
    );
    assert_eq!(unit("halfopen_deaths"), None);
    assert_eq!(unit("halfopen_build_info"), None);
    // Every unit in the base form that the specification lists.
    for name in families.keys() {
        for base in ["seconds", "bytes", "ratio"] {
            let says = name.ends_with(&format!("_{base}"));
            assert_eq!(unit(name) == Some(base), says, "{name}");
        }
    }
}

#[test]
fn nothing_is_but_its_end() {
    let none = exposition::write(
        &Readings::default(),
        Sections::only(&[]),
        Format::OpenMetrics,
    );
    assert_eq!(none.unwrap(), "# EOF\n");
}

#[test]
fn rich_snapshot() {
    golden("metrics/rich.om", &write(rich(), Format::OpenMetrics));
}

/// The reader would notice.
#[test]
fn broken_expositions_are_refused() {
    let good = "# HELP a b\n# TYPE a counter\na_total{l=\"\\\\ \\\" \\n\"} 1\n# EOF\n";
    assert!(read(good).is_ok());
    for broken in [
        "",
        "# EOF",
        "# EOF\n# EOF\n",
        "\n# EOF\n",
        "# a comment\n# EOF\n",
        "a 1\n# EOF\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "# TYPE a_total counter\na_total 1\n# EOF\n",
        "# TYPE a counter\na_total -1\n# EOF\n",
        "# TYPE a counter\na_total NaN\n# EOF\n",
        "# TYPE a gauge\na NaN\n# EOF\n",
        "# TYPE a gauge\na  1\n# EOF\n",
        "# TYPE a gauge\na 1 \n# EOF\n",
        "# TYPE a gauge\na{b=\"c\",} 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"c\",b=\"d\"} 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"\"\"} 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"\\t\"} 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"\n\"} 1\n# EOF\n",
        "# TYPE a gauge\na 1\na 2\n# EOF\n",
        "# TYPE a gauge\na 1\n# HELP a b\n# EOF\n",
        "# TYPE a gauge\n# TYPE a gauge\na 1\n# EOF\n",
        "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\n# EOF\n",
        "# HELP a \"\n# TYPE a gauge\na 1\n# EOF\n",
        "# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 2\na_sum 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 1\na_count 1\na_sum 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\n# EOF\n",
    ] {
        assert!(read(broken).is_err(), "{broken}");
    }
}
