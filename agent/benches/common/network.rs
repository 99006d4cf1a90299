//! The private network the load runs in.

use std::fs;

use anyhow::{Context, Result};

/// More TIME_WAIT sockets than all storms leave behind: beyond it the kernel writes a line into its
/// log for each.
const TIME_WAITS: &str = "4000000";

/// Moves the calling thread, and those it will start, into a new network namespace with room for TIME_WAIT.
pub fn enter_private() -> Result<()> {
    halfopen_lab::net::enter_private()?;
    fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", TIME_WAITS)
        .context("raising tcp_max_tw_buckets")
}
