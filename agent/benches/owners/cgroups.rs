//! Real cgroups, below the mount that the agent reads.
//!
//! # Invariants
//! Another process removes them, however the benchmark ends.

use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use halfopen::host::cgroups::Cgroups;

use crate::child::Child;

/// Processes in them end as soon as the benchmark does, and the kernel needs a moment for it.
const TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Cgroups for as long as this lives, named as systemd names those of its units.
pub struct Tree {
    leaves: Vec<PathBuf>,
    sweeper: Child,
}

impl Tree {
    /// Makes that many.
    pub fn make(count: u32) -> Result<Self> {
        let cgroups = Cgroups::open(0).context("finding the cgroups")?;
        let name = format!("halfopenbench{}.slice", process::id());
        let root = cgroups.mount_point().join(name);
        // Before there is anything to remove.
        let mut sweeper = Child::start(["sweep".as_ref(), root.as_os_str()])?;
        ensure!(sweeper.answer()? == "ready", "the sweeper is not ready");
        let make = |number| {
            let leaf = root.join(format!("halfopenbench-{number}.service"));
            fs::create_dir_all(&leaf).with_context(|| format!("making {}", leaf.display()))?;
            Ok(leaf)
        };
        Ok(Self {
            leaves: (0..count).map(make).collect::<Result<_>>()?,
            sweeper,
        })
    }

    /// Their directories.
    pub fn leaves(&self) -> &[PathBuf] {
        &self.leaves
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let removed = self.sweeper.ask().and_then(|()| self.sweeper.answer());
        if let Err(error) = removed {
            eprintln!("error: {error:#}");
        }
    }
}

/// In a process of its own: removes the tree when it is asked to, or nobody is there to ask.
pub fn sweep(root: &Path) -> Result<()> {
    // What ends the benchmark from the terminal would end it too.
    rustix::process::setsid().context("leaving the terminal")?;
    println!("ready");
    let _ = io::stdin().read(&mut [0])?;
    let end = Instant::now() + TIMEOUT;
    loop {
        match remove(root) {
            Err(error) if error.kind() != ErrorKind::NotFound && Instant::now() < end => {
                thread::sleep(PAUSE);
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", root.display()));
            }
            _ => break,
        }
    }
    // Who asked may be gone.
    let _ = writeln!(io::stdout(), "removed");
    Ok(())
}

/// Files of cgroups go with their directories.
fn remove(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir(entry.path())?;
        }
    }
    fs::remove_dir(root)
}
