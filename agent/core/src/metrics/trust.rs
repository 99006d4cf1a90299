//! The metrics that say how far to trust the others: the balance, the hooks, losses, the budget.
//! It must never leave a loss out because it is none of the others' business.

use super::{Kind, Metric, Section, Series};
use crate::model::snapshot::{Balance, HookStatus, Snapshot};

/// Every metric of how the agent fares.
pub const TRUST: &[Metric<Snapshot>] = &[
    Metric {
        name: "halfopen_kernel_events_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "What the kernel counted since the agent began, in the network namespaces that were read.",
        labels: &["counter"],
        question: "How much of it does the kernel itself count?",
        query: "sum by (counter) (rate(METRIC[5m]))",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.kernel),
    },
    Metric {
        name: "halfopen_hook_events_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "What the hooks counted of the same kernel counter, in the same network namespaces.",
        labels: &["counter"],
        question: "Which share of what the kernel counted did the hooks see?",
        query: "sum by (counter) (rate(METRIC[5m])) / sum by (counter) (rate(halfopen_kernel_events_total[5m]))",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.counted),
    },
    Metric {
        name: "halfopen_unaccounted_events_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "What the kernel counted and no hook saw.",
        labels: &["counter"],
        question: "Is anything missed now?",
        query: "sum by (instance, counter) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.unaccounted),
    },
    Metric {
        name: "halfopen_overcounted_events_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "What the hooks counted and the kernel did not; anything but 0 is a fault of halfopen.",
        labels: &["counter"],
        question: "Is halfopen itself at fault?",
        query: "sum by (instance, counter) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.overcounted),
    },
    Metric {
        name: "halfopen_uncompared_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "What the hooks counted in network namespaces that ended before their last reading or could not be entered.",
        labels: &["counter"],
        question: "How much was counted where nothing could be compared?",
        query: "sum by (counter) (increase(METRIC[5m]))",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.uncompared),
    },
    Metric {
        name: "halfopen_hook_attached",
        kind: Kind::Gauge,
        unit: "1 (a fact)",
        section: Section::Hooks,
        help: "1 with the mechanism by which the hook is attached, or 0 with mechanism none.",
        labels: &["hook", "mechanism"],
        question: "Which hooks are missing, and where?",
        query: "sum by (instance, hook) (METRIC) == 0",
        read: hook_attached,
    },
    Metric {
        name: "halfopen_hook_runs_total",
        kind: Kind::Counter,
        unit: "runs",
        section: Section::Hooks,
        help: "Times that the hook's programs ran; absent without BPF statistics.",
        labels: &["hook"],
        question: "Which hook runs most?",
        query: "topk(3, sum by (hook) (rate(METRIC[5m])))",
        read: |snapshot, out| hooks(snapshot, out, |hook| hook.runs.map(|runs| runs as f64)),
    },
    Metric {
        name: "halfopen_hook_run_seconds_total",
        kind: Kind::Counter,
        unit: "seconds",
        section: Section::Hooks,
        help: "Time spent in the hook's programs; absent without BPF statistics.",
        labels: &["hook"],
        question: "Which share of one processor do the hooks take?",
        query: "sum by (instance) (rate(METRIC[5m]))",
        read: |snapshot, out| {
            hooks(snapshot, out, |hook| {
                hook.run_time.map(|time| time.as_secs_f64())
            });
        },
    },
    Metric {
        name: "halfopen_hook_misses_total",
        kind: Kind::Counter,
        unit: "runs",
        section: Section::Hooks,
        help: "Times that the kernel skipped the hook's programs; absent where it does not say.",
        labels: &["hook"],
        question: "Does the kernel skip hooks?",
        query: "sum by (instance, hook) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| {
            hooks(snapshot, out, |hook| {
                hook.misses.map(|misses| misses as f64)
            });
        },
    },
    Metric {
        name: "halfopen_events_dropped_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Losses,
        help: "Events that found the ring buffer full; their counts are kept.",
        labels: &[],
        question: "Do streams of events have gaps?",
        query: "sum by (instance) (rate(METRIC[5m]))",
        read: |snapshot, out| out.count([], snapshot.losses.events_dropped),
    },
    Metric {
        name: "halfopen_certificates_lost_total",
        kind: Kind::Counter,
        unit: "certificates",
        section: Section::Losses,
        help: "Deaths among the dropped events: they are counted, but their certificates are lost.",
        labels: &[],
        question: "How many deaths have no certificate?",
        query: "sum by (instance) (increase(METRIC[5m]))",
        read: |snapshot, out| out.count([], snapshot.losses.certificates_lost),
    },
    Metric {
        name: "halfopen_events_unreadable_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Losses,
        help: "Events left uncounted because a field of the socket could not be read.",
        labels: &[],
        question: "Does the kernel differ from what its type information says?",
        query: "sum by (instance) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| out.count([], snapshot.losses.events_unreadable),
    },
    Metric {
        name: "halfopen_records_stale_total",
        kind: Kind::Counter,
        unit: "records",
        section: Section::Losses,
        help: "Records of sockets whose end was not seen, found under another connection's address.",
        labels: &[],
        question: "How often was the end of a socket not seen?",
        query: "sum by (instance) (rate(METRIC[5m]))",
        read: |snapshot, out| out.count([], snapshot.losses.records_stale),
    },
    Metric {
        name: "halfopen_map_full_total",
        kind: Kind::Counter,
        unit: "inserts",
        section: Section::Losses,
        help: "Inserts that found a kernel map full: detail of a socket is lost, the counts are kept.",
        labels: &["map"],
        question: "Which table of the kernel is too small (--max-records, --max-kernel-groups)?",
        query: "sum by (instance, map) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| {
            for (map, inserts) in &snapshot.losses.map_full {
                out.count([map], *inserts);
            }
        },
    },
    Metric {
        name: "halfopen_groups",
        kind: Kind::Gauge,
        unit: "groups",
        section: Section::Budget,
        help: "Groups (owner, direction and port) that have counts.",
        labels: &[],
        question: "How many groups does each host have?",
        query: "sum by (instance) (METRIC)",
        read: |snapshot, out| out.count([], snapshot.groups.len() as u64),
    },
    Metric {
        name: "halfopen_groups_overflowed_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Losses,
        help: "Counts that went to the overflow group because the table of groups was full.",
        labels: &[],
        question: "Are counts without an owner because --max-kernel-groups is too small?",
        query: "sum by (instance) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| out.count([], snapshot.losses.groups_overflowed),
    },
    Metric {
        name: "halfopen_groups_folded",
        kind: Kind::Gauge,
        unit: "groups",
        section: Section::Budget,
        help: "Groups that are not shown by name, but summed as owner other (--max-groups, --max-series).",
        labels: &[],
        question: "Where would a bigger budget show more?",
        query: "sum by (instance) (METRIC) > 0",
        read: |snapshot, out| out.count([], snapshot.groups_folded),
    },
    Metric {
        name: "halfopen_records",
        kind: Kind::Gauge,
        unit: "sockets",
        section: Section::Budget,
        help: "Live sockets with a record: they probed, timed out or were reset.",
        labels: &[],
        question: "How many sockets have something to tell?",
        query: "sum by (instance) (METRIC)",
        read: |snapshot, out| out.count([], snapshot.records),
    },
    Metric {
        name: "halfopen_network_namespaces",
        kind: Kind::Gauge,
        unit: "namespaces",
        section: Section::Accounting,
        help: "Network namespaces whose counters were read in the last round (yes), or that could not be entered (no).",
        labels: &["seen"],
        question: "Which hosts have network namespaces that the agent cannot enter?",
        query: r#"sum by (instance) (METRIC{seen="no"}) > 0"#,
        read: |snapshot, out| {
            out.count(["yes"], snapshot.namespaces.seen);
            out.count(["no"], snapshot.namespaces.unseen);
        },
    },
    Metric {
        name: "halfopen_build_info",
        kind: Kind::Gauge,
        unit: "1 (a fact)",
        section: Section::Build,
        help: "Always 1; what is running, on which kernel.",
        labels: &["version", "revision", "kernel"],
        question: "Which versions run on how many hosts?",
        query: "count by (version) (METRIC)",
        read: |snapshot, out| {
            let build = &snapshot.build;
            out.add([&build.version, &build.revision, &build.kernel], 1.0);
        },
    },
];

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
