//! Stages, their counts, and the summary at the end, with what was left out.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::columns::align;

/// What a stage needs, from the cheapest on; and how far a run was asked to go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Neither root nor virtual machines.
    Fast,
    /// Root on this machine's kernel.
    Host,
    /// Virtual machines.
    Everything,
}

impl Scope {
    /// The flag that limits a run to this scope.
    const fn flag(self) -> &'static str {
        match self {
            Self::Fast => "--fast",
            Self::Host => "--host-only",
            Self::Everything => "",
        }
    }
}

/// Counted tests.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that could not run, each with the reason.
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

/// What has run so far, and what was left out.
pub struct Report {
    scope: Scope,
    stages: Vec<Stage>,
    left_out: Vec<String>,
}

impl Report {
    /// For a run that was asked to go as far as `scope`.
    pub const fn new(scope: Scope) -> Self {
        Self {
            scope,
            stages: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Runs a stage of tests, where the run goes that far; one that could not run at all counts as one
    /// failure.
    pub fn stage(&mut self, needs: Scope, name: &str, run: impl FnOnce() -> Result<Tally>) {
        if needs > self.scope {
            self.left_out.push(name.to_owned());
            return;
        }
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
        let seconds = took.as_secs();
        match &error {
            Some(error) => println!("{name}: FAILED after {seconds} s: {error}"),
            None if tally == Tally::default() => println!("{name}: ok, {seconds} s"),
            None => println!(
                "{name}: {} passed, {} failed, {seconds} s",
                tally.passed, tally.failed
            ),
        }
        self.stages.push(Stage {
            name: name.to_owned(),
            tally,
            error,
            took,
        });
    }

    /// Runs a check, which counts no tests of its own unless it fails.
    pub fn check<T>(
        &mut self,
        needs: Scope,
        name: &str,
        run: impl FnOnce() -> Result<T>,
    ) -> Option<T> {
        let mut value = None;
        self.stage(needs, name, || {
            value = Some(run()?);
            Ok(Tally::default())
        });
        value
    }

    /// Prints every stage, what was left out, then the one line that counts.
    pub fn print(&self) -> Tally {
        let mut total = Tally::default();
        let mut lines = vec![
            ["stage", "passed", "failed", "seconds", ""]
                .map(str::to_owned)
                .to_vec(),
        ];
        for stage in &self.stages {
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
        if let Some(text) = self.left_out() {
            println!("{text}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            total.passed,
            total.failed,
            total.skipped.len()
        );
        total
    }

    /// What the flag left out, and what runs it; nothing where everything ran.
    fn left_out(&self) -> Option<String> {
        if self.left_out.is_empty() {
            return None;
        }
        Some(format!(
            "{} left out:\n  {}\n`cargo xtask test` runs all of it.",
            self.scope.flag(),
            self.left_out.join("\n  ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Scope, Tally};

    #[test]
    fn what_cannot_run_is_a_failure() {
        let mut report = Report::new(Scope::Everything);
        report.stage(Scope::Fast, "tests", || {
            Ok(Tally {
                passed: 4,
                skipped: vec!["one: it is not here".to_owned()],
                ..Tally::default()
            })
        });
        assert_eq!(report.check(Scope::Host, "fine", || Ok(7)), Some(7));
        assert_eq!(
            report.check(Scope::Everything, "broken", || anyhow::bail!("no")
                as anyhow::Result<()>),
            None
        );
        assert_eq!(report.left_out(), None);
        assert_eq!(
            report.print(),
            Tally {
                passed: 4,
                failed: 1,
                skipped: vec!["one: it is not here".to_owned()],
            }
        );
    }

    #[test]
    fn what_a_flag_leaves_out_is_named_and_not_run() {
        let mut report = Report::new(Scope::Fast);
        assert_eq!(report.check(Scope::Fast, "format", || Ok(1)), Some(1));
        report.stage(Scope::Host, "tests as root", || panic!("it ran"));
        let mut has_run = false;
        let nothing = report.check(Scope::Everything, "other kernels", || {
            has_run = true;
            Ok(())
        });
        assert_eq!((nothing, has_run), (None, false));
        assert_eq!(
            report.left_out().unwrap(),
            "--fast left out:\n  tests as root\n  other kernels\n`cargo xtask test` runs all of it."
        );
        assert_eq!(report.print(), Tally::default());
    }
}
