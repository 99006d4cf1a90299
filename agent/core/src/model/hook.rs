//! The state of the hooks: how each is attached, and what it costs.

use std::time::Duration;

/// How a hook is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    /// BTF trampolines.
    Fentry,
    /// kprobe and kretprobe.
    Kprobe,
    /// Raw tracepoints.
    Tracepoint,
}

impl Mechanism {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Tracepoint];

    /// The label value, also the value of `--hooks`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// One hook and how it fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookStatus {
    /// The kernel function or tracepoint it is there for.
    pub hook: &'static str,
    /// What it tells us, in a few words.
    pub purpose: &'static str,
    /// The mechanism that attached.
    pub mechanism: Option<Mechanism>,
    /// Mechanisms that were tried or ruled out before, each with the reason.
    pub refused: Vec<(Mechanism, String)>,
    /// Times its programs ran; `None` when BPF statistics are off or it is not attached.
    pub runs: Option<u64>,
    /// Time spent in its programs; `None` as above.
    pub run_time: Option<Duration>,
    /// Times the kernel skipped its programs (recursion, no free return instance); `None` when the
    /// kernel does not say.
    pub misses: Option<u64>,
    /// Instructions the verifier walked through, all its programs together (Linux 5.16+).
    pub verified_instructions: Option<u64>,
}
