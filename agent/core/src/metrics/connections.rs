//! The metrics of the connections there are now: suspects from the hooks, the rest from the walk.
//!
//! # Invariants
//! What a walk found is shown with its age; before the first walk nothing is shown.

use std::collections::BTreeMap;

use super::{
    Kind, Metric, Section, Series,
    group_labels::{GROUP, names, port},
    suspects::suspects,
};
use crate::model::{
    census::Sums,
    connection::{AcceptQueue, State},
    liveness::Guard,
    snapshot::{Snapshot, WalkStatus, Walked},
};

/// Gauges without a label of their own that are shown of groups with a listener alone.
pub const ACCEPT_QUEUE_GAUGES: usize = 2;
/// Such gauges of groups with a destination alone.
pub const PORT_GAUGES: usize = 1;

/// Every metric of connections.
pub const CONNECTIONS: &[Metric<Snapshot>] = &[
    Metric {
        name: "halfopen_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "TCP sockets by state, as the latest walk found them.",
        labels: &["owner", "direction", "port", "state"],
        question: "How many connections are there, by state?",
        query: "sum by (state) (METRIC)",
        read: |snapshot, out| {
            grouped(snapshot, out, |sums, add| {
                for (state, count) in &sums.states {
                    add(state.as_str(), *count);
                }
            });
        },
    },
    Metric {
        name: "halfopen_suspect_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Connections that may be half-open now, by evidence; at most a second old.",
        labels: &["owner", "direction", "port", "evidence"],
        question: "Whose connections may be half-open now?",
        query: "sum by (owner, evidence) (METRIC) > 0",
        read: suspects,
    },
    Metric {
        name: "halfopen_idle_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Established connections without data for longer than the idle threshold, by what would detect a dead peer; guard none: nothing would.",
        labels: &["owner", "direction", "port", "guard"],
        question: "Whose idle connections would never notice a dead peer?",
        query: r#"topk(10, sum by (owner) (METRIC{guard="none"}))"#,
        read: |snapshot, out| {
            grouped(snapshot, out, |sums, add| {
                if !sums.states.contains_key(&State::Established) {
                    return;
                }
                for guard in [Guard::Keepalive, Guard::None] {
                    add(guard.as_str(), count(&sums.idle, &guard));
                }
                let unknown = count(&sums.idle, &Guard::Unknown);
                if unknown != 0 {
                    add(Guard::Unknown.as_str(), unknown);
                }
            });
        },
    },
    Metric {
        name: "halfopen_stalled_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Connections whose peer is heard and does not acknowledge what is sent to it: segments are lost on the way (MTU, one-way path).",
        labels: GROUP,
        question: "To which services do large segments, or any, not get through?",
        query: "sum by (owner, direction, port) (METRIC) > 0",
        read: |snapshot, out| {
            single(snapshot, out, |sums| {
                beside(sums, State::CloseWait, sums.stalled)
            });
        },
    },
    Metric {
        name: "halfopen_stale_close_wait_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Connections in CLOSE_WAIT without data for longer than the threshold: the application has not closed them.",
        labels: GROUP,
        question: "Which owners do not close their connections?",
        query: "sum by (owner) (METRIC) > 0",
        read: |snapshot, out| {
            single(snapshot, out, |sums| {
                beside(sums, State::CloseWait, sums.stale_close_wait)
            });
        },
    },
    Metric {
        name: "halfopen_stale_fin_wait2_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Connections in FIN_WAIT2 that their application still holds, without data for longer than the threshold of CLOSE_WAIT: the peer does not end its half, and no timer ends them.",
        labels: GROUP,
        question: "Which owners wait for ever for the peer's end?",
        query: "sum by (owner) (METRIC) > 0",
        read: |snapshot, out| {
            single(snapshot, out, |sums| {
                beside(sums, State::FinWait2, sums.stale_fin_wait2)
            });
        },
    },
    Metric {
        name: "halfopen_orphaned_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Connections that the application has closed and the kernel is still ending, by state; in fin_wait2 within net.ipv4.tcp_fin_timeout.",
        labels: &["state"],
        question: "How many orphaned connections does each host have?",
        query: "sum by (instance, state) (METRIC)",
        read: |snapshot, out| {
            let Some(walked) = walked(snapshot) else {
                return;
            };
            let ending = [
                State::FinWait1,
                State::FinWait2,
                State::LastAck,
                State::Closing,
            ];
            let others = walked
                .census
                .orphaned
                .keys()
                .filter(|state| !ending.contains(state));
            for state in ending.iter().chain(others) {
                out.count([state.as_str()], count(&walked.census.orphaned, state));
            }
        },
    },
    Metric {
        name: "halfopen_embryonic_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Connections in SYN_RECV (embryonic, also called half-open).",
        labels: GROUP,
        question: "Where do handshakes pile up?",
        query: "topk(5, sum by (owner, port) (METRIC))",
        read: |snapshot, out| {
            single(snapshot, out, |sums| {
                let listens = sums.states.contains_key(&State::Listen);
                (listens || sums.embryonic != 0).then_some(sums.embryonic)
            });
        },
    },
    Metric {
        name: "halfopen_accept_queue_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Connections in accept queues: the application has not accepted them yet.",
        labels: GROUP,
        question: "Which applications do not keep up with accepting connections?",
        query: "topk(5, sum by (owner, port) (METRIC)) > 0",
        read: |snapshot, out| single(snapshot, out, |sums| queue(sums).map(|queue| queue.held)),
    },
    Metric {
        name: "halfopen_accept_queue_limit",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Sum of the limits of accept queues: the backlog of listen(), at most net.core.somaxconn. Each queue takes one more.",
        labels: GROUP,
        question: "How full are accept queues?",
        query: "sum by (owner, port) (halfopen_accept_queue_connections) / (sum by (owner, port) (METRIC) > 0)",
        read: |snapshot, out| single(snapshot, out, |sums| queue(sums).map(|queue| queue.limit)),
    },
    Metric {
        name: "halfopen_ephemeral_ports_used_ratio",
        kind: Kind::Gauge,
        unit: "ratio",
        section: Section::Connections,
        help: "Share of the local ports of net.ipv4.ip_local_port_range in use towards one destination (remote address and port, from one local address), TIME_WAIT included; of several destinations the greatest. The owner is that of one of its connections; none where TIME_WAIT alone is left.",
        labels: GROUP,
        question: "Towards which services do local ports run out?",
        query: "topk(5, max by (instance, owner, port) (METRIC))",
        read: |snapshot, out| {
            for (group, sums) in walked(snapshot).into_iter().flat_map(|w| &w.census.groups) {
                if let Some(ports) = sums.ports {
                    let [owner, direction] = names(group);
                    out.add([owner, direction, &port(group)], ports.ratio());
                }
            }
        },
    },
    Metric {
        name: "halfopen_connection_memory_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        section: Section::Connections,
        help: "Kernel memory of sockets (socket objects and buffers), by liveness.",
        labels: &["owner", "direction", "port", "liveness"],
        question: "How much kernel memory do zombie connections hold?",
        query: r#"sum by (instance) (METRIC{liveness=~"suspect|orphan|idle_unguarded|stale_close_wait|stale_fin_wait2"})"#,
        read: |snapshot, out| {
            grouped(snapshot, out, |sums, add| {
                for (liveness, bytes) in &sums.memory {
                    add(liveness, *bytes);
                }
            });
        },
    },
    Metric {
        name: "halfopen_keepalive_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Connections in ESTABLISHED or CLOSE_WAIT, by keepalive setting.",
        labels: &["owner", "direction", "port", "setting"],
        question: "Which share of connections has keepalive off, by owner?",
        query: r#"sum by (owner) (METRIC{setting="off"}) / sum by (owner) (METRIC)"#,
        read: |snapshot, out| {
            grouped(snapshot, out, |sums, add| {
                for (setting, count) in &sums.keepalive {
                    add(setting.as_str(), *count);
                }
            });
        },
    },
    Metric {
        name: "halfopen_detectable_connections",
        kind: Kind::Gauge,
        unit: "connections",
        section: Section::Connections,
        help: "Connections in ESTABLISHED or CLOSE_WAIT, by the time to notice a peer that vanishes now: while idle, and with data in flight. Buckets are disjoint; each connection is counted once per path.",
        labels: &["owner", "direction", "port", "path", "within"],
        question: "How long would it take to notice that a peer has vanished, with data in flight?",
        query: r#"sum by (within) (METRIC{path="data"})"#,
        read: |snapshot, out| {
            for (group, sums) in walked(snapshot).iter().flat_map(|it| &it.census.groups) {
                let [owner, direction] = names(group);
                let port = port(group);
                for ((path, bucket), count) in &sums.detectable {
                    let labels = [owner, direction, &port, path.as_str(), bucket.as_str()];
                    out.count(labels, *count);
                }
            }
        },
    },
    Metric {
        name: "halfopen_walk_duration_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        section: Section::Walk,
        help: "Duration of the latest walk over all sockets, pauses included.",
        labels: &[],
        question: "On which hosts do walks take long?",
        query: "topk(5, max by (instance) (METRIC))",
        read: |snapshot, out| of_walk(snapshot, out, |walked| walked.duration.as_secs_f64()),
    },
    Metric {
        name: "halfopen_walk_age_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        section: Section::Walk,
        help: "Time since the latest walk ended.",
        labels: &[],
        question: "How old is the data of the walk?",
        query: "max by (instance) (METRIC)",
        read: |snapshot, out| of_walk(snapshot, out, |walked| walked.age.as_secs_f64()),
    },
    Metric {
        name: "halfopen_walk_connections",
        kind: Kind::Gauge,
        unit: "sockets",
        section: Section::Walk,
        help: "Sockets found by the latest walk, including listeners.",
        labels: &[],
        question: "How many sockets does each host have?",
        query: "sum by (instance) (METRIC)",
        read: |snapshot, out| of_walk(snapshot, out, |walked| walked.census.sockets as f64),
    },
    Metric {
        name: "halfopen_walk_unplaced_ports",
        kind: Kind::Gauge,
        unit: "ports",
        section: Section::Walk,
        help: "Local ports in use whose destination the latest walk had no room for (16,384 destinations): halfopen_ephemeral_ports_used_ratio is without them.",
        labels: &[],
        question: "Is the use of local ports known for every destination?",
        query: "sum by (instance) (METRIC) > 0",
        read: |snapshot, out| {
            if let Some(ports) = walked(snapshot).and_then(|walked| walked.census.unplaced_ports) {
                out.count([], ports);
            }
        },
    },
    Metric {
        name: "halfopen_walk_cut_short",
        kind: Kind::Gauge,
        unit: "places",
        section: Section::Walk,
        help: "Places where the latest walk may have missed sockets, because the kernel's tables changed during it.",
        labels: &[],
        question: "Did a walk possibly miss sockets?",
        query: "sum by (instance) (METRIC) > 0",
        read: |snapshot, out| of_walk(snapshot, out, |walked| walked.incomplete as f64),
    },
];

