//! `halfopen unpin`: removes what `halfopen agent --pin` left in the kernel.
//!
//! # Invariants
//! Nothing is removed while an agent runs there.

use std::{path::Path, process::ExitCode};

use crate::bpf::{self, pin};

/// Removes what is pinned in `directory`.
///
/// # Errors
/// When an agent runs there, it is no such directory, or it cannot be removed.
pub fn run(directory: &Path) -> anyhow::Result<ExitCode> {
    pin::unpin(directory).map_err(bpf::Error::from)?;
    Ok(ExitCode::SUCCESS)
}
