//! The metrics of a snapshot, in the order of its parts.
//! It must never turn what is unknown into 0: an unknown value adds no series.

use super::{Kind, Metric, Series, ends};
use crate::model::snapshot::{Balance, Counts, Direction, Group, HookStatus, Seen, Snapshot};

/// The labels of a group.
pub(super) const GROUP: &[&str] = &["owner", "direction", "port"];

/// Every metric that is read from a snapshot.
pub const TABLE: &[Metric<Snapshot>] = &[
    Metric {
        name: "halfopen_keepalive_probes_total",
        kind: Kind::Counter,
        help: "Keepalive probes sent, counted where the kernel counts TCPKeepAlive.",
        labels: GROUP,
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
        help: "Keepalive probes after which the peer was heard before the next one.",
        labels: GROUP,
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
        help: "Zero-window probes sent, counted where the kernel counts TCPWinProbe.",
        labels: GROUP,
        read: |snapshot, out| {
            grouped(snapshot, &snapshot.coverage.window_probes, out, |counts| {
                counts.window_probes
            });
        },
    },
    Metric {
        name: "halfopen_window_probes_answered_total",
        kind: Kind::Counter,
        help: "Zero-window probes after which the peer was heard before the next one.",
        labels: GROUP,
        read: |snapshot, out| {
            grouped(snapshot, &snapshot.coverage.window_probes, out, |counts| {
                counts.window_probes_answered
            });
        },
    },
    Metric {
        name: "halfopen_retransmission_timeouts_total",
        kind: Kind::Counter,
        help: "Retransmission timeouts, those against a zero window included.",
        labels: GROUP,
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
        help: "Resets accepted from the peer.",
        labels: GROUP,
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
        help: "Resets sent, by the kernel's reason (sk_rst_reason), told or inferred.",
        labels: &["owner", "direction", "port", "reason"],
        read: resets_sent,
    },
    ends::DEATHS,
    ends::RECOVERIES,
    ends::UNKNOWN_RATIO,
    ends::SILENCES,
    Metric {
        name: "halfopen_kernel_counted_total",
        kind: Kind::Counter,
        help: "What the kernel counted since the agent began, in the network namespaces that were read.",
        labels: &["counter"],
        read: |snapshot, out| balance(snapshot, out, |balance| balance.kernel),
    },
    Metric {
        name: "halfopen_counted_total",
        kind: Kind::Counter,
        help: "What the hooks counted of the same kernel counter, in the same network namespaces.",
        labels: &["counter"],
        read: |snapshot, out| balance(snapshot, out, |balance| balance.counted),
    },
    Metric {
        name: "halfopen_unaccounted_total",
        kind: Kind::Counter,
        help: "What the kernel counted and no hook saw.",
        labels: &["counter"],
        read: |snapshot, out| balance(snapshot, out, |balance| balance.unaccounted),
    },
    Metric {
        name: "halfopen_overcounted_total",
        kind: Kind::Counter,
        help: "What the hooks counted and the kernel did not; anything but 0 is a fault of halfopen.",
        labels: &["counter"],
        read: |snapshot, out| balance(snapshot, out, |balance| balance.overcounted),
    },
    Metric {
        name: "halfopen_uncompared_total",
        kind: Kind::Counter,
        help: "What the hooks counted in network namespaces that ended before their last reading or could not be entered.",
        labels: &["counter"],
        read: |snapshot, out| balance(snapshot, out, |balance| balance.uncompared),
    },
    Metric {
        name: "halfopen_hook_attached",
        kind: Kind::Gauge,
        help: "1 with the mechanism by which the hook is attached, or 0 with mechanism none.",
        labels: &["hook", "mechanism"],
        read: hook_attached,
    },
    Metric {
        name: "halfopen_hook_runs_total",
        kind: Kind::Counter,
        help: "Times that the hook's programs ran; absent without BPF statistics.",
        labels: &["hook"],
        read: |snapshot, out| hooks(snapshot, out, |hook| hook.runs.map(|runs| runs as f64)),
    },
    Metric {
        name: "halfopen_hook_run_seconds_total",
        kind: Kind::Counter,
        help: "Time spent in the hook's programs; absent without BPF statistics.",
        labels: &["hook"],
        read: |snapshot, out| {
            hooks(snapshot, out, |hook| {
                hook.run_time.map(|time| time.as_secs_f64())
            });
        },
    },
    Metric {
        name: "halfopen_hook_misses_total",
        kind: Kind::Counter,
        help: "Times that the kernel skipped the hook's programs; absent where it does not say.",
        labels: &["hook"],
        read: |snapshot, out| {
            hooks(snapshot, out, |hook| {
                hook.misses.map(|misses| misses as f64)
            });
        },
    },
    Metric {
        name: "halfopen_events_dropped_total",
        kind: Kind::Counter,
        help: "Events that found the ring buffer full; their counts are kept.",
        labels: &[],
        read: |snapshot, out| out.count([], snapshot.losses.events_dropped),
    },
    Metric {
        name: "halfopen_certificates_lost_total",
        kind: Kind::Counter,
        help: "Deaths among the dropped events: they are counted, but their certificates are lost.",
        labels: &[],
        read: |snapshot, out| out.count([], snapshot.losses.certificates_lost),
    },
    Metric {
        name: "halfopen_events_unreadable_total",
        kind: Kind::Counter,
        help: "Events left uncounted because a field of the socket could not be read.",
        labels: &[],
        read: |snapshot, out| out.count([], snapshot.losses.events_unreadable),
    },
    Metric {
        name: "halfopen_records_stale_total",
        kind: Kind::Counter,
        help: "Records of sockets whose end was not seen, found under another connection's address.",
        labels: &[],
        read: |snapshot, out| out.count([], snapshot.losses.records_stale),
    },
    Metric {
        name: "halfopen_map_full_total",
        kind: Kind::Counter,
        help: "Inserts that found a kernel map full: detail of a socket is lost, the counts are kept.",
        labels: &["map"],
        read: |snapshot, out| {
            for (map, inserts) in &snapshot.losses.map_full {
                out.count([map], *inserts);
            }
        },
    },
    Metric {
        name: "halfopen_groups",
        kind: Kind::Gauge,
        help: "Groups (owner, direction and port) that have counts.",
        labels: &[],
        read: |snapshot, out| out.count([], snapshot.groups.len() as u64),
    },
    Metric {
        name: "halfopen_groups_overflowed_total",
        kind: Kind::Counter,
        help: "Counts that went to the overflow group because the table of groups was full.",
        labels: &[],
        read: |snapshot, out| out.count([], snapshot.losses.groups_overflowed),
    },
    Metric {
        name: "halfopen_groups_folded",
        kind: Kind::Gauge,
        help: "Groups that are not shown by name, but summed as owner other (--max-groups, --max-series).",
        labels: &[],
        read: |snapshot, out| out.count([], snapshot.groups_folded),
    },
    Metric {
        name: "halfopen_records",
        kind: Kind::Gauge,
        help: "Live sockets with a record: they probed, timed out or were reset.",
        labels: &[],
        read: |snapshot, out| out.count([], snapshot.records),
    },
    Metric {
        name: "halfopen_network_namespaces",
        kind: Kind::Gauge,
        help: "Network namespaces whose counters were read in the last round (yes), or that could not be entered (no).",
        labels: &["seen"],
        read: |snapshot, out| {
            out.count(["yes"], snapshot.namespaces.seen);
            out.count(["no"], snapshot.namespaces.unseen);
        },
    },
    Metric {
        name: "halfopen_build_info",
        kind: Kind::Gauge,
        help: "Always 1; what is running, on which kernel.",
        labels: &["version", "revision", "kernel"],
        read: |snapshot, out| {
            let build = &snapshot.build;
            out.add([&build.version, &build.revision, &build.kernel], 1.0);
        },
    },
];

