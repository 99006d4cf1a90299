//! A metric's name is spelled once, where the metric is declared.

use std::{collections::BTreeMap, path::PathBuf};

use proc_macro2::TokenTree;

use crate::code::{sources::Sources, tokens};

/// Names of metrics that stand as literals, with the places of each.
fn spelled(sources: &Sources) -> BTreeMap<String, Vec<PathBuf>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let files = sources
        .below("agent/core/src")
        .chain(sources.below("agent/src"));
    let no_tests = |path: &&std::path::Path| {
        !path
            .iter()
            .any(|name| name == "tests" || name == "tests.rs")
    };
    for (path, text) in files.filter(|(path, text)| no_tests(path) && text.contains("\"halfopen_"))
    {
        for (tree, _) in tokens::flat(tokens::of(text)) {
            let TokenTree::Literal(literal) = tree else {
                continue;
            };
            let literal = literal.to_string();
            let name = literal
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            let is_name = |name: &&str| {
                name.starts_with("halfopen_")
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            };
            if let Some(name) = name.filter(is_name) {
                found
                    .entry(name.to_owned())
                    .or_default()
                    .push(path.to_owned());
            }
        }
    }
    found
}

fn mistakes(sources: &Sources) -> Vec<String> {
    let wrong = |(name, places): (String, Vec<PathBuf>)| {
        let declared = places[0].starts_with("agent/core/src/metrics");
        (places.len() > 1 || !declared).then(|| format!("{name}: {places:?}"))
    };
    spelled(sources).into_iter().filter_map(wrong).collect()
}

#[test]
fn a_metric_is_named_once() {
    let sources = Sources::of_workspace();
    let names = spelled(sources).len();
    assert!(names >= 40, "{names} metrics found");
    let found = mistakes(sources);
    assert!(found.is_empty(), "refer to its declaration: {found:#?}");
}

#[test]
fn names_spelled_twice_or_elsewhere_are_found() {
    let table = (
        "agent/core/src/metrics/table.rs",
        "const A: &str = \"halfopen_a_total\";",
    );
    let cases = [
        ("agent/src/x.rs", "", 0),
        (
            "agent/src/x.rs",
            "//! Adds to \"halfopen_a_total\".\n const B: &str = \"rate(halfopen_a_total[5m])\";",
            0,
        ),
        ("agent/src/x.rs", "const B: &str = \"halfopen_a_total\";", 1),
        ("agent/src/x.rs", "fn f() { g!(\"halfopen_b_total\") }", 1),
        (
            "agent/core/src/metrics/x.rs",
            "const B: &str = \"halfopen_b_total\";",
            0,
        ),
        (
            "agent/core/src/metrics/x.rs",
            "const B: &str = \"halfopen_a_total\";",
            1,
        ),
        (
            "agent/core/src/metrics/tests.rs",
            "const B: &str = \"halfopen_a_total\";",
            0,
        ),
    ];
    for (path, text, expected) in cases {
        let found = mistakes(&Sources::of(&[table, (path, text)]));
        assert_eq!(found.len(), expected, "{path}: {text}: {found:?}");
    }
}
