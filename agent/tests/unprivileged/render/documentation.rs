//! docs/api.md is what the programs write; BLESS=1 regenerates its examples.

use std::{cmp::Reverse, collections::BTreeSet, fs, path::Path, sync::Arc};

use crate::fixtures::{connections, events};
use halfopen_core::{
    model::{
        assessed::{Assessed, ReadMethod},
        deaths::Deaths as Kept,
        liveness::{Evidence, Liveness, Thresholds},
    },
    render::{
        events::{Deaths, Form, deaths_json, dropped_json},
        list::{Report, json},
    },
};
use serde_json::Value;

fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn death() -> String {
    let event = events::deaths().remove(0);
    Form::new(&event, Some(7)).json().unwrap()
}

/// After all of them were asked for: the certificates themselves are shown above.
fn deaths() -> String {
    let mut kept = Kept::new(1);
    for _ in 0..7 {
        kept.add(Arc::new(events::deaths().remove(0)));
    }
    let deaths = Deaths {
        shown: kept.since(7).collect(),
        beyond_limit: 0,
        arrived: kept.arrived(),
        lost: 0,
        kept_at_most: 10_000,
        by_cause: kept.by_cause(),
    };
    deaths_json(&deaths).unwrap()
}

fn connections() -> String {
    let suspect = connections::with_processes(connections::suspects()).remove(0);
    let rows = [Assessed::new(suspect, &Thresholds::default())];
    let report = Report {
        rows: &rows,
        total: 1_204,
        beyond_limit: 0,
        noteworthy_only: true,
        uncertain: 0,
        unseen_namespaces: 0,
        incomplete: 0,
        source: ReadMethod::Tables,
        thresholds: Thresholds::default(),
    };
    json(&report).unwrap()
}

/// The same text with a key a line, but for short objects, in the order in which keys are written.
fn spread(json: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    for c in json.trim_end().chars() {
        if quoted || !c.is_whitespace() {
            let ends = !quoted && matches!(c, '}' | ']');
            if ends {
                depth -= 1;
                out.push('\n');
                out.extend(std::iter::repeat_n("  ", depth));
            }
            out.push(c);
            if !quoted && matches!(c, '{' | '[' | ',') {
                depth += usize::from(c != ',');
                out.push('\n');
                out.extend(std::iter::repeat_n("  ", depth));
            }
            if !quoted && c == ':' {
                out.push(' ');
            }
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    let empty = |out: String, open: char, close: char| {
        let mut parts = out.split(open);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |out, part| {
            let part = match part.trim_start().strip_prefix(close) {
                Some(rest) => format!("{close}{rest}"),
                None => part.to_owned(),
            };
            format!("{out}{open}{part}")
        })
    };
    empty(empty(out, '[', ']'), '{', '}') + "\n"
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    fs::read_to_string(path).unwrap()
}

/// The JSON below this mark.
fn example<'a>(page: &'a str, name: &str) -> &'a str {
    let mark = format!("<!-- example: {name} -->\n```json\n");
    let (_, rest) = page.split_once(&mark).unwrap_or_else(|| panic!("{mark}"));
    rest.split_once("```").unwrap().0
}

#[test]
fn examples_are_what_is_written() {
    let mut page = page();
    let truth = [
        ("death", death()),
        ("dropped", dropped_json(1_204).unwrap()),
        ("deaths", deaths()),
        ("connections", connections()),
    ];
    for (name, truth) in &truth {
        let written = spread(truth);
        if std::env::var_os("BLESS").is_some() {
            let mark = format!("<!-- example: {name} -->\n```json\n");
            let old = format!("{mark}{}```", example(&page, name));
            page = page.replace(&old, &format!("{mark}{written}```"));
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
            fs::write(path, &page).unwrap();
        }
        let example = example(&page, name);
        assert_eq!(read(example), read(truth), "{name}: BLESS=1 writes it anew");
        assert_eq!(example, written, "{name}: BLESS=1 writes it anew");
    }
}

/// Names in the first column of the tables of keys.
fn documented(page: &str) -> BTreeSet<String> {
    let tables = page.split("| key | |\n|---|---|\n").skip(1);
    let rows = tables.flat_map(|table| table.lines().take_while(|line| line.starts_with('|')));
    let first = rows.map(|row| row.split('|').nth(1).unwrap());
    first
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_key_is_documented_and_no_other() {
    let page = page();
    let documented = documented(&page);
    let mut real = BTreeSet::new();
    for event in events::everything() {
        let number = matches!(event.kind.as_str(), "death").then_some(1);
        real.extend(keys(&read(&Form::new(&event, number).json().unwrap())));
    }
    real.extend(keys(&read(&deaths())));
    let list = read(&connections());
    let of_connection = keys(&list["connections"][0]);
    for key in keys(&list).union(&of_connection) {
        assert!(
            page.contains(&format!("`{key}`")),
            "{key} is not documented"
        );
    }
    let missing: Vec<_> = real.difference(&documented).collect();
    assert!(missing.is_empty(), "not documented: {missing:?}");
    real.extend(of_connection);
    let stale: Vec<_> = documented.difference(&real).collect();
    assert!(stale.is_empty(), "documented, but not there: {stale:?}");
}

/// The table of verdicts has each of them, the worst first.
#[test]
fn verdicts_are_explained() {
    let page = page();
    let (_, table) = page
        .split_once("| verdict | meaning |\n|---|---|\n")
        .unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let documented: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    let mut all = Liveness::ALL;
    all.sort_by_key(|verdict| Reverse(verdict.severity()));
    let mut expected = all.map(Liveness::as_str).to_vec();
    expected.dedup();
    assert_eq!(documented, expected);
    for evidence in Evidence::ALL {
        let suspects = table.lines().next().unwrap();
        assert!(suspects.contains(&format!("`{}`", evidence.as_str())));
    }
}
