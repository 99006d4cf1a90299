//! No circle of imports between files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

use crate::code::{Edges, of_workspace};

/// Sets of files each of which reaches the others by its imports.
fn circles(edges: &Edges) -> Vec<BTreeSet<&Path>> {
    let mut next: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    for (from, to) in edges.keys() {
        next.entry(from).or_default().push(to);
    }
    let reached: BTreeMap<&Path, BTreeSet<&Path>> = next
        .keys()
        .map(|from| {
            let (mut found, mut left) = (BTreeSet::new(), vec![*from]);
            while let Some(file) = left.pop() {
                let further = next.get(file).into_iter().flatten();
                left.extend(further.filter(|other| found.insert(**other)));
            }
            (*from, found)
        })
        .collect();
    let mut circles = BTreeSet::new();
    for (from, found) in &reached {
        let back = |other: &&Path| reached.get(other).is_some_and(|reach| reach.contains(from));
        let circle: BTreeSet<_> = found.iter().copied().filter(back).collect();
        circles.extend((!circle.is_empty()).then_some(circle));
    }
    circles.into_iter().collect()
}

/// Each circle with the names that make it; empty when there is none.
fn report(edges: &Edges) -> String {
    let mut text = String::new();
    for circle in circles(edges) {
        writeln!(text, "circle of {} files:", circle.len()).unwrap();
        for ((from, to), names) in edges {
            if circle.contains(from.as_path()) && circle.contains(to.as_path()) {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                let (from, to) = (from.display(), to.display());
                writeln!(text, "  {from} imports from {to}: {}", names.join(", ")).unwrap();
            }
        }
    }
    text
}

#[test]
fn files_import_each_other_in_no_circle() {
    let report = report(&of_workspace().edges);
    assert!(
        report.is_empty(),
        "move what both sides need into a file that imports neither:\n{report}"
    );
}

#[test]
fn circles_are_found() {
    let edges = |text: &str| {
        let mut edges = Edges::new();
        for edge in text.split_whitespace() {
            let (from, to) = edge.split_once("->").unwrap();
            edges.insert((from.into(), to.into()), BTreeSet::from(["X".to_owned()]));
        }
        edges
    };
    let cases: [(&str, &[&[&str]]); 5] = [
        ("", &[]),
        ("a->b b->c a->c d->c", &[]),
        ("a->b b->a", &[&["a", "b"]]),
        ("a->b b->c c->a c->d e->a", &[&["a", "b", "c"]]),
        ("a->b b->a b->c c->d d->c", &[&["a", "b"], &["c", "d"]]),
    ];
    for (text, expected) in cases {
        let edges = edges(text);
        let found: Vec<Vec<_>> = circles(&edges)
            .iter()
            .map(|circle| circle.iter().map(|file| file.to_str().unwrap()).collect())
            .collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(report(&edges).is_empty(), expected.is_empty(), "{text}");
    }
}
