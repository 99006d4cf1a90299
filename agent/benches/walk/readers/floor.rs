//! The kernel's own iterator with an empty program, entered in each namespace: the naive sweep.
//!
//! # Invariants
//! Not measured while the kernel counts its runs: counting costs time.

use std::path::PathBuf;

use anyhow::Result;

use super::way::{SocketsSeen, Way};
use crate::{iterator::Iterator, namespace};

/// The loaded iterator.
pub struct Floor {
    iterator: Iterator,
    namespaces: Vec<PathBuf>,
    /// The program itself counts nothing: the kernel did, beforehand.
    seen: Option<u64>,
}

impl Floor {
    /// Loads it.
    pub fn load(namespaces: &[PathBuf]) -> Result<Self> {
        let mut floor = Self {
            iterator: Iterator::load()?,
            namespaces: namespaces.to_vec(),
            seen: None,
        };
        let counted = floor
            .iterator
            .count(namespaces.len() as u64, || floor.sweep());
        floor.seen = counted.ok();
        Ok(floor)
    }

    fn sweep(&self) -> Result<()> {
        for path in &self.namespaces {
            namespace::enter(path)?;
            self.iterator.run()?;
        }
        Ok(())
    }
}

impl Way for Floor {
    fn read(&mut self) -> Result<SocketsSeen> {
        self.sweep()?;
        Ok(SocketsSeen {
            sockets: self.seen,
            ..SocketsSeen::default()
        })
    }
}
