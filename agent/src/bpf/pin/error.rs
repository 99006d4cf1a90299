//! Why nothing can be pinned in a directory, and what to do about it.
//!
//! # Invariants
//! What was pinned before is still there after each of these errors.

use std::{io, path::PathBuf};

use halfopen_common::layout::LAYOUT;

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Only a BPF file system can hold maps.
    #[error(
        "{directory} is not on a BPF file system (bpffs), in which alone maps outlive the agent: mount one with `mount -t bpf bpf /sys/fs/bpf`, or name a directory on one with --pin=DIR"
    )]
    NotBpffs {
        /// The directory.
        directory: PathBuf,
    },
    /// The file system refused.
    #[error(
        "cannot {what} {path}: {source}; the BPF file system must be writable for this process"
    )]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another agent uses it.
    #[error(
        "another halfopen uses {directory}: end it first, or give this one a directory of its own with --pin=DIR"
    )]
    Busy {
        /// The directory.
        directory: PathBuf,
    },
    /// There are other things in it.
    #[error(
        "{directory} holds {name}, which is not of halfopen's making: name a directory of its own with --pin=DIR"
    )]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// One of the things.
        name: String,
    },
    /// Maps that this program would misread.
    #[error(
        "{directory} holds pins {found}; this is halfopen {version} and needs layout {LAYOUT}: remove them, and what they have counted, with `halfopen unpin {directory}`, or start the version that made them",
        version = env!("CARGO_PKG_VERSION")
    )]
    OtherLayout {
        /// The directory.
        directory: PathBuf,
        /// Whose they are.
        found: String,
    },
    /// Tables of another size than asked for.
    #[error(
        "{directory} holds a table with room for {found}, and {flag} is {asked}: start with {flag} {found}, or remove what is pinned, and what it has counted, with `halfopen unpin {directory}`"
    )]
    OtherLimit {
        /// The directory.
        directory: PathBuf,
        /// The flag that says how many.
        flag: &'static str,
        /// The room that there is.
        found: u32,
        /// The room that was asked for.
        asked: u32,
    },
    /// The kernel would not.
    #[error(
        "cannot pin {what}: {why}; links of kprobes can be pinned from Linux 5.15 on: try --hooks tracepoint"
    )]
    Pin {
        /// Where.
        what: PathBuf,
        /// Why not.
        why: String,
    },
}

impl PinError {
    /// For `map_err`.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// The process's exit code: 4 for a missing privilege or kernel feature, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotBpffs { .. } | Self::Pin { .. } => 4,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 4,
            _ => 1,
        }
    }
}
