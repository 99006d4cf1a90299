//! The arguments of `halfopen unpin`.

use std::path::PathBuf;

use clap::Args;

use crate::options;

/// The flags of `halfopen unpin`.
#[derive(Debug, Args)]
pub struct UnpinArgs {
    /// Directory that was given to `halfopen agent --pin`
    #[arg(value_name = "DIR", default_value = options::PINS)]
    pub(super) directory: PathBuf,
}
