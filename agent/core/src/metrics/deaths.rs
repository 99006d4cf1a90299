//! The metrics of ends: connections that died, those that came back, and how long a peer was silent.
//!
//! # Invariants
//! Where hooks are missing, the ends they would have counted are left out, not shown as 0.

use std::collections::BTreeMap;

use halfopen_common::{IDLE_BOUNDS_S, SILENCE_BOUNDS_S};

use super::{
    Kind, Metric, Section, Series,
    group_labels::{GROUP, names, port},
};
use crate::model::{death::Cause, group::add_all, liveness::Evidence, snapshot::Snapshot};

/// Deaths, by cause.
pub const DEATHS: Metric<Snapshot> = Metric {
    name: "halfopen_deaths_total",
    kind: Kind::Counter,
    unit: "connections",
    section: Section::Deaths,
    help: "Connections that ended other than by an orderly close, by cause.",
    labels: &["owner", "direction", "port", "cause"],
    question: "Which owners lose connections, and by which cause?",
    query: "sum by (owner, cause) (increase(METRIC[5m]))",
    read: deaths,
};

/// Deaths, by path.
pub const DEATHS_BY_PATH: Metric<Snapshot> = Metric {
    name: "halfopen_deaths_by_path_total",
    kind: Kind::Counter,
    unit: "connections",
    section: Section::Deaths,
    help: "The same deaths by the kernel's code path, which tells apart what has one cause.",
    labels: &["path"],
    question: "How many peers forgot their connections, restarted or failed over?",
    query: r#"increase(METRIC{path="peer_forgot"}[5m])"#,
    read: deaths_by_path,
};

/// Deaths whose cause was inferred.
pub const DEATHS_INFERRED: Metric<Snapshot> = Metric {
    name: "halfopen_deaths_inferred_total",
    kind: Kind::Counter,
    unit: "connections",
    section: Section::Deaths,
    help: "Deaths among them whose code path no hook saw, and whose cause follows from what the socket had outstanding.",
    labels: &[],
    question: "On which hosts do hooks miss the path of deaths?",
    query: "increase(METRIC[5m]) > 0",
    read: deaths_inferred,
};

/// Idle times before a close that was too early.
pub const IDLE_BEFORE_CLOSE: Metric<Snapshot> = Metric {
    name: "halfopen_idle_before_close_seconds",
    kind: Kind::Histogram(&IDLE_BOUNDS_S),
    unit: "seconds",
    section: Section::Deaths,
    help: "For how long connections had been idle that this host closed while the peer's data was on its way (deaths by path closed_while_peer_sent in state fin_wait1). Its peak is the idle timeout that is shorter than the peer's.",
    labels: GROUP,
    question: "Which idle timeouts of servers are shorter than their clients'?",
    query: "histogram_quantile(0.5, sum by (le, owner, port) (rate(METRIC_bucket[5m])))",
    read: idle_before_close,
};

/// Deaths that were ignored.
pub const IGNORED: Metric<Snapshot> = Metric {
    name: "halfopen_deaths_ignored_total",
    kind: Kind::Counter,
    unit: "connections",
    section: Section::Deaths,
    help: "Deaths that matched --ignore: not in halfopen_deaths_total, and without a death record.",
    labels: &[],
    question: "How many deaths does `--ignore` leave out?",
    query: "sum by (instance) (increase(METRIC[5m]))",
    read: |snapshot, out| {
        if snapshot.coverage.deaths.is_ok() {
            out.count([], snapshot.deaths_ignored);
        }
    },
};

/// Recoveries, by evidence.
pub const RECOVERIES: Metric<Snapshot> = Metric {
    name: "halfopen_recoveries_total",
    kind: Kind::Counter,
    unit: "connections",
    section: Section::Deaths,
    help: "Suspects that made progress again (a probe was answered, or data acknowledged), by evidence.",
    labels: &["owner", "direction", "port", "evidence"],
    question: "How many connections recovered after silence?",
    query: "sum by (evidence) (increase(METRIC[5m]))",
    read: recoveries,
};

