//! What a self-test found, as a table for people or as one JSON object a line. A scenario that could not
//! be played has a row too: skipped, with the reason.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Error,
    classify::{
        assessment::Assessment, expectations::OPEN, observed::ObservedLiveness, settle::Grade,
    },
    net::end::End,
};

/// One line of the result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportRow {
    /// Number and variant, or `totals`, or `sockets`.
    pub scenario: String,
    /// What happens in it.
    pub title: String,
    /// `ipv4`, `ipv6` or `ipv4-mapped`.
    pub family: &'static str,
    /// `second` where the client sits in a second namespace.
    pub namespace: &'static str,
    /// What the agent must have counted.
    pub expected: BTreeMap<String, Value>,
    /// What it counted.
    pub counted: BTreeMap<String, Value>,
    /// What the kernel counted.
    pub kernel: BTreeMap<String, Value>,
    /// How long it took, in milliseconds; nothing for what is no scenario.
    pub played_ms: Option<u64>,
    /// Its verdicts on the connection while the scenario was played.
    pub judged: Vec<ObservedLiveness>,
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Whether it could not be played.
    pub skipped: bool,
    /// What is wrong, or missing but accounted for, or why it was skipped.
    pub why: String,
    #[serde(skip)]
    short: bool,
}

impl ReportRow {
    pub(crate) fn totals(assessment: Assessment) -> Self {
        Self::new(
            "totals".to_owned(),
            "all of the lab's namespaces together".to_owned(),
            assessment,
        )
    }

    pub(crate) fn sockets(assessment: Assessment) -> Self {
        Self::new(
            "sockets".to_owned(),
            "sockets left in the lab's namespaces, by state".to_owned(),
            assessment,
        )
    }

    /// It could not be played.
    pub(crate) fn skip(&mut self, why: &str) {
        (self.ok, self.skipped, self.why) = (true, true, why.to_owned());
    }

    /// It was not played to its end.
    pub(crate) fn fail(&mut self, error: &Error) {
        (self.ok, self.why) = (false, error.to_string());
    }

    pub(crate) fn new(scenario: String, title: String, assessment: Assessment) -> Self {
        let Assessment {
            expected,
            counted,
            kernel,
            judged,
            wrong,
            short,
        } = assessment;
        Self {
            scenario,
            title,
            family: "",
            namespace: "",
            expected,
            counted,
            kernel,
            played_ms: None,
            judged,
            ok: wrong.is_empty(),
            skipped: false,
            short: !short.is_empty(),
            why: [wrong, short].concat().join("; "),
        }
    }

    /// What was expected, then what was counted in the same order.
    fn cells(&self) -> [String; 2] {
        let zero = Value::from(0);
        let (mut expected, mut counted) = (String::new(), String::new());
        let mut side = None;
        for (key, must) in &self.expected {
            let count = self.counted.get(key).unwrap_or(&zero);
            if *count == zero && (*must == zero || *must == OPEN) {
                continue;
            }
            let (this, name) = key.split_once(' ').unwrap_or(("", key));
            if !expected.is_empty() {
                expected.push_str(if side == Some(this) { ", " } else { "; " });
                counted.push(' ');
            }
            if side != Some(this) && !this.is_empty() {
                expected.push_str(this);
                expected.push_str(": ");
            }
            side = Some(this);
            let must = must
                .as_str()
                .map_or_else(|| must.to_string(), str::to_owned);
            expected.push_str(&format!("{name} {must}"));
            counted.push_str(&count.to_string());
        }
        if expected.is_empty() {
            return ["nothing".to_owned(), "nothing".to_owned()];
        }
        [expected, counted]
    }

    /// Each end's verdicts, in the order of first sight.
    fn verdicts(&self) -> String {
        let mut ends: BTreeMap<End, Vec<String>> = BTreeMap::new();
        for seen in &self.judged {
            ends.entry(seen.end).or_default().push(seen.word());
        }
        let ends = ends
            .iter()
            .map(|(end, words)| format!("{}: {}", end.as_str(), words.join(", ")));
        ends.collect::<Vec<_>>().join("; ")
    }

    fn word(&self) -> &'static str {
        match self {
            Self { skipped: true, .. } => "skipped",
            Self { ok: false, .. } => "FAILED",
            Self { short: true, .. } => "short",
            _ => "ok",
        }
    }
}

/// Everything a self-test found.
#[derive(Debug, Clone, PartialEq)]
pub struct SelftestReport {
    /// The scenarios, then the totals.
    pub rows: Vec<ReportRow>,
    /// Each hook of the agent and its mechanism.
    pub hooks: Vec<(String, String)>,
    /// The agent's metrics as they were compared.
    pub metrics: String,
}

impl SelftestReport {
    /// Rows without fault, failed rows, skipped rows.
    #[must_use]
    pub fn tally(&self) -> (usize, usize, usize) {
        let skipped = self.rows.iter().filter(|row| row.skipped).count();
        let failed = self.rows.iter().filter(|row| !row.ok).count();
        (self.rows.len() - failed - skipped, failed, skipped)
    }

