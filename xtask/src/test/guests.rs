//! The scenarios in virtual machines: a stage of `cargo xtask test`, and `cargo xtask vm` by itself.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::report::{Report, Scope, Tally};
use super::rows::Selftest;
use super::summary::{conclude, keep};
use crate::{dist, vm};

/// What `cargo xtask vm` was asked.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    choice: vm::Choice,
    /// A static binary to run instead of building one.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Runs the task.
pub fn main(args: &Args) -> Result<()> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => dist::build(None)?,
    };
    let (mut report, mut selftests) = (Report::new(Scope::Everything), Vec::new());
    report.stage(Scope::Everything, "virtual machines", || {
        play(&binary, &args.choice, &mut selftests)
    });
    conclude(&report, &[(args.choice.title(), &selftests)]);
    Ok(())
}

/// Runs the guests, printing a line as each ends; their self-tests are added to `selftests`.
pub fn play(binary: &Path, choice: &vm::Choice, selftests: &mut Vec<Selftest>) -> Result<Tally> {
    let mut tally = Tally::default();
    for run in vm::run_all(binary, choice, |run| println!("{}", outcome(run)))? {
        tally.add(keep(selftests, read(&run)));
    }
    Ok(tally)
}

fn label(run: &vm::Run) -> String {
    format!("{} {}", run.kernel, run.mechanism)
}

fn read(run: &vm::Run) -> Selftest {
    match &run.outcome {
        Ok(outcome) => Selftest::read(&label(run), &outcome.rows, outcome.exit),
        Err(why) => Selftest::broken(&label(run), format!("{why:#}")),
    }
}

fn outcome(run: &vm::Run) -> String {
    let selftest = read(run);
    let mut counts = format!(
        "{}: {} passed, {} failed",
        selftest.label,
        selftest.passed(),
        selftest.failed()
    );
    match selftest.played_again() {
        0 => {}
        again => counts.push_str(&format!(", {again} played again (a late machine)")),
    }
    match &run.outcome {
        Ok(outcome) if selftest.failed() == 0 => format!("{counts}, {} s", outcome.took.as_secs()),
        Ok(outcome) => format!("{counts}; its console ended in:\n{}", outcome.console),
        Err(why) => format!("{counts}: {why:#}"),
    }
}
