//! The metrics of handshakes under pressure: full accept queues, SYN cookies, connects without a local port.
//!
//! # Invariants
//! An unknown value adds no series: it never becomes 0.

use super::{
    Kind, Metric, Section,
    group_labels::{GROUP, grouped_if},
};
use crate::model::{accounting::HostCounter, connection::Direction, snapshot::Snapshot};

/// What can become of SYN cookies.
pub(super) const COOKIE_OUTCOMES: [&str; 3] = ["sent", "validated", "failed"];

/// Every one of them.
pub const HANDSHAKES: &[Metric<Snapshot>] = &[
    Metric {
        name: "halfopen_accept_queue_overflows_total",
        kind: Kind::Counter,
        unit: "segments",
        section: Section::Handshakes,
        help: "SYNs and last ACKs of handshakes that found an accept queue full, by the kernel's count (ListenOverflows) since the agent started.",
        labels: &[],
        question: "On which hosts do accept queues overflow?",
        query: "sum by (instance) (increase(METRIC[5m])) > 0",
        // Per listener the kernel has sk_drops alone, which counts such an ACK twice, and also what was dropped
        // for another reason: tcp_listendrop() and the end of tcp_v4_rcv().
        read: |snapshot, out| {
            if let Some(overflows) = snapshot.host_counters.get(&HostCounter::ListenOverflows) {
                out.count([], *overflows);
            }
        },
    },
    Metric {
        name: "halfopen_syn_cookies_total",
        kind: Kind::Counter,
        unit: "segments",
        section: Section::Handshakes,
        help: "SYN cookies, by the kernel's count since the agent started: sent in answer to a SYN (SyncookiesSent), validated when an ACK brought one back (SyncookiesRecv), failed when an ACK brought none that is valid (SyncookiesFailed).",
        labels: &["outcome"],
        question: "On which hosts do SYN queues overflow, and are the clients real?",
        query: r#"sum by (instance, outcome) (rate(METRIC[5m]))"#,
        read: |snapshot, out| {
            let counters = [
                HostCounter::SyncookiesSent,
                HostCounter::SyncookiesRecv,
                HostCounter::SyncookiesFailed,
            ];
            for (outcome, counter) in COOKIE_OUTCOMES.into_iter().zip(counters) {
                if let Some(count) = snapshot.host_counters.get(&counter) {
                    out.count([outcome], *count);
                }
            }
        },
    },
    Metric {
        name: "halfopen_listener_syn_cookies_sent_total",
        kind: Kind::Counter,
        unit: "segments",
        section: Section::Handshakes,
        help: "SYNs answered with a cookie, by listener. Absent where no function can be hooked.",
        labels: GROUP,
        question: "Which listeners get more SYNs than their queues hold?",
        query: "topk(5, sum by (owner, port) (rate(METRIC[5m]))) > 0",
        read: |snapshot, out| {
            let seen = &snapshot.coverage.syn_cookies;
            grouped_if(snapshot, seen, is_inbound, out, |counts| {
                counts.syn_cookies_sent
            });
        },
    },
    Metric {
        name: "halfopen_listener_syn_cookies_validated_total",
        kind: Kind::Counter,
        unit: "segments",
        section: Section::Handshakes,
        help: "Valid SYN cookies that clients returned, by listener. Absent where no function can be hooked.",
        labels: GROUP,
        question: "Which share of cookies comes back, by listener?",
        query: "sum by (owner, port) (rate(METRIC[5m])) / sum by (owner, port) (rate(halfopen_listener_syn_cookies_sent_total[5m]))",
        read: |snapshot, out| {
            let seen = &snapshot.coverage.syn_cookies;
            grouped_if(snapshot, seen, is_inbound, out, |counts| {
                counts.syn_cookies_validated
            });
        },
    },
    Metric {
        name: "halfopen_connects_without_port_total",
        kind: Kind::Counter,
        unit: "connects",
        section: Section::Handshakes,
        help: "Calls of connect() that found no free local port and failed with EADDRNOTAVAIL; no SYN was sent. Sockets bound to a port, and those connected again after a failure, are not included.",
        labels: GROUP,
        question: "Towards which services have local ports run out?",
        query: "sum by (owner, port) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| {
            let seen = &snapshot.coverage.connects_without_port;
            grouped_if(snapshot, seen, is_outbound, out, |counts| {
                counts.connects_without_port
            });
        },
    },
];

fn is_inbound(direction: Direction) -> bool {
    direction == Direction::Inbound
}

fn is_outbound(direction: Direction) -> bool {
    direction == Direction::Outbound
}
