//! The scenario × kernel × mechanism table. A cell holds what was counted, in the order of the
//! line's counters; a cell that is wrong, short or skipped says so and is explained
//! below the table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::columns::align;
use super::rows::{Counts, EarlierPlay, Row, Selftest};

/// Draws the table and the explanations under it.
pub fn draw(runs: &[Selftest]) -> String {
    let mut scenarios: BTreeMap<Key, Vec<Option<&Row>>> = BTreeMap::new();
    for (column, run) in runs.iter().enumerate() {
        for row in &run.rows {
            let cells = scenarios
                .entry(key(row))
                .or_insert_with(|| vec![None; runs.len()]);
            cells[column] = Some(row);
        }
    }
    let mut lines = vec![vec!["scenario".to_owned()]];
    lines[0].extend(runs.iter().map(|run| run.label.clone()));
    lines[0].push("what must be counted, in this order".to_owned());
    for (key, cells) in &scenarios {
        let counters = counters(cells);
        let mut line = vec![key.title()];
        line.extend(
            cells
                .iter()
                .map(|cell| cell.map_or("-".to_owned(), |row| mark(row, &counters))),
        );
        let expected = cells
            .iter()
            .flatten()
            .next()
            .map(|row| legend(&row.expected, &counters));
        line.push(expected.unwrap_or_default());
        lines.push(line);
    }
    let mut drawn = align(&lines);
    drawn.push('\n');
    for run in runs {
        for row in &run.rows {
            for EarlierPlay { late_ms, why } in &row.earlier {
                let title = key(row).title();
                drawn.push_str(&format!(
                    "{}: {title} played again: a processor was {late_ms} ms late, and {why}\n",
                    run.label
                ));
            }
            if !row.why.is_empty() || !row.ok {
                drawn.push_str(&explain(&run.label, row));
            }
        }
        for fault in &run.faults {
            drawn.push_str(&format!("{}: {fault}\n", run.label));
        }
    }
    drawn
}

fn explain(label: &str, row: &Row) -> String {
    let mut text = format!(
        "{label}: {} ({}): {}\n",
        key(row).title(),
        row.title,
        row.why
    );
    if !row.ok {
        let sides = [
            ("expected", &row.expected),
            ("counted", &row.counted),
            ("kernel", &row.kernel),
        ];
        for (side, counts) in sides {
            let counters: Vec<String> = counts.keys().cloned().collect();
            text.push_str(&format!("    {side}: {}\n", legend(counts, &counters)));
        }
    }
    text
}

/// Sorts scenarios by number, then family, then namespace.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    number: u64,
    scenario: String,
    family: String,
    namespace: String,
}

impl Key {
    fn title(&self) -> String {
        let words = [&self.scenario, &self.family, &self.namespace];
        let words = words.into_iter().filter(|word| !word.is_empty());
        words.map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

fn key(row: &Row) -> Key {
    let scenario = plain(&row.scenario);
    let digits: String = scenario.chars().take_while(char::is_ascii_digit).collect();
    Key {
        number: digits.parse().unwrap_or(u64::MAX),
        scenario,
        family: row.family.clone(),
        namespace: plain(&row.namespace),
    }
}

/// The counters that say something in this line: expected, or counted above zero somewhere.
fn counters(cells: &[Option<&Row>]) -> Vec<String> {
    let mut names = BTreeSet::new();
    for row in cells.iter().flatten() {
        let nonzero =
            |(name, count): (&String, &Value)| (count.as_u64() != Some(0)).then(|| name.clone());
        names.extend(row.expected.iter().filter_map(nonzero));
        names.extend(row.counted.iter().filter_map(nonzero));
    }
    names.into_iter().collect()
}

fn mark(row: &Row, counters: &[String]) -> String {
    let shown = counts(&row.counted, counters);
    match row {
        Row { skipped: true, .. } => "skipped".to_owned(),
        Row { ok: false, .. } => format!("{shown} WRONG"),
        Row { why, .. } if !why.is_empty() => format!("{shown} short"),
        _ => shown,
    }
}

fn counts(counts: &Counts, counters: &[String]) -> String {
    let shown = counters
        .iter()
        .map(|name| counts.get(name).map_or("0".to_owned(), plain));
    let shown = shown.collect::<Vec<_>>().join(" ");
    if shown.is_empty() {
        "none".to_owned()
    } else {
        shown
    }
}

fn legend(counts: &Counts, counters: &[String]) -> String {
    let shown = counters
        .iter()
        .map(|name| format!("{name} {}", counts.get(name).map_or("0".to_owned(), plain)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    if shown.is_empty() {
        "none".to_owned()
    } else {
        shown
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Selftest, draw};

    #[test]
    fn a_wrong_cell_is_marked_and_explained() {
        let row = |ok: bool, counted: u32| {
            format!(
                "{{\"scenario\":\"7\",\"family\":\"ipv4\",\"title\":\"peer vanishes\",\"ok\":{ok},\
                 \"why\":\"one missing\",\"expected\":{{\"A\":3,\"Z\":0}},\
                 \"counted\":{{\"A\":{counted}}},\"kernel\":{{\"A\":3}}}}"
            )
        };
        let again = r#""ok":true,"earlier":[{"late_ms":240,"why":"none yet"}]"#;
        let good = row(true, 3)
            .replace("one missing", "")
            .replace(r#""ok":true"#, again);
        let good = Selftest::read("host", &good, Some(0));
        assert_eq!(good.played_again(), 1);
        let bad = Selftest::read("6.1 kprobe", &row(false, 2), Some(1));
        let drawn = draw(&[good, bad]);
        let expected = "\
scenario  host  6.1 kprobe  what must be counted, in this order
7 ipv4    3     2 WRONG     A 3
";
        assert!(drawn.starts_with(expected), "{drawn}");
        let again = "host: 7 ipv4 played again: a processor was 240 ms late, and none yet";
        assert!(drawn.contains(again), "{drawn}");
        assert!(
            drawn.contains("6.1 kprobe: 7 ipv4 (peer vanishes): one missing"),
            "{drawn}"
        );
    }
}
