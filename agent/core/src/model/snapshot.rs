//! Everything a view may show, read at one moment; immutable once made.
//! It must never hold a handle to the kernel: a view cannot go back and ask.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use halfopen_common::SILENCE_BOUNDS_S;

use super::{census::Census, judged::Source, liveness::Evidence};

/// What the agent knows at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts since the agent began, by group. Sums over groups are exact whatever was folded.
    pub groups: BTreeMap<Group, Counts>,
    /// Groups that are not shown by name, but together as those of owner `other`.
    pub groups_folded: u64,
    /// Which connections are suspects now, as the hooks know it; in the coverage if it is known.
    pub suspects: Suspects,
    /// What the latest walk over all sockets found.
    pub walk: Walk,
    /// Which of the counts in [`Counts`] this kernel lets us see at all.
    pub coverage: Coverage,
    /// Our counts beside the kernel's own, one entry a [`KernelCounter`]; a counter that could not
    /// be compared in any namespace is absent.
    pub accounting: BTreeMap<KernelCounter, Balance>,
    /// Every hook, attached or not, in a fixed order.
    pub hooks: Vec<HookStatus>,
    /// Silences before deaths; a cause of which no silence is known is absent.
    pub silences: BTreeMap<Cause, Silence>,
    /// What was lost on the way.
    pub losses: Losses,
    /// Network namespaces whose counters were read in the last round, and those that exist but
    /// could not be entered.
    pub namespaces: Namespaces,
    /// Sockets with a record now (they probed, timed out or were reset, and still live).
    pub records: u64,
    /// Version, revision and kernel.
    pub build: Build,
}

/// For how long the peers of connections had been silent when they died. Each count only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Silence {
    /// Deaths by the first bound of [`SILENCE_BOUNDS_S`] that was not exceeded, the last by none.
    pub deaths: [u64; SILENCE_BOUNDS_S.len() + 1],
    /// Sum of the silences.
    pub sum: Duration,
}

/// Suspects by group and evidence.
pub type Suspects = BTreeMap<Group, BTreeMap<Evidence, u64>>;

/// What came of the walks.
#[derive(Debug, Clone, Default)]
pub enum Walk {
    /// None was done.
    #[default]
    NotYet,
    /// None could be done: why.
    Failed(String),
    /// The latest.
    Done(Walked),
}

/// The latest walk.
#[derive(Debug, Clone)]
pub struct Walked {
    /// What it found.
    pub census: Arc<Census>,
    /// Since it ended.
    pub age: Duration,
    /// How long it took, its rests included.
    pub duration: Duration,
    /// Places where it may have missed sockets, as tables changed under it.
    pub cut_short: u64,
    /// How sockets were read.
    pub source: Source,
}

/// Whose counts: owner × direction × port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The connection's owner; empty where there is none (TIME_WAIT, a reset for no connection).
    pub owner: String,
    /// Who opened the connection.
    pub direction: Direction,
    /// The service's port: local if inbound, remote if outbound; `None` for resets that answer a
    /// segment belonging to no connection.
    pub port: Option<u16>,
}

/// Who opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// A peer connected to a listener here.
    Inbound,
    /// We connected to a peer.
    Outbound,
    /// There is no connection (a reset that answers a stray segment).
    None,
}

impl Direction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Inbound, Self::Outbound, Self::None];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::None => "none",
        }
    }
}

/// Counts of one group since the agent began. Each only ever grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keepalive probes sent, as TCPKeepAlive counts them.
    pub keepalive_probes: u64,
    /// Keepalive probes after which the peer was heard before the next one.
    pub keepalive_probes_answered: u64,
    /// Zero-window probes sent, as TCPWinProbe counts them.
    pub window_probes: u64,
    /// Zero-window probes after which the peer was heard before the next one.
    pub window_probes_answered: u64,
    /// Retransmission timeouts (RFC 6298), those against a zero window included.
    pub retransmission_timeouts: u64,
    /// Resets accepted from the peer.
    pub resets_received: u64,
    /// Resets sent, by reason: the kernel's `sk_rst_reason` name in lower case without prefix.
    pub resets_sent: BTreeMap<String, u64>,
    /// Connections that ended other than by an orderly close, by cause.
    pub deaths: BTreeMap<Cause, u64>,
    /// Peers heard again after something had stayed unanswered, by what.
    pub recoveries: BTreeMap<Evidence, u64>,
}