    /// How it came out.
    pub(crate) fn grade(&self) -> Grade {
        if self.rows.iter().any(|row| !row.ok) {
            Grade::Wrong
        } else if self.rows.iter().any(|row| row.short) {
            Grade::Short
        } else {
            Grade::Right
        }
    }

    /// Both have the same counts.
    pub(crate) fn counts_as(&self, other: &Self) -> bool {
        let counts = |row: &ReportRow| (row.counted.clone(), row.kernel.clone(), row.why.clone());
        self.rows
            .iter()
            .map(counts)
            .eq(other.rows.iter().map(counts))
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> String {
        let (passed, failed, skipped) = self.tally();
        let hooks: Vec<Value> = self
            .hooks
            .iter()
            .map(|(hook, mechanism)| json!({"hook": hook, "mechanism": mechanism}))
            .collect();
        let summary = json!({
            "summary": true, "passed": passed, "failed": failed, "skipped": skipped, "hooks": hooks,
        });
        let rows = self.rows.iter().map(|row| json!(row));
        rows.chain([summary])
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// For people; the last line says how many passed.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![
            [
                "scenario", "family", "title", "verdict", "judged", "counted", "expected",
            ]
            .map(str::to_owned),
        ];
        for row in &self.rows {
            let [expected, counted] = row.cells();
            let family = format!("{} {}", row.family, row.namespace)
                .trim()
                .to_owned();
            let assessment = row.word().to_owned();
            lines.push([
                row.scenario.clone(),
                family,
                row.title.clone(),
                assessment,
                row.verdicts(),
                counted,
                expected,
            ]);
        }
        let mut text = aligned(&lines);
        for row in self.rows.iter().filter(|row| !row.why.is_empty()) {
            let name = [&row.scenario, row.family, row.namespace].join(" ");
            text.push_str(&format!("{} {}: {}\n", row.word(), name.trim(), row.why));
        }
        let hooks: Vec<String> = self
            .hooks
            .iter()
            .map(|(hook, mechanism)| format!("{hook} {mechanism}"))
            .collect();
        let (passed, failed, _) = self.tally();
        text.push_str(&format!(
            "hooks: {}\n{passed} passed, {failed} failed\n",
            hooks.join(", ")
        ));
        text
    }
}

fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let draw = |line: &[String; N]| {
        let cells = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{classify::assessment::Exactness, observe::connections::DetectionTime};

    fn report(counted: u64, policy: Exactness) -> SelftestReport {
        let mut assessment = Assessment::default();
        assessment.compare("outbound keepalive_probes", 3, counted, policy);
        assessment
            .expected
            .insert("outbound keepalive_probes".to_owned(), 3.into());
        assessment
            .counted
            .insert("outbound keepalive_probes".to_owned(), counted.into());
        assessment.judged = ["healthy", "suspect"]
            .map(|liveness| ObservedLiveness {
                end: End::Client,
                liveness: liveness.to_owned(),
                evidence: (liveness == "suspect").then(|| "keepalive".to_owned()),
                direction: "outbound".to_owned(),
                detect: vec![
                    Some(DetectionTime::Millis(14_000)),
                    Some(DetectionTime::Never),
                    None,
                ],
                detect_range: None,
                silence_ms: Some(100),
                looks: 2,
                why: "it is so".to_owned(),
            })
            .into();
        let row = ReportRow::new("7".to_owned(), "peer gone".to_owned(), assessment);
        let hooks = vec![("tcp_xmit_probe_skb".to_owned(), "kprobe".to_owned())];
        SelftestReport {
            rows: vec![row],
            hooks,
            metrics: String::new(),
        }
    }

    #[test]
    fn a_table_ends_in_its_tally() {
        let table = report(3, Exactness::Exact).table();
        let expected = "\
scenario  family  title      verdict  judged                              counted  expected
7                 peer gone  ok       client: healthy, suspect/keepalive  3        outbound: keepalive_probes 3
hooks: tcp_xmit_probe_skb kprobe
1 passed, 0 failed
";
        assert_eq!(table, expected);
        assert!(
            report(2, Exactness::Exact)
                .table()
                .ends_with("0 passed, 1 failed\n")
        );
    }

    #[test]
    fn a_shortfall_is_shown() {
        let table = report(2, Exactness::NeverOver).table();
        assert!(
            table.contains("short 7: outbound keepalive_probes: 2 of 3, 1 unaccounted"),
            "{table}"
        );
        assert_eq!(report(2, Exactness::NeverOver).grade(), Grade::Short);
    }

    #[test]
    fn json_has_a_row_a_line_and_a_summary() {
        let json = report(3, Exactness::Exact).json();
        let lines: Vec<Value> = json
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["ok"], true);
        assert_eq!(lines[0]["counted"]["outbound keepalive_probes"], 3);
        let judged = json!({
            "end": "client", "liveness": "suspect", "evidence": "keepalive",
            "direction": "outbound", "detect_idle_ms": [14000, "never", null], "silence_ms": 100,
            "looks": 2, "why": "it is so",
        });
        assert_eq!(lines[0]["judged"][1], judged);
        assert_eq!(lines[1]["passed"], 1);
        assert_eq!(lines[1]["hooks"][0]["mechanism"], "kprobe");
    }
}
