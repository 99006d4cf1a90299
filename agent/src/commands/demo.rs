//! `halfopen demo`: shows a newcomer one death, as the kernel and a running agent counted it.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use halfopen_lab::{observe::http::Origin, scenario::demo};

use crate::commands::{self, selftest};

/// The flags of `halfopen demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The agent to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9841")]
    from: String,
}

/// Lets a connection die and prints what was counted.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    match Origin::parse(&args.from).and_then(|origin| demo::run(&origin)) {
        Err(error) => Ok(selftest::failed(&error)),
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