fn walked(snapshot: &Snapshot) -> Option<&Walked> {
    match &snapshot.walk {
        WalkStatus::Done(walked) => Some(walked),
        WalkStatus::NotYet | WalkStatus::Failed(_) => None,
    }
}

/// The accept queues of a group, where it has a listener that tells.
fn queue(sums: &Sums) -> Option<AcceptQueue> {
    (sums.accept_queue.listeners > 0).then_some(sums.accept_queue)
}

/// One figure of the walk itself.
fn of_walk(snapshot: &Snapshot, out: &mut Series, read: fn(&Walked) -> f64) {
    if let Some(walked) = walked(snapshot) {
        out.add([], read(walked));
    }
}

fn count<K: Ord>(counts: &BTreeMap<K, u64>, key: &K) -> u64 {
    counts.get(key).copied().unwrap_or(0)
}

/// One series a group and value of the last label.
fn grouped(snapshot: &Snapshot, out: &mut Series, read: impl Fn(&Sums, &mut dyn FnMut(&str, u64))) {
    let Some(walked) = walked(snapshot) else {
        return;
    };
    for (group, sums) in &walked.census.groups {
        let [owner, direction] = names(group);
        let port = port(group);
        read(sums, &mut |value, count| {
            out.count([owner, direction, &port, value], count);
        });
    }
}

/// A figure of connections in trouble, as 0 too where there are any in this state or in ESTABLISHED.
fn beside(sums: &Sums, state: State, count: u64) -> Option<u64> {
    let has = |state| sums.states.contains_key(&state);
    (has(state) || has(State::Established)).then_some(count)
}

/// One series a group.
fn single(snapshot: &Snapshot, out: &mut Series, read: impl Fn(&Sums) -> Option<u64>) {
    let Some(walked) = walked(snapshot) else {
        return;
    };
    for (group, sums) in &walked.census.groups {
        if let Some(count) = read(sums) {
            let [owner, direction] = names(group);
            out.count([owner, direction, &port(group)], count);
        }
    }
}
