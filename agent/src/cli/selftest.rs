//! The arguments of `halfopen selftest`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use halfopen_lab::{scenario::session, stress::StressTest};

use super::hooks::Hooks;
use crate::commands::selftest::SelftestConfig;

/// The flags of `halfopen selftest`.
#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Hook mechanism under test; auto uses the best one that attaches, for each hook
    #[arg(long, value_enum, default_value = "auto")]
    hooks: Hooks,
    /// Run only the scenarios with these numbers
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = session::number)]
    scenario: Vec<u16>,
    /// Run a stress test instead of the scenarios: within two minutes N connections die, of every cause,
    /// and each death record is checked
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "10000",
          value_parser = clap::value_parser!(u32).range(100..=30_000),
          conflicts_with = "scenario")]
    storm: Option<u32>,
    /// Let 40 connections live on for N seconds instead, under loss, pauses, reordering and a small MTU: none
    /// may be a suspect
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "60",
          value_parser = clap::value_parser!(u64).range(20..=3600),
          conflicts_with_all = ["scenario", "storm"])]
    living: Option<u64>,
    /// Duration of the stress test, in seconds
    #[arg(long, value_name = "N", default_value_t = 120, hide = true, requires = "storm",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    storm_seconds: u64,
    /// Test a running agent at this URL instead of starting one
    #[arg(long, value_name = "URL", conflicts_with = "hooks")]
    from: Option<String>,
    /// Write one JSON object per line
    #[arg(long)]
    json: bool,
    /// Expect another figure than the table's, to see the self-test fail: '7 outbound
    /// keepalive_probes=4'
    #[arg(long, value_name = "EXPECTATION", hide = true, conflicts_with_all = ["storm", "living"],
          value_parser = session::falsified)]
    falsify: Vec<(String, String, u64)>,
    /// Write the agent's metrics to this file, as they were checked
    #[arg(long, value_name = "FILE")]
    metrics_out: Option<PathBuf>,
}

impl SelftestArgs {
    pub(super) fn config(&self) -> SelftestConfig {
        SelftestConfig {
            mechanism: self.hooks.forced(),
            scenarios: self.scenario.clone(),
            stress: self.storm.map(|connections| StressTest {
                connections,
                lasts: Duration::from_secs(self.storm_seconds),
            }),
            living: self.living.map(Duration::from_secs),
            from: self.from.clone(),
            json: self.json,
            falsified: self.falsify.clone(),
            metrics_out: self.metrics_out.clone(),
        }
    }
}
