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
use halfopen_lab::{
    Error,
    classify::assessment::Exactness,
    observe::{agent_client::AgentThresholds, agent_process::AgentProcess, http::Origin},
    report::SelftestReport,
    scenario::session::{self, IGNORE_FILTER, SelftestTerms},
    stress::{self, StressTest},
};

use crate::commands::{self, lab_failure};
use halfopen_core::model::hook::Mechanism;

/// This very binary, even when its file has been replaced meanwhile.
const MYSELF: &str = "/proc/self/exe";

/// What to play, against which agent.
#[derive(Debug)]
pub struct SelftestConfig {
    /// The mechanism under test; `None` for the best of each hook.
    pub mechanism: Option<Mechanism>,
    /// The scenarios with these numbers; all if empty.
    pub scenarios: Vec<u16>,
    /// A stress test instead of the scenarios.
    pub stress: Option<StressTest>,
    /// Connections that live on for so long instead of the scenarios.
    pub living: Option<Duration>,
    /// URL of the agent under test instead of one of our own.
    pub from: Option<String>,
    /// Whether to write JSON lines instead of a table.
    pub json: bool,
    /// Figures to expect instead of the table's.
    pub falsified: Vec<(String, String, u64)>,
    /// A file for the agent's metrics.
    pub metrics_out: Option<PathBuf>,
}

/// Plays the scenarios and prints what was found.
///
/// # Errors
/// When the result cannot be written.
pub fn run(config: &SelftestConfig) -> anyhow::Result<ExitCode> {
    if !config.json {
        let (what, takes) = match (config.stress, config.living) {
            (Some(test), _) => (
                format!("{} connections are dying", test.connections),
                format!("about {} s", test.lasts.as_secs() + 20),
            ),
            (None, Some(lasts)) => (
                "connections live on".to_owned(),
                format!("about {} s", lasts.as_secs() + 20),
            ),
            (None, None) => (
                "connections are dying".to_owned(),
                "about a minute".to_owned(),
            ),
        };
        // Nobody reads a closed standard error.
        drop(writeln!(
            io::stderr(),
            "{what} in private network namespaces; this takes {takes}"
        ));
    }
    let report = match test(config) {
        Ok(report) => report,
        Err(error) => return Ok(lab_failure::report(&error)),
    };
    if let Some(path) = &config.metrics_out {
        fs::write(path, &report.metrics)
            .with_context(|| format!("cannot write the metrics to {}", path.display()))?;
    }
    commands::print(&if config.json {
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

impl SelftestConfig {
    /// Plays what was asked for while the agent at `origin` observes.
    fn play(&self, origin: &Origin, terms: &SelftestTerms) -> Result<SelftestReport, Error> {
        match (self.stress, self.living) {
            (Some(test), _) => stress::run(origin, test, terms.exactness),
            (None, Some(lasts)) => session::run_living(origin, lasts, terms),
            (None, None) => session::run(origin, &self.scenarios, terms),
        }
    }
}

fn test(config: &SelftestConfig) -> Result<SelftestReport, Error> {
    let _lock = session::prepare()?;
    if let Some(url) = &config.from {
        let terms = SelftestTerms {
            exactness: None,
            thresholds: AgentThresholds::Theirs,
            falsified: config.falsified.clone(),
        };
        return config.play(&Origin::parse(url)?, &terms);
    }
    let exactness = config.mechanism.map(|mechanism| match mechanism {
        Mechanism::Fentry | Mechanism::Kprobe => Exactness::Exact,
        Mechanism::Tracepoint => Exactness::NeverOver,
    });
    let mechanism = config.mechanism.map_or("auto", Mechanism::as_str);
    let mut flags = vec![
        "agent",
        "--hooks",
        mechanism,
        "--web.listen-address",
        "127.0.0.1:0",
        "--log-format",
        "json",
        "--log-level",
        "info",
    ];
    // A storm shows what an agent counts that ignores nothing.
    if config.stress.is_none() {
        flags.extend(["--ignore", IGNORE_FILTER]);
    }
    let agent = AgentProcess::start(Path::new(MYSELF), &flags)?;
    let terms = SelftestTerms {
        exactness,
        thresholds: AgentThresholds::Ours,
        falsified: config.falsified.clone(),
    };
    let report = config.play(agent.origin(), &terms)?;
    if report.tally().1 > 0 {
        for line in agent.logged() {
            drop(writeln!(io::stderr(), "agent: {line}"));
        }
    }
    agent.stop()?;
    Ok(report)
}