/// Deaths without a known cause.
pub const UNKNOWN_RATIO: Metric<Snapshot> = Metric {
    name: "halfopen_deaths_unknown_ratio",
    kind: Kind::Gauge,
    unit: "ratio",
    section: Section::Deaths,
    help: "Share of deaths with unknown cause since the agent started; absent without deaths.",
    labels: &[],
    question: "Which hosts have many deaths of unknown cause?",
    query: "METRIC > 0.05",
    read: unknown_ratio,
};

/// Silences before deaths.
pub const SILENCES: Metric<Snapshot> = Metric {
    name: "halfopen_silence_before_death_seconds",
    kind: Kind::Histogram(&SILENCE_BOUNDS_S),
    unit: "seconds",
    section: Section::Deaths,
    help: "Time since the peer was last heard when a connection died; for a handshake, time since it started. Ignored deaths are included.",
    labels: &["cause"],
    question: "After how long a silence do 90 % of connections die, by cause?",
    query: "histogram_quantile(0.9, sum by (le, cause) (rate(METRIC_bucket[5m])))",
    read: silences,
};

fn deaths(snapshot: &Snapshot, out: &mut Series) {
    if snapshot.coverage.deaths.is_err() {
        return;
    }
    for (group, counts) in &snapshot.groups {
        for (cause, deaths) in &counts.deaths {
            let [owner, direction] = names(group);
            out.count([owner, direction, &port(group), cause.as_str()], *deaths);
        }
    }
}

fn deaths_by_path(snapshot: &Snapshot, out: &mut Series) {
    if snapshot.coverage.deaths.is_err() {
        return;
    }
    let mut paths = BTreeMap::new();
    for counts in snapshot.groups.values() {
        add_all(&mut paths, &counts.deaths_by_path);
    }
    for (path, deaths) in &paths {
        out.count([path.as_str()], *deaths);
    }
}

fn deaths_inferred(snapshot: &Snapshot, out: &mut Series) {
    if snapshot.coverage.deaths.is_ok() {
        let groups = snapshot.groups.values();
        out.count([], groups.map(|counts| counts.deaths_inferred).sum());
    }
}

fn idle_before_close(snapshot: &Snapshot, out: &mut Series) {
    if snapshot.coverage.deaths.is_err() {
        return;
    }
    for (group, counts) in &snapshot.groups {
        let idle = &counts.idle_before_close;
        if !idle.is_empty() {
            let [owner, direction] = names(group);
            let labels = [owner, direction, &port(group)];
            out.histogram(labels, &idle.counts, idle.sum.as_secs_f64());
        }
    }
}

fn recoveries(snapshot: &Snapshot, out: &mut Series) {
    for (group, counts) in &snapshot.groups {
        for (evidence, recoveries) in &counts.recoveries {
            let (seen, occasions) = match evidence {
                Evidence::Keepalive => {
                    (&snapshot.coverage.keepalive_probes, counts.keepalive_probes)
                }
                // No hook sees that such data was sent after all.
                Evidence::LocalSendFailure => continue,
                Evidence::WindowProbe => (&snapshot.coverage.window_probes, counts.window_probes),
                Evidence::Retransmission => (
                    &snapshot.coverage.retransmission_timeouts,
                    counts.retransmission_timeouts,
                ),
            };
            // A 0 where nothing was ever outstanding would cost three series a group. Retransmissions probe a window
            // that closes on data in flight: then there was no window probe.
            if seen.is_ok() && (occasions != 0 || *recoveries != 0) {
                let [owner, direction] = names(group);
                out.count(
                    [owner, direction, &port(group), evidence.as_str()],
                    *recoveries,
                );
            }
        }
    }
}

fn unknown_ratio(snapshot: &Snapshot, out: &mut Series) {
    if snapshot.coverage.deaths.is_err() {
        return;
    }
    let (mut all, mut unknown) = (0, 0);
    for (cause, deaths) in snapshot.groups.values().flat_map(|counts| &counts.deaths) {
        all += deaths;
        if *cause == Cause::Unknown {
            unknown += deaths;
        }
    }
    if all != 0 {
        out.add([], unknown as f64 / all as f64);
    }
}

fn silences(snapshot: &Snapshot, out: &mut Series) {
    for (cause, silence) in &snapshot.silences {
        out.histogram([cause.as_str()], &silence.counts, silence.sum.as_secs_f64());
    }
}
