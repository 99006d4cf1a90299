//! `halfopen unpin`: removes what an agent that has ended left in the kernel as it was told to.
//! It must never take it away from an agent that runs.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    bpf::{self, pin},
    options,
};

/// The flags of `halfopen unpin`.
#[derive(Debug, Args)]
pub struct UnpinArgs {
    /// The directory that was given to `halfopen agent --pin`
    #[arg(value_name = "DIR", default_value = options::PINS)]
    directory: PathBuf,
}

/// Removes it.
///
/// # Errors
/// When an agent runs there, it is no such directory, or it cannot be removed.
pub fn run(args: &UnpinArgs) -> anyhow::Result<ExitCode> {
    pin::unpin(&args.directory).map_err(bpf::Error::from)?;
    Ok(ExitCode::SUCCESS)
}
