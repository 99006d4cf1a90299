//! What a self-test found, as a table for people or as one JSON object a line. A scenario that could not
//! be played has a row too: skipped, with the reason.

mod row;

use serde_json::{Value, json};

use crate::classify::settle::Grade;

pub use row::{EarlierPlay, ReportRow};

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

    /// These rows were played again, in this order, which gave `next`. What is wrong with all of them together counts
    /// each time.
    pub(crate) fn replace(&mut self, rows: &[usize], next: Self) {
        let mut next_rows = next.rows.into_iter();
        for &row in rows {
            if let Some(next) = next_rows.next() {
                self.rows[row].replace(next);
            }
        }
        for mut row in next_rows.filter(|row| !row.ok) {
            row.scenario.push_str(", played again");
            self.rows.push(row);
        }
        self.metrics = next.metrics;
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
        for row in &self.rows {
            let name = [&row.scenario, row.family, row.namespace].join(" ");
            let name = name.trim();
            for EarlierPlay { late_ms, why } in &row.earlier {
                text.push_str(&format!(
                    "played again {name}: a processor was {late_ms} ms late, and {why}\n"
                ));
            }
            if row.why.is_empty() {
                continue;
            }
            text.push_str(&format!("{} {}: {}\n", row.word(), name, row.why));
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
    use crate::{
        classify::{
            assessment::{Assessment, Exactness},
            observed::ObservedLiveness,
        },
        net::end::End,
        observe::connections::DetectionTime,
    };

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
    fn a_row_is_played_again_only_where_the_machine_was_late() {
        let wrong = || report(2, Exactness::Exact);
        assert!(!wrong().rows[0].is_to_be_played_again());
        let late = |mut report: SelftestReport| {
            report.rows[0].late_ms = Some(240);
            report
        };
        assert!(late(wrong()).rows[0].is_to_be_played_again());
        assert!(!late(report(3, Exactness::Exact)).rows[0].is_to_be_played_again());

        let mut again = late(wrong());
        again.replace(&[0], late(wrong()));
        assert_eq!(again.tally(), (0, 1, 0));
        again.replace(&[0], report(3, Exactness::Exact));
        assert_eq!(again.tally(), (1, 0, 0));
        let why = "outbound keepalive_probes: 2 counted, 3 expected";
        let earlier = EarlierPlay {
            late_ms: 240,
            why: why.to_owned(),
        };
        assert_eq!(again.rows[0].earlier, [earlier.clone(), earlier]);
        let line = format!("played again 7: a processor was 240 ms late, and {why}\n");
        assert_eq!(again.table().matches(&line).count(), 2);
    }

    #[test]
    fn totals_that_are_wrong_once_stay_wrong() {
        let mut assessment = Assessment::default();
        assessment.compare("TCPKeepAlive", 3, 2, Exactness::Exact);
        let mut next = report(3, Exactness::Exact);
        next.rows.push(ReportRow::totals(assessment));
        next.rows.push(ReportRow::sockets(Assessment::default()));
        let mut first = report(2, Exactness::Exact);
        first.replace(&[0], next);
        let labels: Vec<_> = first.rows.iter().map(|row| row.scenario.as_str()).collect();
        assert_eq!(labels, ["7", "totals, played again"]);
        assert_eq!(first.tally(), (1, 1, 0));
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
