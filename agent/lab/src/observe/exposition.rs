//! Reads the Prometheus text format 0.0.4, as far as counters and gauges go. A line that is neither a
//! comment nor a sample is an error: a count might hide in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::Error;

/// The grouped counters of the agent that the scenarios fix, with the label that divides each.
const GROUPED: [(&str, Option<&str>); 12] = [
    ("keepalive_probes", None),
    ("keepalive_probes_answered", None),
    ("window_probes", None),
    ("window_probes_answered", None),
    ("retransmission_timeouts", None),
    ("resets_received", None),
    ("resets_sent", Some("reason")),
    ("deaths", Some("cause")),
    ("recoveries", Some("evidence")),
    ("listener_syn_cookies_sent", None),
    ("listener_syn_cookies_validated", None),
    ("connects_without_port", None),
];

const RESETS_SENT: &str = "halfopen_resets_sent_total";

/// Counts by name: `keepalive_probes`, `deaths{keepalive}`. What is absent is 0.
pub type AgentCounts = BTreeMap<String, u64>;

/// One line of the metrics.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// One reading of the metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(Vec<Sample>);

impl Metrics {
    /// Parses a reading.
    ///
    /// # Errors
    /// On the first line that is neither a comment nor a sample.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let lines = text.lines().map(str::trim);
        let samples = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        samples
            .map(|line| {
                sample(line).ok_or_else(|| Error::Format {
                    what: "the metrics".to_owned(),
                    why: format!("this line is no sample: {line}"),
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The sum of a metric over all series that have these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.matching(name, labels)
            .map(|sample| count(sample.value))
            .sum()
    }

    /// What was counted on one side of the connections with this server's port, all owners together.
    #[must_use]
    pub fn of_port(&self, direction: &str, port: u16) -> AgentCounts {
        let port = port.to_string();
        let mut counted = AgentCounts::new();
        for (name, divided_by) in GROUPED {
            let metric = format!("halfopen_{name}_total");
            for sample in self.matching(&metric, &[("direction", direction), ("port", &port)]) {
                let part = divided_by.and_then(|label| sample.labels.get(label));
                let key = part.map_or(name.to_owned(), |part| format!("{name}{{{part}}}"));
                *counted.entry(key).or_default() += count(sample.value);
            }
        }
        counted
    }

    /// The greatest value of a gauge among the series that have these labels.
    #[must_use]
    pub fn greatest(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values = self.matching(name, labels).map(|sample| sample.value);
        values.reduce(f64::max)
    }

    /// Resets that answer a stray segment: they have no connection, and no port to be counted under.
    #[must_use]
    pub fn stray_resets(&self) -> u64 {
        self.sum(RESETS_SENT, &[("direction", "none")]) - self.router_resets()
    }

    /// Resets that netfilter made for what this host forwards: as above.
    #[must_use]
    pub fn router_resets(&self) -> u64 {
        let labels = [("direction", "none"), ("reason", "netfilter")];
        self.sum(RESETS_SENT, &labels)
    }

    /// The hooks that are attached, each as `hook` and as `hook/mechanism`.
    #[must_use]
    pub fn attached(&self) -> BTreeSet<String> {
        let hooks = self.hooks().into_iter();
        hooks
            .filter(|(_, mechanism)| mechanism != "none")
            .flat_map(|(hook, mechanism)| [format!("{hook}/{mechanism}"), hook])
            .collect()
    }

    /// Each hook with its mechanism, `none` where it is not attached.
    #[must_use]
    pub fn hooks(&self) -> Vec<(String, String)> {
        let label = |sample: &Sample, name| sample.labels.get(name).cloned().unwrap_or_default();
        self.matching("halfopen_hook_attached", &[])
            .map(|sample| (label(sample, "hook"), label(sample, "mechanism")))
            .collect()
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| {
            let has = |(label, value): &(&str, &str)| {
                sample.labels.get(*label).is_some_and(|have| have == value)
            };
            sample.name == name && labels.iter().all(has)
        })
    }
}

/// What was added between two readings.
#[must_use]
pub fn since(before: &AgentCounts, after: &AgentCounts) -> AgentCounts {
    let earlier = |key: &String| before.get(key).copied().unwrap_or(0);
    let grown = after
        .iter()
        .map(|(key, now)| (key.clone(), now.saturating_sub(earlier(key))));
    grown.filter(|(_, count)| *count > 0).collect()
}

/// Counters are whole numbers, exact in a double below 2^53.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 saturates, and a count that is not whole cannot equal an expectation"
)]
fn count(value: f64) -> u64 {
    value.round() as u64
}

/// `name{label="value",…} number [time]`.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.trim().to_owned(), value);
            rest = after;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then(|| Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// A label's value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP halfopen_deaths_total x
# TYPE halfopen_deaths_total counter
halfopen_deaths_total{owner="a",direction="outbound",port="7070",cause="keepalive"} 1
halfopen_deaths_total{owner="b\"},\n",direction="outbound",port="7070",cause="keepalive"} 2
halfopen_keepalive_probes_total{owner="",direction="outbound",port="7070"} 3
halfopen_keepalive_probes_total{owner="",direction="inbound",port="7070"} 9
halfopen_kernel_events_total{counter="OutRsts"} 1.2e1
halfopen_hook_attached{hook="tcp_xmit_probe_skb",mechanism="fentry"} 1
go_goroutines 7 1700000000000
"#;

    #[test]
    fn sums_owners_and_keeps_sides_apart() {
        let metrics = Metrics::parse(TEXT).unwrap();
        let expected = [
            ("deaths{keepalive}".to_owned(), 3),
            ("keepalive_probes".to_owned(), 3),
        ];
        assert_eq!(
            metrics.of_port("outbound", 7070),
            AgentCounts::from(expected)
        );
        assert_eq!(metrics.of_port("outbound", 7071), AgentCounts::new());
        assert_eq!(
            metrics.sum("halfopen_kernel_events_total", &[("counter", "OutRsts")]),
            12
        );
        assert_eq!(metrics.sum("go_goroutines", &[]), 7);
        let hook = ("tcp_xmit_probe_skb".to_owned(), "fentry".to_owned());
        assert_eq!(metrics.hooks(), [hook]);
    }

    #[test]
    fn refuses_what_is_no_sample() {
        for wrong in ["a", "a{", "a{b=\"c}", "a{b=\"c\"}", "a x", "{} 1", "<html>"] {
            assert!(Metrics::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_growth_counts() {
        let of = |counts: &[(&str, u64)]| -> AgentCounts {
            counts
                .iter()
                .map(|(key, count)| ((*key).to_owned(), *count))
                .collect()
        };
        let grown = since(
            &of(&[("a", 1), ("b", 2)]),
            &of(&[("a", 4), ("b", 2), ("c", 1)]),
        );
        assert_eq!(grown, of(&[("a", 3), ("c", 1)]));
    }
}
