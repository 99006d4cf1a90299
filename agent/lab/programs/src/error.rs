//! What can go wrong with a real program.

use std::io;

/// Why a program's peer could not vanish.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The lab could not do its work.
    #[error(transparent)]
    Lab(#[from] halfopen_lab::Error),
    /// It ended by itself.
    #[error(
        "{program} ended before its peer could vanish ({status}): {said}; if that does not show why, remove the programs' root and let `cargo xtask test` make it again"
    )]
    Ended {
        /// Which.
        program: &'static str,
        /// How, in words.
        status: String,
        /// Its last lines.
        said: String,
    },
    /// It did not answer its client as it should.
    #[error(
        "{program} did not greet its client: {source}; it says: {said}; check its configuration in the catalog"
    )]
    Mute {
        /// Which.
        program: &'static str,
        /// What came instead.
        source: io::Error,
        /// Its last lines.
        said: String,
    },
}
