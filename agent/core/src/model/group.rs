//! A group of connections, and what the hooks count in it.

use std::collections::BTreeMap;

use super::{connection::Direction, death::Cause, liveness::Evidence};

/// Owner of what is not shown by name.
pub const OTHER: &str = "other";

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

/// Suspects by group and evidence.
pub type Suspects = BTreeMap<Group, BTreeMap<Evidence, u64>>;
