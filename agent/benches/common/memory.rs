//! Whether the machine has the memory for a benchmark's sockets.

use std::fs;

use anyhow::{Context, Result, ensure};

/// A million sockets were seen to take 3.9 GB; the rest is for the pages of their allocator.
const BYTES_PER_SOCKET: u64 = 5_000;
/// For the readers, of which some gather every socket before they show one.
const READER_BYTES_PER_SOCKET: u64 = 1_000;
const READER_BYTES: u64 = 200_000_000;

/// Refuses what the machine's memory cannot hold.
pub fn check(sockets: u32) -> Result<()> {
    let needed = u64::from(sockets) * (BYTES_PER_SOCKET + READER_BYTES_PER_SOCKET) + READER_BYTES;
    let memory = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let available = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .context("/proc/meminfo tells no MemAvailable")?
        * 1_024;
    ensure!(
        needed <= available,
        "{sockets} sockets take some {} MB with their readers, and {} MB are available: ask for \
         fewer with --sockets",
        needed / 1_000_000,
        available / 1_000_000
    );
    Ok(())
}
