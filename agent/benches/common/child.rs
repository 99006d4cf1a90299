//! This program started anew for a part of the work, led by lines on its stdin.
//!
//! # Invariants
//! It ends with the benchmark.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    process::{self, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, set_parent_process_death_signal};

/// One such process, seen from the benchmark. It ends when this is dropped.
pub struct Child {
    process: process::Child,
    /// `None` once it is to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts this program in the calling thread's network namespace.
    pub fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<Self> {
        let program = env::current_exe().context("finding this program")?;
        let mut process = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting this program anew")?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("its stdout is a pipe")?;
        Ok(Self {
            process,
            input,
            output: BufReader::new(output),
        })
    }

    /// Has it do its work once more.
    pub fn ask(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("it was told to end")?;
        input.write_all(b"\n").context("asking a process of ours")
    }

    /// The next line it writes.
    pub fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        if read.context("hearing a process of ours")? == 0 {
            bail!("a process of ours ended early: {}", self.process.wait()?);
        }
        Ok(line.trim_end().to_owned())
    }

    /// Has it end, and does not wait.
    pub fn dismiss(&mut self) {
        self.input = None;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.dismiss();
        // It is gone either way.
        let _ = self.process.wait();
    }
}

/// In the process itself: has the kernel end it with the thread that started it. The end of stdin
/// does too, but is heard only between two pieces of work.
pub fn die_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the benchmark")
}
