//! Why a web configuration cannot be used.
//! It must never show a password, a hash or a key.

use std::{io, path::PathBuf};

/// A web configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the web configuration {} cannot be used: {reason}", path.display())]
pub struct ConfigError {
    /// The file of `--web.config.file`.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a web configuration.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// A file cannot be read.
    #[error("{file} cannot be read ({reason}); give a file that the agent may read")]
    Unreadable {
        /// Which; with the key that names it.
        file: String,
        /// What the kernel said.
        reason: io::Error,
    },
    /// Not of the format.
    #[error("{0}; its format is that of Prometheus' exporter-toolkit")]
    Form(String),
    /// A setting is wrong, or cannot be met.
    #[error("{0}")]
    Setting(String),
    /// A change that takes a restart.
    #[error("{0} takes a restart of the agent")]
    Restart(&'static str),
}

impl Reason {
    /// A sentence about a setting.
    pub fn setting(sentence: impl Into<String>) -> Self {
        Self::Setting(sentence.into())
    }
}
