//! Why the kernel cannot be watched, and what to do about it.
//!
//! # Invariants
//! Each message ends with the kernel's own words.

use std::{io, path::PathBuf};

use halfopen_core::model::snapshot::Snapshot;

/// Why watching could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process may not load or attach BPF programs.
    #[error(
        "attaching to the kernel needs {missing}, which this process lacks: run as root (sudo), or grant CAP_BPF, CAP_PERFMON and, to read other network namespaces, CAP_SYS_ADMIN and CAP_SYS_PTRACE"
    )]
    Privilege {
        /// The capabilities that are missing.
        missing: String,
    },
    /// There is no BTF.
    #[error(
        "cannot read the kernel's type information (BTF) from {path}: {source}; the kernel must be built with CONFIG_DEBUG_INFO_BTF=y, or name a BTF file of this very kernel with --btf"
    )]
    NoBtf {
        /// Where it was looked for.
        path: PathBuf,
        /// Why it could not be read.
        source: io::Error,
    },
    /// The file is not BTF, or damaged.
    #[error(
        "{path} is not usable type information (BTF): {reason}; it may be truncated or of another format; leave --btf out to use the kernel's own"
    )]
    BadBtf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file belongs to another kernel.
    #[error(
        "{path} is the type information (BTF) of another kernel than the one that runs: it differs from {own}; offsets taken from it would give wrong numbers; leave --btf out to use the kernel's own"
    )]
    ForeignBtf {
        /// The file.
        path: PathBuf,
        /// The kernel's own.
        own: &'static str,
    },
    /// A type or field that the hooks cannot do without is missing.
    #[error(
        "{path} does not describe {what}, without which no socket can be read; is it the BTF of a Linux kernel with TCP built in?"
    )]
    BtfLacks {
        /// The file.
        path: PathBuf,
        /// What is missing, as `struct.field`.
        what: String,
    },
    /// The kernel refused the object.
    #[error(
        "the kernel refused the maps of the BPF programs: {0:#}; Linux 5.13 or newer is needed, with CONFIG_BPF_SYSCALL=y"
    )]
    Load(#[source] aya::EbpfError),
    /// A map or program is not in the object: it was built from other sources.
    #[error("the embedded BPF object has no {0}; rebuild it with `cargo xtask ebpf`")]
    Object(String),
    /// A map could not be used.
    #[error("cannot use the BPF map {name}: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why.
        source: aya::maps::MapError,
    },
    /// A map could not be mapped into memory.
    #[error("cannot map the BPF array {name} into memory: {source}")]
    Mapping {
        /// Its name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program that is run by hand, and without which nothing can be read, was refused.
    #[error(
        "the kernel refused the program {name}, by which counters are read: {reason}; Linux 5.13 or newer is needed"
    )]
    Unreadable {
        /// Its name.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// Not one hook attached.
    #[error(
        "none of the hooks could be attached on this kernel; first reason: {reason}; `halfopen doctor` shows them all"
    )]
    NothingAttached {
        /// Why the first did not.
        reason: String,
        /// All of them, and what cannot be known without.
        snapshot: Box<Snapshot>,
    },
    /// The sockets could not be walked.
    #[error("cannot read the kernel's table of TCP sockets: {reason}")]
    Walk {
        /// Why.
        reason: String,
    },
    /// Nothing can be pinned, or what is pinned cannot be gone on with.
    #[error(transparent)]
    Pins(#[from] super::pin::PinError),
    /// A thread could not be started.
    #[error("cannot start the thread that {what}: {source}")]
    Thread {
        /// What it is for.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// The process's exit code: 4 for a missing privilege or kernel feature, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Pins(error) => error.exit_code(),
            Self::Privilege { .. }
            | Self::NoBtf { .. }
            | Self::BtfLacks { .. }
            | Self::Load(_)
            | Self::Unreadable { .. }
            | Self::NothingAttached { .. } => 4,
            Self::BadBtf { .. }
            | Self::ForeignBtf { .. }
            | Self::Object(_)
            | Self::Map { .. }
            | Self::Mapping { .. }
            | Self::Walk { .. }
            | Self::Thread { .. } => 1,
        }
    }
}
