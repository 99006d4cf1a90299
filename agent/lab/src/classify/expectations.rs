//! What a scenario must show: of the kernel's counters, of the agent's counts, and of its verdicts.

use crate::{classify::liveness::LivenessRule, observe::capture};

/// Stands in place of a figure that nothing but the agent fixes.
pub(crate) const OPEN: &str = "any";

/// Deaths of connections that a process accepted in another cgroup than their listener's, as their records have
/// it.
pub(crate) const ACCEPTED_ELSEWHERE: &str = "accepted_elsewhere";

/// Sees the resets that netfilter makes; no tracepoint does.
pub(crate) const NETFILTER_HOOK: &str = "nf_ct_attach";

/// What a kernel counter must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelFigure {
    /// This and nothing else.
    Exactly(u64),
    /// This or more: it depends on how fast the machine is.
    AtLeast(u64),
}

impl KernelFigure {
    /// Compares a count with it; the figure in words if they differ.
    pub(crate) fn check(self, count: u64) -> Result<(), String> {
        match self {
            Self::Exactly(exact) if count != exact => Err(exact.to_string()),
            Self::AtLeast(least) if count < least => Err(format!("at least {least}")),
            _ => Ok(()),
        }
    }
}

/// What the agent must have counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentFigure {
    /// This and nothing else.
    Exactly(u64),
    /// What this counter of the same side's namespace shows.
    Kernel(&'static str),
    /// What the first of these counters of the same side's namespace shows, up to as many more as the second does,
    /// and this many more.
    KernelRange([&'static str; 2], u64),
    /// What this counter of the same side's namespace shows, or less.
    AtMost(&'static str),
    /// 1 where this counter of the same side's namespace shows any.
    KernelAny(&'static str),
    /// This where all hooks are attached that it takes, each `hook` or `hook/mechanism`; else 0.
    Hooked(&'static [&'static str], &'static Self),
    /// Not fixed by anything but the agent.
    Open,
}

/// What one side of the connection must show.
#[derive(Debug, Clone, Copy)]
pub struct SideExpectation {
    /// What the namespace's counters and the capture must show; of [`COMPARED`] and [`CAPTURED`] what is not
    /// named is 0.
    pub kernel: &'static [(&'static str, KernelFigure)],
    /// The agent's counts, `deaths{cause}`, `resets_sent{reason}` and `recoveries{evidence}` in this
    /// form; those not named are 0, but `retransmission_timeouts`, which equals TCPTimeouts.
    pub agent: &'static [(&'static str, AgentFigure)],
}

/// What one scenario must show.
#[derive(Debug, Clone, Copy)]
pub struct Expectations {
    /// The connecting side.
    pub client: SideExpectation,
    /// The accepting side.
    pub server: SideExpectation,
    /// The agent's verdicts meanwhile; no end may have another.
    pub liveness: &'static [LivenessRule],
    /// The client's death record, where it has one.
    pub record: RecordExpectation,
}

/// What the death record of the client's end must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordExpectation {
    /// Silence of its peer before, in milliseconds: at least, and at most.
    pub silence_ms: (u64, u64),
    /// Its retransmission timeouts.
    pub timeouts: Option<AgentFigure>,
    /// Those of them that its peer has not answered, nor anything since.
    pub unanswered: Option<AgentFigure>,
}

impl RecordExpectation {
    /// Any, if its peer was silent for at least this many seconds.
    #[must_use]
    pub const fn silent_for(seconds: u64) -> Self {
        Self {
            silence_ms: (1000 * seconds, u64::MAX),
            timeouts: None,
            unanswered: None,
        }
    }
}

/// What of the capture every scenario fixes.
pub const CAPTURED: [&str; 2] = [capture::RST_SENT, capture::RST_RECEIVED];

/// The counters that every scenario fixes.
pub const COMPARED: [&str; 4] = [
    "TCPKeepAlive",
    "TCPWinProbe",
    "TCPAbortOnTimeout",
    "OutRsts",
];

/// The counters that an agent compares its counts with. Of timeouts a slow machine has more than a scenario
/// fixes.
pub const ACCOUNTED: [&str; 5] = [
    "TCPKeepAlive",
    "TCPWinProbe",
    "TCPAbortOnTimeout",
    "OutRsts",
    "TCPTimeouts",
];

/// Segments that are sent again, and those that are not since the earlier one has not left the host's queues yet
/// (`__tcp_retransmit_skb`, net/ipv4/tcp_output.c), as on a slow machine. What is not may be sent once it has
/// (`tcp_tsq_write`), or not.
pub(crate) const RETRANSMISSIONS: [&str; 2] = ["RetransSegs", "TCPSpuriousRtxHostQueues"];

/// A living peer is no suspect, unless a probe of its window was answered too late for a living peer.
pub(crate) const RECOVERED_LATE: (&str, AgentFigure) = (
    "recoveries{window_probe}",
    AgentFigure::AtMost(capture::LATE_FOR_WINDOW),
);

/// The same of a keepalive probe.
pub(crate) const RECOVERED_LATE_BY_KEEPALIVE: (&str, AgentFigure) = (
    "recoveries{keepalive}",
    AgentFigure::AtMost(capture::LATE_FOR_KEEPALIVE),
);

/// A side at which nothing happens.
pub const QUIET: SideExpectation = SideExpectation {
    kernel: &[],
    agent: &[],
};

/// A side whose firewall swallows the RST that the other sends into the silence.
pub const SILENT: SideExpectation = SideExpectation {
    kernel: &[(capture::RST_RECEIVED, KernelFigure::Exactly(1))],
    agent: &[],
};

/// What a kernel counts that gives data in flight up.
pub(crate) const GIVEN_UP: &[(&str, KernelFigure)] = &[
    ("TCPTimeouts", KernelFigure::AtLeast(2)),
    ("TCPAbortOnTimeout", KernelFigure::Exactly(1)),
    ("EstabResets", KernelFigure::Exactly(1)),
];

/// A side that accepts a reset.
pub const RESET: SideExpectation = SideExpectation {
    kernel: &[
        ("EstabResets", KernelFigure::Exactly(1)),
        (capture::RST_RECEIVED, KernelFigure::Exactly(1)),
    ],
    agent: &[
        ("resets_received", AgentFigure::Exactly(1)),
        ("deaths{reset_received}", AgentFigure::Exactly(1)),
    ],
};
