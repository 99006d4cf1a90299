//! What programs that this process started and waited for have taken.
//!
//! # Invariants
//! Those that still run do not count.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::{
    resource::{Usage, UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};

/// Of all of them so far.
pub fn children() -> Result<Usage> {
    getrusage(UsageWho::RUSAGE_CHILDREN).context("asking what the programs it started took")
}

/// Time the processors have worked for them so far.
pub fn children_cpu() -> Result<Duration> {
    let usage = children()?;
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds());
    let sum = micros(usage.user_time())? + micros(usage.system_time())?;
    Ok(Duration::from_micros(sum))
}
