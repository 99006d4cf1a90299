//! A group of connections, and what the hooks count in it.

use std::collections::BTreeMap;

use halfopen_common::IDLE_BOUNDS_S;

use super::{
    connection::Direction,
    death::{Cause, Path},
    histogram::Histogram,
    liveness::Evidence,
};

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
    /// Retransmission timeouts (RFC 6298): of data, SYNs and SYN-ACKs, those against a zero window included.
    pub retransmission_timeouts: u64,
    /// Resets accepted from the peer.
    pub resets_received: u64,
    /// Resets sent, by reason: the kernel's `sk_rst_reason` name in lower case without prefix.
    pub resets_sent: BTreeMap<String, u64>,
    /// Connections that ended other than by an orderly close, by cause.
    pub deaths: BTreeMap<Cause, u64>,
    /// The same by the kernel's path.
    pub deaths_by_path: BTreeMap<Path, u64>,
    /// Those whose cause follows from the socket's fields alone.
    pub deaths_inferred: u64,
    /// For how long connections had been idle that we closed while the peer was sending.
    pub idle_before_close: IdleTimes,
    /// SYNs that a listener answered with a cookie.
    pub syn_cookies_sent: u64,
    /// Valid cookies that came back to a listener.
    pub syn_cookies_validated: u64,
    /// connect() without a free local port: EADDRNOTAVAIL.
    pub connects_without_port: u64,
    /// Peers heard again after something had stayed unanswered, by what.
    pub recoveries: BTreeMap<Evidence, u64>,
}

/// For how long connections had been idle, by [`IDLE_BOUNDS_S`].
pub type IdleTimes = Histogram<{ IDLE_BOUNDS_S.len() + 1 }>;

/// Suspects by group and evidence.
pub type Suspects = BTreeMap<Group, BTreeMap<Evidence, u64>>;

/// Counts without a label of their own.
const PLAIN: usize = 10;

impl Counts {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let plain = self.plain();
        let labelled = self.resets_sent.values().chain(self.deaths.values());
        let mut all = plain.iter().chain(labelled).chain(self.recoveries.values());
        all.all(|count| *count == 0)
    }

    const fn plain(&self) -> [u64; PLAIN] {
        [
            self.keepalive_probes,
            self.keepalive_probes_answered,
            self.window_probes,
            self.window_probes_answered,
            self.retransmission_timeouts,
            self.resets_received,
            self.deaths_inferred,
            self.syn_cookies_sent,
            self.syn_cookies_validated,
            self.connects_without_port,
        ]
    }

    const fn plain_mut(&mut self) -> [&mut u64; PLAIN] {
        [
            &mut self.keepalive_probes,
            &mut self.keepalive_probes_answered,
            &mut self.window_probes,
            &mut self.window_probes_answered,
            &mut self.retransmission_timeouts,
            &mut self.resets_received,
            &mut self.deaths_inferred,
            &mut self.syn_cookies_sent,
            &mut self.syn_cookies_validated,
            &mut self.connects_without_port,
        ]
    }

    /// Adds what another group counted.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.plain_mut().into_iter().zip(other.plain()) {
            *sum += count;
        }
        add_all(&mut self.resets_sent, &other.resets_sent);
        add_all(&mut self.deaths, &other.deaths);
        add_all(&mut self.deaths_by_path, &other.deaths_by_path);
        self.idle_before_close.add(&other.idle_before_close);
        add_all(&mut self.recoveries, &other.recoveries);
    }

    /// Takes off a part of what was counted.
    pub fn subtract(&mut self, part: &Self) {
        for (sum, count) in self.plain_mut().into_iter().zip(part.plain()) {
            *sum = sum.saturating_sub(count);
        }
        subtract_all(&mut self.resets_sent, &part.resets_sent);
        subtract_all(&mut self.deaths, &part.deaths);
        subtract_all(&mut self.deaths_by_path, &part.deaths_by_path);
        self.idle_before_close.subtract(&part.idle_before_close);
        subtract_all(&mut self.recoveries, &part.recoveries);
    }
}

/// Adds one table of counts to another.
pub fn add_all<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        match into.get_mut(key) {
            Some(sum) => *sum += count,
            None => {
                into.insert(key.clone(), *count);
            }
        }
    }
}

/// Takes one table of counts off another; what reaches 0 stays, since it was shown.
fn subtract_all<K: Ord>(from: &mut BTreeMap<K, u64>, part: &BTreeMap<K, u64>) {
    for (key, count) in part {
        if let Some(sum) = from.get_mut(key) {
            *sum = sum.saturating_sub(*count);
        }
    }
}
