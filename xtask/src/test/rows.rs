//! What `halfopen selftest --json` says: one object a line, then a summary.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Counter name to count; a scenario may leave a counter open with another JSON value.
pub type Counts = BTreeMap<String, Value>;

/// One scenario's result.
#[derive(Clone, Deserialize)]
pub struct Row {
    /// Its number in the scenario list.
    pub scenario: Value,
    /// What happens in it.
    #[serde(default)]
    pub title: String,
    /// The address family.
    #[serde(default)]
    pub family: String,
    /// Which network namespace pair, where there are several.
    #[serde(default)]
    pub namespace: Value,
    /// What must be counted.
    #[serde(default)]
    pub expected: Counts,
    /// What the hooks counted.
    #[serde(default)]
    pub counted: Counts,
    /// What the kernel counted.
    #[serde(default)]
    pub kernel: Counts,
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Whether this kernel cannot play the scenario.
    #[serde(default)]
    pub skipped: bool,
    /// What is wrong, or short of the kernel's count but accounted for, or why it was skipped.
    #[serde(default)]
    pub why: String,
    /// Each time that it was played before, since the machine was late.
    #[serde(default)]
    pub earlier: Vec<EarlierPlay>,
}

/// A play that does not count.
#[derive(Clone, Deserialize)]
pub struct EarlierPlay {
    /// By how much a processor was late at most, in milliseconds.
    pub late_ms: u64,
    /// What was wrong.
    pub why: String,
}

#[derive(Deserialize)]
struct Summary {
    #[serde(rename = "summary")]
    _marker: bool,
    passed: usize,
    failed: usize,
}

/// The rows of one self-test, and what is wrong with the run as a whole.
pub struct Selftest {
    /// Which kernel and mechanism, as a column's title.
    pub label: String,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Failures that are no row's: no summary, a crash, a strange exit code.
    pub faults: Vec<String>,
}

impl Selftest {
    /// Reads what a self-test wrote; `exit` is its exit code, where it sent one.
    pub fn read(label: &str, text: &str, exit: Option<i32>) -> Self {
        let (mut rows, mut faults, mut summary) = (Vec::new(), Vec::new(), None);
        for line in text.lines().filter(|line| line.starts_with('{')) {
            if let Ok(row) = serde_json::from_str::<Row>(line) {
                rows.push(row);
            } else if let Ok(last) = serde_json::from_str::<Summary>(line) {
                summary = Some(last);
            } else {
                faults.push(format!("a line that is neither row nor summary: {line}"));
            }
        }
        let passed = rows
            .iter()
            .filter(|row: &&Row| row.ok && !row.skipped)
            .count();
        let failed = rows.iter().filter(|row| !row.ok).count();
        match summary {
            None => faults.push(format!(
                "it ended without a summary after {} rows",
                rows.len()
            )),
            Some(summary) if (summary.passed, summary.failed) != (passed, failed) => {
                faults.push(format!(
                    "its summary says {} passed, {} failed; its rows say {passed} and {failed}",
                    summary.passed, summary.failed
                ));
            }
            Some(_) if passed + failed == 0 => faults.push("it played no scenario".to_owned()),
            Some(_) => {}
        }
        match exit {
            Some(0) => {}
            Some(_) if failed > 0 => {}
            Some(code) => faults.push(format!("it ended with exit code {code}")),
            None => faults.push("it ended without an exit code".to_owned()),
        }
        Self {
            label: label.to_owned(),
            rows,
            faults,
        }
    }

    /// A run of which nothing came back.
    pub fn broken(label: &str, why: String) -> Self {
        Self {
            label: label.to_owned(),
            rows: Vec::new(),
            faults: vec![why],
        }
    }

    /// Rows that hold.
    pub fn passed(&self) -> usize {
        self.rows
            .iter()
            .filter(|row| row.ok && !row.skipped)
            .count()
    }

    /// Rows that were played more than once, since the machine was late.
    pub fn played_again(&self) -> usize {
        let again = self.rows.iter().filter(|row| !row.earlier.is_empty());
        again.count()
    }

    /// Rows that do not, and faults of the run.
    pub fn failed(&self) -> usize {
        self.rows.iter().filter(|row| !row.ok).count() + self.faults.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Selftest;

    const ROW: &str = r#"{"scenario":"7","family":"ipv4","expected":{"A":3},"ok":true,"new":1}"#;
    const SUMMARY: &str = r#"{"summary":true,"passed":1,"failed":0,"hooks":[]}"#;

    fn check(lines: &[&str], exit: Option<i32>, expected: (usize, usize)) {
        let read = Selftest::read("test", &lines.join("\n"), exit);
        assert_eq!(
            (read.passed(), read.failed()),
            expected,
            "{lines:?} {:?}",
            read.faults
        );
    }

    #[test]
    fn only_a_complete_run_passes() {
        check(&[ROW, SUMMARY], Some(0), (1, 0));
        check(&["noise", ROW, SUMMARY], Some(0), (1, 0));
        let skipped = ROW.replace("\"new\":1", "\"skipped\":true");
        check(&[ROW, &skipped, SUMMARY], Some(0), (1, 0));
        check(&[&skipped, &SUMMARY.replace('1', "0")], Some(0), (0, 1));
        check(&[ROW], Some(0), (1, 1));
        check(&[ROW, ROW, SUMMARY], Some(0), (2, 1));
        check(&[ROW, SUMMARY], Some(1), (1, 1));
        check(&[ROW, SUMMARY], None, (1, 1));
        check(&[SUMMARY], Some(0), (0, 1));
        check(&[&SUMMARY.replace('1', "0")], Some(0), (0, 1));
        check(&[], None, (0, 2));
        check(&[&ROW.replace("true", "false")], Some(1), (0, 2));
    }
}
