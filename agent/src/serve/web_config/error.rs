//! Why a web configuration cannot be used.
//!
//! # Invariants
//! No message contains a password, a hash or a key.

use std::{io, path::PathBuf};

/// An unusable web configuration.
#[derive(Debug, thiserror::Error)]
#[error("the web configuration {} cannot be used: {reason}", path.display())]
pub struct ConfigError {
    /// The file of `--web.config.file`.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// What is wrong with a web configuration.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// A file cannot be read.
    #[error("{file} cannot be read ({reason}); give a file that the agent may read")]
    Unreadable {
        /// The setting and the path.
        file: String,
        /// The error of the kernel.
        reason: io::Error,
    },
    /// The format is wrong.
    #[error("{0}; its format is that of Prometheus' exporter-toolkit")]
    Format(String),
    /// A setting is wrong or not supported.
    #[error("{0}")]
    Setting(String),
    /// A change that requires a restart.
    #[error("{0} requires a restart of the agent")]
    Restart(&'static str),
}

impl Reason {
    /// A message about a setting.
    pub fn setting(sentence: impl Into<String>) -> Self {
        Self::Setting(sentence.into())
    }
}
