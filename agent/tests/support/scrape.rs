//! Reads what a running agent shows: the text of metrics, and JSON.
//! It must never pass over a line that it does not understand.

#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::BTreeMap;

use serde_json::Value;

use crate::agent::Agent;

/// One series: its name and labels.
pub type Series = (String, BTreeMap<String, String>);

/// One scrape.
pub struct Scrape(pub BTreeMap<Series, f64>);

impl Scrape {
    pub fn of(agent: &Agent) -> Self {
        let answer = agent.get("/metrics");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        let parsed: Vec<_> = lines.map(sample).collect();
        let series: BTreeMap<_, _> = parsed.iter().cloned().collect();
        assert_eq!(series.len(), parsed.len(), "a series is shown twice");
        Self(series)
    }

    /// The sum over all series that have these labels.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are whole numbers, exact below 2^53"
    )]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let all = self.0.iter().filter(|((named, has), _)| {
            let has = |(label, value): &(&str, &str)| has.get(*label).is_some_and(|it| it == value);
            named == name && labels.iter().all(has)
        });
        all.map(|(_, value)| *value as u64).sum()
    }
}

/// `name{label="value",…} number`; the values of these tests hold no quotes.
fn sample(line: &str) -> (Series, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap();
    let labels = labels.strip_suffix('"').unwrap_or_default();
    let labels = labels.split("\",").filter(|label| !label.is_empty());
    let labels = labels.map(|label| {
        let (label, value) = label.split_once("=\"").unwrap();
        (label.to_owned(), value.to_owned())
    });
    ((name.to_owned(), labels.collect()), value.parse().unwrap())
}

/// The body of an answer.
pub fn json(agent: &Agent, path: &str) -> Value {
    let answer = agent.get(path);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).unwrap()
}