/// What killed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Keepalive probes stayed unanswered (TCP_KEEPCNT).
    Keepalive,
    /// TCP_USER_TIMEOUT ran out, on the idle path or with data in flight.
    UserTimeout,
    /// Retransmissions stayed unanswered (tcp_retries2).
    Retransmission,
    /// Zero-window probes stayed unanswered.
    WindowProbe,
    /// The SYN stayed unanswered.
    ConnectTimeout,
    /// The peer, or something in its name, reset it.
    ResetReceived,
    /// We reset it: unread data, linger 0, no memory; the reason is in `resets_sent`.
    ResetSent,
    /// An orphan, closed by its application, timed out.
    Orphan,
    /// The peer refused the connection.
    Refused,
    /// An administrator killed it (`ss -K`).
    Administrative,
    /// None of the above could be established.
    Unknown,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Keepalive,
        Self::UserTimeout,
        Self::Retransmission,
        Self::WindowProbe,
        Self::ConnectTimeout,
        Self::ResetReceived,
        Self::ResetSent,
        Self::Orphan,
        Self::Refused,
        Self::Administrative,
        Self::Unknown,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::UserTimeout => "user_timeout",
            Self::Retransmission => "retransmission",
            Self::WindowProbe => "window_probe",
            Self::ConnectTimeout => "connect_timeout",
            Self::ResetReceived => "reset_received",
            Self::ResetSent => "reset_sent",
            Self::Orphan => "orphan",
            Self::Refused => "refused",
            Self::Administrative => "administrative",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether a kind of event can be seen on this kernel with the hooks that attached.
/// A kind that cannot be seen is *unknown*: views leave it out and say why, never show 0.
pub type Seen = Result<(), String>;

/// Which counts are known. Each `Err` says why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Keepalive probes, sent and answered.
    pub keepalive_probes: Seen,
    /// Window probes, sent and answered.
    pub window_probes: Seen,
    /// Retransmission timeouts.
    pub retransmission_timeouts: Seen,
    /// Resets received.
    pub resets_received: Seen,
    /// Resets sent.
    pub resets_sent: Seen,
    /// Deaths.
    pub deaths: Seen,
    /// Suspects.
    pub suspects: Seen,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            keepalive_probes: Ok(()),
            window_probes: Ok(()),
            retransmission_timeouts: Ok(()),
            resets_received: Ok(()),
            resets_sent: Ok(()),
            deaths: Ok(()),
            suspects: Ok(()),
        }
    }
}

/// A counter the kernel keeps itself in each network namespace (/proc/net/snmp, /proc/net/netstat).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelCounter {
    /// `TcpExt: TCPKeepAlive`: keepalive probes sent.
    TcpKeepAlive,
    /// `TcpExt: TCPWinProbe`: zero-window probes sent.
    TcpWinProbe,
    /// `TcpExt: TCPAbortOnTimeout`: connections ended by `tcp_write_err`.
    TcpAbortOnTimeout,
    /// `Tcp: OutRsts`: resets sent, active ones and answers.
    OutRsts,
}

impl KernelCounter {
    /// All of them, in label order.
    pub const ALL: [Self; 4] = [
        Self::TcpKeepAlive,
        Self::TcpWinProbe,
        Self::TcpAbortOnTimeout,
        Self::OutRsts,
    ];

    /// The kernel's name, also the label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TcpKeepAlive => "TCPKeepAlive",
            Self::TcpWinProbe => "TCPWinProbe",
            Self::TcpAbortOnTimeout => "TCPAbortOnTimeout",
            Self::OutRsts => "OutRsts",
        }
    }
}

/// One kernel counter's balance since the agent began, summed over namespaces. Each only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// What the kernel counted.
    pub kernel: u64,
    /// What our hooks counted in the same namespaces.
    pub counted: u64,
    /// What the kernel counted and no hook saw.
    pub unaccounted: u64,
    /// What our hooks counted and the kernel did not: always 0 unless something is wrong.
    pub overcounted: u64,
    /// What our hooks counted where it could not be compared: in namespaces that ended before their
    /// last reading, or that could not be entered.
    pub uncompared: u64,
}

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

/// What was lost between the kernel and the snapshot. Each only grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Events that found the ring buffer full (their counts are kept).
    pub events_dropped: u64,
    /// Deaths among them: their certificates are lost.
    pub certificates_lost: u64,
    /// Inserts that found a map full, by map: the per-socket detail is lost, the counts are kept.
    pub map_full: BTreeMap<&'static str, u64>,
    /// Counts that went to the overflow group because the table of groups was full.
    pub groups_overflowed: u64,
    /// Records found under another connection's address: the end of the first had not been seen.
    pub records_stale: u64,
    /// Events left uncounted because a field of the socket could not be read.
    pub events_unreadable: u64,
}

/// Network namespaces in the last round of readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Entered and read.
    pub seen: u64,
    /// Known to exist, but not entered.
    pub unseen: u64,
}

/// What is running.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// Version of the agent.
    pub version: String,
    /// Git revision it was built from, or `unknown`.
    pub revision: String,
    /// `uname -r`.
    pub kernel: String,
}
