//! The private network the load runs in.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};

/// More TIME_WAIT sockets than all storms leave behind: beyond it the kernel writes a line into its
/// log for each.
const TIME_WAITS: &str = "4000000";

/// Moves the calling thread, and those it will start, into a new network namespace with loopback.
pub fn enter_private() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    let up = up.context("starting `ip` (of iproute2), which brings loopback up")?;
    ensure!(up.success(), "`ip link set lo up` failed: {up}");
    fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", TIME_WAITS)
        .context("raising tcp_max_tw_buckets")
}
