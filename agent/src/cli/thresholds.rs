//! Flags that set the thresholds of the verdicts.

use std::time::Duration;

use clap::Args;

use halfopen_core::{filter, model::liveness::Thresholds};

/// From when on silence means something.
#[derive(Debug, Clone, Copy, Args)]
pub struct ThresholdArgs {
    /// Time without data in either direction after which an established connection is idle: 30s, 5m, 1h
    #[arg(
        long,
        value_name = "TIME",
        env = "HALFOPEN_IDLE_THRESHOLD",
        default_value = "5m",
        value_parser = filter::duration
    )]
    pub idle_threshold: Duration,
    /// Time without data in either direction after which a connection in CLOSE_WAIT, or in FIN_WAIT2 and still held by
    /// its application, is stale
    #[arg(
        long,
        value_name = "TIME",
        env = "HALFOPEN_CLOSE_WAIT_THRESHOLD",
        default_value = "5m",
        value_parser = filter::duration
    )]
    pub close_wait_threshold: Duration,
}

impl ThresholdArgs {
    /// For the model.
    #[must_use]
    pub const fn thresholds(&self) -> Thresholds {
        Thresholds {
            idle: self.idle_threshold,
            close_wait: self.close_wait_threshold,
        }
    }
}
