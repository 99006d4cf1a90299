//! `halfopen selftest`: connections die in every known way, and every count is compared.
//! It must never judge by the agent's own word: what is right comes from the lab.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use halfopen_lab::{
    Error,
    agent::Agent,
    http::Origin,
    judge::Policy,
    judgement::Thresholds,
    report::Report,
    session::{self, Terms},
};

use crate::{cli::Hooks, commands};

/// This very binary, even when its file has been replaced meanwhile.
const MYSELF: &str = "/proc/self/exe";

/// The flags of `halfopen selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Mechanism of the hooks under test; auto takes the best that attaches, for each hook
    #[arg(long, value_enum, default_value = "auto")]
    hooks: Hooks,
    /// Only the scenarios with these numbers
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = session::number)]
    scenario: Vec<u16>,
    /// Test the agent that answers here instead of starting one
    #[arg(long, value_name = "URL", conflicts_with = "hooks")]
    from: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Expect another figure than the table's, to see the self-test fail: '7 outbound
    /// keepalive_probes=4'
    #[arg(long, value_name = "EXPECTATION", hide = true, value_parser = session::falsified)]
    falsify: Vec<(String, String, u64)>,
    /// Write the agent's metrics, as they were judged, to this file
    #[arg(long, value_name = "FILE")]
    metrics_out: Option<PathBuf>,
}

/// Plays the scenarios and prints what was found.
///
/// # Errors
/// When the result cannot be written.
pub fn run(args: &SelftestArgs) -> anyhow::Result<ExitCode> {
    if !args.json {
        // Where standard error is closed there is nobody to tell.
        drop(writeln!(
            io::stderr(),
            "connections are dying in private network namespaces; this takes about a minute"
        ));
    }
    let report = match test(args) {
        Ok(report) => report,
        Err(error) => return Ok(failed(&error)),
    };
    if let Some(path) = &args.metrics_out {
        fs::write(path, &report.metrics)
            .with_context(|| format!("cannot write the metrics to {}", path.display()))?;
    }
    commands::print(&if args.json {
        report.json()
    } else {
        report.table()
    })
    .context("cannot write the result to standard output")?;
    let (_, failures, _) = report.tally();
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn test(args: &SelftestArgs) -> Result<Report, Error> {
    let _turn = session::prepare()?;
    if let Some(url) = &args.from {
        let terms = Terms {
            policy: None,
            thresholds: Thresholds::Theirs,
            falsified: args.falsify.clone(),
        };
        return session::run(&Origin::parse(url)?, &args.scenario, &terms);
    }
    let (mechanism, policy) = match args.hooks {
        Hooks::Auto => (args.hooks, None),
        Hooks::Fentry | Hooks::Kprobe => (args.hooks, Some(Policy::Exact)),
        Hooks::Tracepoint => (args.hooks, Some(Policy::NeverOver)),
    };
    let mechanism = mechanism.to_possible_value();
    let mechanism = mechanism.as_ref().map_or("auto", |value| value.get_name());
    let agent = Agent::start(
        Path::new(MYSELF),
        &[
            "agent",
            "--hooks",
            mechanism,
            "--web.listen-address",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--log-level",
            "info",
        ],
    )?;
    let terms = Terms {
        policy,
        thresholds: Thresholds::Ours,
        falsified: args.falsify.clone(),
    };
    let report = session::run(agent.origin(), &args.scenario, &terms)?;
    if report.tally().1 > 0 {
        for line in agent.logged() {
            drop(writeln!(io::stderr(), "agent: {line}"));
        }
    }
    agent.stop()?;
    Ok(report)
}

/// Tells why; the lab's errors carry their own exit code.
pub(super) fn failed(error: &Error) -> ExitCode {
    // Where standard error is closed there is nobody to tell.
    drop(writeln!(io::stderr(), "halfopen: {error}"));
    ExitCode::from(error.exit_code())
}
