//! `halfopen selftest`: connections die in every known way, and every count is compared.
//! What is right comes from the lab, never from the agent.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use halfopen_lab::{
    Error,
    classify::assessment::Exactness,
    observe::{agent_client::AgentThresholds, agent_process::AgentProcess, http::Origin},
    report::SelftestReport,
    scenario::session::{self, SelftestTerms},
    stress::{self, StressTest},
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
    /// Stress test instead of the scenarios: N connections die of every cause within two minutes, and each
    /// death record is checked against what was done
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "10000",
          value_parser = clap::value_parser!(u32).range(100..=30_000),
          conflicts_with = "scenario")]
    storm: Option<u32>,
    /// Duration of the stress test, in seconds
    #[arg(long, value_name = "N", default_value_t = 120, hide = true, requires = "storm",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    storm_seconds: u64,
    /// Test the agent that answers here instead of starting one
    #[arg(long, value_name = "URL", conflicts_with = "hooks")]
    from: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Expect another figure than the table's, to see the self-test fail: '7 outbound
    /// keepalive_probes=4'
    #[arg(long, value_name = "EXPECTATION", hide = true, conflicts_with = "storm",
          value_parser = session::falsified)]
    falsify: Vec<(String, String, u64)>,
    /// Write the agent's metrics, as they were compared, to this file
    #[arg(long, value_name = "FILE")]
    metrics_out: Option<PathBuf>,
}

/// Plays the scenarios and prints what was found.
///
/// # Errors
/// When the result cannot be written.
pub fn run(args: &SelftestArgs) -> anyhow::Result<ExitCode> {
    if !args.json {
        let (many, takes) = args.stress().map_or_else(
            || (String::new(), "about a minute".to_owned()),
            |test| {
                let seconds = test.lasts.as_secs() + 20;
                (
                    format!("{} ", test.connections),
                    format!("about {seconds} s"),
                )
            },
        );
        // Where standard error is closed there is nobody to tell.
        drop(writeln!(
            io::stderr(),
            "{many}connections are dying in private network namespaces; this takes {takes}"
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

impl SelftestArgs {
    fn stress(&self) -> Option<StressTest> {
        self.storm.map(|connections| StressTest {
            connections,
            lasts: Duration::from_secs(self.storm_seconds),
        })
    }

    /// Plays what was asked for while the agent at `origin` observes.
    fn play(&self, origin: &Origin, terms: &SelftestTerms) -> Result<SelftestReport, Error> {
        match self.stress() {
            Some(test) => stress::run(origin, test, terms.exactness),
            None => session::run(origin, &self.scenario, terms),
        }
    }
}

fn test(args: &SelftestArgs) -> Result<SelftestReport, Error> {
    let _lock = session::prepare()?;
    if let Some(url) = &args.from {
        let terms = SelftestTerms {
            exactness: None,
            thresholds: AgentThresholds::Theirs,
            falsified: args.falsify.clone(),
        };
        return args.play(&Origin::parse(url)?, &terms);
    }
    let (mechanism, exactness) = match args.hooks {
        Hooks::Auto => (args.hooks, None),
        Hooks::Fentry | Hooks::Kprobe => (args.hooks, Some(Exactness::Exact)),
        Hooks::Tracepoint => (args.hooks, Some(Exactness::NeverOver)),
    };
    let mechanism = mechanism.to_possible_value();
    let mechanism = mechanism.as_ref().map_or("auto", |value| value.get_name());
    let agent = AgentProcess::start(
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
    let terms = SelftestTerms {
        exactness,
        thresholds: AgentThresholds::Ours,
        falsified: args.falsify.clone(),
    };
    let report = args.play(agent.origin(), &terms)?;
    if report.tally().1 > 0 {
        for line in agent.logged() {
            drop(writeln!(io::stderr(), "agent: {line}"));
        }
    }
    agent.stop()?;
    Ok(report)
}

/// Prints why; the lab's errors carry their own exit code.
pub(super) fn failed(error: &Error) -> ExitCode {
    // Where standard error is closed there is nobody to tell.
    drop(writeln!(io::stderr(), "halfopen: {error}"));
    ExitCode::from(error.exit_code())
}
