//! Stages, their counts, and the summary at the end.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::table::align;

/// Tests that held and tests that did not.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Held.
    pub passed: usize,
    /// Did not.
    pub failed: usize,
    /// Could not be run, each with the reason.
    pub skipped: Vec<String>,
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }
}

struct Stage {
    name: String,
    tally: Tally,
    error: Option<String>,
    took: Duration,
}

/// What has run so far.
#[derive(Default)]
pub struct Report(Vec<Stage>);

impl Report {
    /// Runs a stage of tests; one that could not run at all counts as one failure.
    pub fn stage(&mut self, name: &str, run: impl FnOnce() -> Result<Tally>) {
        println!("\n=== {name}");
        let start = Instant::now();
        let result = run();
        let took = start.elapsed();
        let (tally, error) = match result {
            Ok(tally) => (tally, None),
            Err(error) => (
                Tally {
                    failed: 1,
                    ..Tally::default()
                },
                Some(format!("{error:#}")),
            ),
        };
        match &error {
            Some(error) => println!("{name}: FAILED: {error}"),
            None if tally == Tally::default() => println!("{name}: ok"),
            None => println!("{name}: {} passed, {} failed", tally.passed, tally.failed),
        }
        self.0.push(Stage {
            name: name.to_owned(),
            tally,
            error,
            took,
        });
    }

    /// Runs a check, which counts no tests of its own unless it fails.
    pub fn check<T>(&mut self, name: &str, run: impl FnOnce() -> Result<T>) -> Option<T> {
        let mut value = None;
        self.stage(name, || {
            value = Some(run()?);
            Ok(Tally::default())
        });
        value
    }

    /// Prints every stage, then the one line that counts.
    pub fn print(&self) -> Tally {
        let mut total = Tally::default();
        let mut lines = vec![
            ["stage", "passed", "failed", "seconds", ""]
                .map(str::to_owned)
                .to_vec(),
        ];
        for stage in &self.0 {
            total.add(stage.tally.clone());
            let state = match (&stage.error, &stage.tally) {
                (Some(_), _) => "FAILED (see above)",
                (
                    None,
                    Tally {
                        failed: 0, skipped, ..
                    },
                ) if skipped.is_empty() => "ok",
                (None, Tally { failed: 0, .. }) => "ok, but some skipped (see below)",
                (None, _) => "FAILED",
            };
            lines.push(vec![
                stage.name.clone(),
                stage.tally.passed.to_string(),
                stage.tally.failed.to_string(),
                stage.took.as_secs().to_string(),
                state.to_owned(),
            ]);
        }
        println!("\n{}", align(&lines));
        for skipped in &total.skipped {
            println!("skipped: {skipped}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            total.passed,
            total.failed,
            total.skipped.len()
        );
        total
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Tally};

    #[test]
    fn what_cannot_run_is_a_failure() {
        let mut report = Report::default();
        report.stage("tests", || {
            Ok(Tally {
                passed: 4,
                skipped: vec!["one: it is not here".to_owned()],
                ..Tally::default()
            })
        });
        assert_eq!(report.check("fine", || Ok(7)), Some(7));
        assert_eq!(
            report.check("broken", || anyhow::bail!("no") as anyhow::Result<()>),
            None
        );
        assert_eq!(
            report.print(),
            Tally {
                passed: 4,
                failed: 1,
                skipped: vec!["one: it is not here".to_owned()],
            }
        );
    }
}
