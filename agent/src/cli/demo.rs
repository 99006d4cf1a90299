//! The arguments of `halfopen demo`.

use clap::Args;

/// The flags of `halfopen demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// URL of the agent to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9841")]
    pub(super) from: String,
}