fn grouped(snapshot: &Snapshot, seen: &Seen, out: &mut Series, read: fn(&Counts) -> u64) {
    if seen.is_err() {
        return;
    }
    for (group, counts) in &snapshot.groups {
        let count = read(counts);
        // Where there is no connection there is nothing to probe: 0 would be noise.
        if count != 0 || group.direction != Direction::None {
            let [owner, direction] = names(group);
            out.count([owner, direction, &port(group)], count);
        }
    }
}

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

pub(super) fn names(group: &Group) -> [&str; 2] {
    [&group.owner, group.direction.as_str()]
}

pub(super) fn port(group: &Group) -> String {
    group
        .port
        .map_or_else(|| "none".to_owned(), |port| port.to_string())
}

fn balance(snapshot: &Snapshot, out: &mut Series, read: fn(&Balance) -> u64) {
    for (counter, balance) in &snapshot.accounting {
        out.count([counter.as_str()], read(balance));
    }
}

fn hook_attached(snapshot: &Snapshot, out: &mut Series) {
    for hook in &snapshot.hooks {
        match hook.mechanism {
            Some(mechanism) => out.add([hook.hook, mechanism.as_str()], 1.0),
            None => out.add([hook.hook, "none"], 0.0),
        }
    }
}

fn hooks(snapshot: &Snapshot, out: &mut Series, read: fn(&HookStatus) -> Option<f64>) {
    for hook in &snapshot.hooks {
        if let Some(value) = read(hook) {
            out.add([hook.hook], value);
        }
    }
}
