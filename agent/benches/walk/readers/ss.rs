//! `ss` of iproute2, with its output read and thrown away.
//!
//! # Invariants
//! Its output is read to the end before its process is waited for: otherwise both block.

use std::{
    io::ErrorKind,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};

use super::way::{SocketsSeen, Way, lines};
use crate::usage::{children, children_cpu};

/// How it is called.
pub struct Ss {
    pub flags: &'static str,
}

impl Way for Ss {
    fn read(&mut self) -> Result<SocketsSeen> {
        let ss = Command::new("ss")
            .arg(self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut ss = ss.map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!("no `ss` here: install the package iproute2"),
            _ => anyhow!("starting `ss`: {error}"),
        })?;
        let output = ss.stdout.take().context("its stdout is a pipe")?;
        // What belongs to the socket above is indented; the first line has the titles.
        let lines = lines(output, |first| !first.is_ascii_whitespace());
        let ended = ss.wait().context("waiting for `ss`")?;
        ensure!(ended.success(), "`ss {}` failed: {ended}", self.flags);
        Ok(lines.context("reading from `ss`")?.saturating_sub(1).into())
    }

    fn cpu(&self) -> Result<Duration> {
        children_cpu()
    }

    fn reset_peak(&mut self) -> Result<()> {
        // Each is a process of its own.
        Ok(())
    }

    fn peak_kib(&self) -> Result<u64> {
        Ok(children()?.max_rss().try_into()?)
    }
}
