//! `halfopen demo`: shows a newcomer one death, as the kernel and a running agent counted it.

use std::process::ExitCode;

use anyhow::Context;
use halfopen_lab::{observe::http::Origin, scenario::demo};

use crate::commands::{self, lab_failure};

/// Lets a connection die and prints what the agent at this URL counted.
///
/// # Errors
/// When it cannot be written.
pub fn run(agent: &str) -> anyhow::Result<ExitCode> {
    match Origin::parse(agent).and_then(|origin| demo::run(&origin)) {
        Err(error) => Ok(lab_failure::report(&error)),
        Ok(report) => {
            commands::print(&report.text).context("cannot write to standard output")?;
            Ok(if report.agreed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
    }
}
