//! The arguments of `halfopen doctor`.

use clap::Args;

use super::hooks::HookArgs;
use crate::commands::doctor::DoctorConfig;

/// The flags of `halfopen doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    hooks: HookArgs,
    /// Write one JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl DoctorArgs {
    pub(super) fn config(&self) -> DoctorConfig {
        DoctorConfig {
            kernel: self.hooks.options(),
            json: self.json,
        }
    }
}
