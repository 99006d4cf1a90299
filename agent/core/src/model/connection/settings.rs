//! The settings that decide how long a connection waits for its peer.

use std::time::Duration;

/// Where the keepalive settings of a connection come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// SO_KEEPALIVE is off.
    Off,
    /// SO_KEEPALIVE is on, with the network namespace's sysctls.
    Default,
    /// SO_KEEPALIVE is on, with at least one setting of its own.
    Custom,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Default, Self::Custom];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Default => "default",
            Self::Custom => "custom",
        }
    }
}

/// Keepalive settings in force; those of the namespace stand in for what the socket does not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keepalive {
    /// Where they come from, and whether keepalive is on at all.
    pub setting: Setting,
    /// TCP_KEEPIDLE: silence before the first probe. Would-be settings when keepalive is off.
    pub idle: Duration,
    /// TCP_KEEPINTVL: between probes.
    pub interval: Duration,
    /// TCP_KEEPCNT: unanswered probes before the peer is declared dead.
    pub probes: u32,
}

impl Keepalive {
    /// Whether SO_KEEPALIVE is on.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !matches!(self.setting, Setting::Off)
    }
}

/// Limits that a socket may have of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest RTO (`icsk_rto_max`: tcp_rto_max_ms or TCP_RTO_MAX_MS, since 6.15); before, 120 s.
    pub rto_max: Duration,
    /// TCP_SYNCNT; `None` where tcp_syn_retries holds.
    pub syn_retries: Option<u32>,
}

/// The kernel's defaults.
impl Default for Limits {
    fn default() -> Self {
        Self {
            rto_max: Self::RTO_MAX,
            syn_retries: None,
        }
    }
}

impl Limits {
    /// TCP_RTO_MAX_SEC (include/net/tcp.h).
    pub const RTO_MAX: Duration = Duration::from_secs(120);
}

/// Settings of a network namespace that decide how long a connection waits (sysctl net.ipv4.*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Policy {
    /// tcp_keepalive_time.
    pub keepalive_idle: Duration,
    /// tcp_keepalive_intvl.
    pub keepalive_interval: Duration,
    /// tcp_keepalive_probes.
    pub keepalive_probes: u32,
    /// tcp_retries2: retransmissions of an established connection, in the kernel's counting.
    pub retries2: u32,
    /// tcp_orphan_retries; 0 means 8 (tcp_orphan_retries() in net/ipv4/tcp_timer.c).
    pub orphan_retries: u32,
    /// tcp_syn_retries.
    pub syn_retries: u32,
    /// tcp_syn_linear_timeouts: retransmissions of a SYN before its RTO doubles, which are not counted against
    /// tcp_syn_retries; 0 before Linux 6.5.
    pub syn_linear_timeouts: u32,
    /// tcp_synack_retries.
    pub synack_retries: u32,
    /// tcp_fin_timeout.
    pub fin_timeout: Duration,
}

/// The kernel's defaults.
impl Default for Policy {
    fn default() -> Self {
        Self {
            keepalive_idle: Duration::from_secs(7200),
            keepalive_interval: Duration::from_secs(75),
            keepalive_probes: 9,
            retries2: 15,
            orphan_retries: 0,
            syn_retries: 6,
            syn_linear_timeouts: 4,
            synack_retries: 5,
            fin_timeout: Duration::from_secs(60),
        }
    }
}
