//! What each way to read every socket does, and how it is measured.

use std::{
    fs,
    io::{self, Read},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// What was seen in one reading.
#[derive(Default)]
pub struct SocketsSeen {
    pub sockets: Option<u64>,
    /// Anything odd about it.
    pub remark: String,
}

impl From<u64> for SocketsSeen {
    fn from(sockets: u64) -> Self {
        Self {
            sockets: Some(sockets),
            remark: String::new(),
        }
    }
}

/// One way to read. What is measured is this process, unless a way says otherwise.
pub trait Way {
    /// Reads every socket once.
    fn read(&mut self) -> Result<SocketsSeen>;

    /// Time the processors have worked for it so far.
    fn cpu(&self) -> Result<Duration> {
        Ok(Duration::try_from(clock_gettime(ClockId::ProcessCPUTime))?)
    }

    /// Forgets memory that was had before.
    fn reset_peak(&mut self) -> Result<()> {
        fs::write("/proc/self/clear_refs", "5").context("resetting the peak of memory")
    }

    /// The most memory it has had since.
    fn peak_kib(&self) -> Result<u64> {
        peak_kib("self")
    }
}

/// The most memory a process has had, or `self`.
pub fn peak_kib(process: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("{path} tells no VmHWM"))
}

/// Reads to the end, and counts the lines for which the first byte speaks.
pub fn lines(mut input: impl Read, counts: impl Fn(u8) -> bool) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 18];
    let mut lines = 0;
    let mut previous = b'\n';
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok(lines);
        }
        for byte in &buffer[..read] {
            lines += u64::from(previous == b'\n' && counts(*byte));
            previous = *byte;
        }
    }
}
