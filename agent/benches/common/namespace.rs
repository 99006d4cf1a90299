//! A network namespace that lives as long as a descriptor of it.
//!
//! # Invariants
//! The calling thread stays in its own namespace.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd, linux::fs::MetadataExt},
    path::{Path, PathBuf},
    process, thread,
};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::network;

/// One of them.
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// The calling thread's.
    pub fn current() -> Result<Self> {
        let file = File::open("/proc/thread-self/ns/net");
        let file = file.context("opening the network namespace")?;
        Ok(Self { file })
    }

    /// A new one, with loopback.
    pub fn new() -> Result<Self> {
        let made = thread::spawn(|| {
            network::enter_private()?;
            Self::current()
        });
        made.join()
            .map_err(|_| anyhow!("making a network namespace panicked"))?
    }

    /// Where processes that this one starts find it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd()).into()
    }
}

/// Moves the calling thread to the namespace at `path`.
pub fn enter(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET)
        .with_context(|| format!("entering the network namespace {}", path.display()))
}

/// The inode number of the namespace at `path`.
pub fn inode(path: &Path) -> Result<u32> {
    let metadata =
        fs::metadata(path).with_context(|| format!("asking after {}", path.display()))?;
    u32::try_from(metadata.st_ino()).context("a namespace's inode number has 32 bits")
}
