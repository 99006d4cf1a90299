//! The metrics of what the hooks count, by group.
//!
//! # Invariants
//! An unknown value adds no series: it never becomes 0.

use super::{
    Kind, Metric, Section, Series, deaths,
    group_labels::{GROUP, grouped, names, port},
};
use crate::model::snapshot::Snapshot;

/// Every metric of what happens to connections.
pub const TABLE: &[Metric<Snapshot>] = &[
    Metric {
        name: "halfopen_keepalive_probes_total",
        kind: Kind::Counter,
        unit: "probes",
        section: Section::Probes,
        help: "Keepalive probes sent, counted where the kernel counts TCPKeepAlive.",
        labels: GROUP,
        question: "Which owners' connections are idle long enough to be probed?",
        query: "sum by (owner) (rate(METRIC[5m]))",
        read: |snapshot, out| {
            grouped(
                snapshot,
                &snapshot.coverage.keepalive_probes,
                out,
                |counts| counts.keepalive_probes,
            );
        },
    },
    Metric {
        name: "halfopen_keepalive_probes_answered_total",
        kind: Kind::Counter,
        unit: "probes",
        section: Section::Probes,
        help: "Keepalive probes answered: the peer was heard before the next probe.",
        labels: GROUP,
        question: "Which share of keepalive probes is unanswered?",
        query: "1 - sum by (owner) (rate(METRIC[5m])) / sum by (owner) (rate(halfopen_keepalive_probes_total[5m]))",
        read: |snapshot, out| {
            grouped(
                snapshot,
                &snapshot.coverage.keepalive_probes,
                out,
                |counts| counts.keepalive_probes_answered,
            );
        },
    },
    Metric {
        name: "halfopen_window_probes_total",
        kind: Kind::Counter,
        unit: "probes",
        section: Section::Probes,
        help: "Zero-window probes sent, counted where the kernel counts TCPWinProbe.",
        labels: GROUP,
        question: "Which owners send to peers that do not read?",
        query: "sum by (owner, port) (rate(METRIC[5m]))",
        read: |snapshot, out| {
            grouped(snapshot, &snapshot.coverage.window_probes, out, |counts| {
                counts.window_probes
            });
        },
    },
    Metric {
        name: "halfopen_window_probes_answered_total",
        kind: Kind::Counter,
        unit: "probes",
        section: Section::Probes,
        help: "Zero-window probes answered: the peer was heard before the next probe.",
        labels: GROUP,
        question: "Are the peers behind closed windows still there?",
        query: "sum by (owner) (rate(METRIC[5m])) / sum by (owner) (rate(halfopen_window_probes_total[5m]))",
        read: |snapshot, out| {
            grouped(snapshot, &snapshot.coverage.window_probes, out, |counts| {
                counts.window_probes_answered
            });
        },
    },
    Metric {
        name: "halfopen_retransmission_timeouts_total",
        kind: Kind::Counter,
        unit: "timeouts",
        section: Section::Probes,
        help: "Retransmission timeouts of data, SYNs and SYN-ACKs, including those against a zero window, which the kernel's TCPTimeouts leaves out.",
        labels: GROUP,
        question: "On the way to which services are segments lost?",
        query: "topk(5, sum by (direction, port) (rate(METRIC[5m])))",
        read: |snapshot, out| {
            grouped(
                snapshot,
                &snapshot.coverage.retransmission_timeouts,
                out,
                |counts| counts.retransmission_timeouts,
            );
        },
    },
    Metric {
        name: "halfopen_resets_received_total",
        kind: Kind::Counter,
        unit: "resets",
        section: Section::Resets,
        help: "Resets accepted from the peer.",
        labels: GROUP,
        question: "Which services reset us?",
        query: r#"sum by (port) (rate(METRIC{direction="outbound"}[5m]))"#,
        read: |snapshot, out| {
            grouped(
                snapshot,
                &snapshot.coverage.resets_received,
                out,
                |counts| counts.resets_received,
            );
        },
    },
    Metric {
        name: "halfopen_resets_sent_total",
        kind: Kind::Counter,
        unit: "resets",
        section: Section::Resets,
        help: "Resets sent, by the kernel's reason (sk_rst_reason), as reported or inferred. Those with reason netfilter were made by a firewall rule of this host, not by TCP: the kernel does not count them in OutRsts. Without the hook nf_ct_attach they are not seen.",
        labels: &["owner", "direction", "port", "reason"],
        question: "Why do we reset our peers?",
        query: "sum by (owner, reason) (rate(METRIC[5m]))",
        read: resets_sent,
    },
    deaths::DEATHS,
    deaths::DEATHS_BY_PATH,
    deaths::IGNORED,
    deaths::RECOVERIES,
    deaths::UNKNOWN_RATIO,
    deaths::DEATHS_INFERRED,
    deaths::IDLE_BEFORE_CLOSE,
    deaths::SILENCES,
];

fn resets_sent(snapshot: &Snapshot, out: &mut Series) {
    if snapshot.coverage.resets_sent.is_err() {
        return;
    }
    for (group, counts) in &snapshot.groups {
        for (reason, resets) in &counts.resets_sent {
            let [owner, direction] = names(group);
            out.count([owner, direction, &port(group), reason], *resets);
        }
    }
}
