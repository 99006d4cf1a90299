//! The metrics that say how far to trust the others: the balance, the hooks, losses, the budget.
//!
//! # Invariants
//! Every loss is shown.

use super::{Kind, Metric, Section, Series};
use crate::model::{accounting::Balance, hook::HookStatus, snapshot::Snapshot};

/// Every metric of how the agent fares.
pub const TRUST: &[Metric<Snapshot>] = &[
    Metric {
        name: "halfopen_kernel_events_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "Events counted by the kernel since the agent started, in the network namespaces that were read.",
        labels: &["counter"],
        question: "How many events does the kernel count?",
        query: "sum by (counter) (rate(METRIC[5m]))",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.kernel),
    },
    Metric {
        name: "halfopen_hook_events_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "Events counted by the hooks for the same kernel counter, in the same network namespaces.",
        labels: &["counter"],
        question: "Which share of the kernel's events did the hooks see?",
        query: "sum by (counter) (rate(METRIC[5m])) / sum by (counter) (rate(halfopen_kernel_events_total[5m]))",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.counted),
    },
    Metric {
        name: "halfopen_unaccounted_events_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "Events that the kernel counted and the hooks missed: they had not counted them when the next comparison began.",
        labels: &["counter"],
        question: "Do the hooks miss events now?",
        query: "sum by (instance, counter) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.unaccounted),
    },
    Metric {
        name: "halfopen_overcounted_events_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "Events that the hooks counted and the kernel did not; anything but 0 is a fault of halfopen.",
        labels: &["counter"],
        question: "Does halfopen count too much?",
        query: "sum by (instance, counter) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.overcounted),
    },
    Metric {
        name: "halfopen_uncompared_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Accounting,
        help: "Events counted by the hooks while the counters of their network namespace could not be read: before it was first entered, after its last reading, or never entered.",
        labels: &["counter"],
        question: "How many events could not be compared with the kernel's counters?",
        query: "sum by (counter) (increase(METRIC[5m]))",
        read: |snapshot, out| balance(snapshot, out, |balance| balance.uncompared),
    },
    Metric {
        name: "halfopen_hook_attached",
        kind: Kind::Gauge,
        unit: "1 (a fact)",
        section: Section::Hooks,
        help: "1 with the mechanism that the hook uses; 0 with mechanism none.",
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
        help: "Runs of the hook's programs; absent without BPF statistics.",
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
        question: "Which share of one CPU do the hooks use?",
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
        help: "Runs of the hook's programs that the kernel skipped; absent where it does not report them.",
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
        help: "Events dropped because the ring buffer was full; counters include them.",
        labels: &[],
        question: "Do event streams have gaps?",
        query: "sum by (instance) (rate(METRIC[5m]))",
        read: |snapshot, out| out.count([], snapshot.losses.events_dropped),
    },
    Metric {
        name: "halfopen_certificates_lost_total",
        kind: Kind::Counter,
        unit: "certificates",
        section: Section::Losses,
        help: "Deaths among the dropped events: counted, but without a death certificate.",
        labels: &[],
        question: "How many deaths have no death certificate?",
        query: "sum by (instance) (increase(METRIC[5m]))",
        read: |snapshot, out| out.count([], snapshot.losses.certificates_lost),
    },
    Metric {
        name: "halfopen_events_unreadable_total",
        kind: Kind::Counter,
        unit: "events",
        section: Section::Losses,
        help: "Events not counted because a field of the socket could not be read.",
        labels: &[],
        question: "Does the kernel differ from its type information (BTF)?",
        query: "sum by (instance) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| out.count([], snapshot.losses.events_unreadable),
    },
    Metric {
        name: "halfopen_records_stale_total",
        kind: Kind::Counter,
        unit: "records",
        section: Section::Losses,
        help: "Records of sockets whose end was missed, found when another socket reused the address.",
        labels: &[],
        question: "How often was the end of a socket missed?",
        query: "sum by (instance) (rate(METRIC[5m]))",
        read: |snapshot, out| out.count([], snapshot.losses.records_stale),
    },
    Metric {
        name: "halfopen_map_full_total",
        kind: Kind::Counter,
        unit: "inserts",
        section: Section::Losses,
        help: "Inserts into full BPF maps: details of a socket are lost, counters stay exact.",
        labels: &["map"],
        question: "Which BPF map is too small (--max-records, --max-kernel-groups)?",
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
        help: "Groups (owner, direction and port) with counts.",
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
        help: "Events counted in the overflow group because the table of groups was full.",
        labels: &[],
        question: "Do counts lose their owner because --max-kernel-groups is too small?",
        query: "sum by (instance) (increase(METRIC[5m])) > 0",
        read: |snapshot, out| out.count([], snapshot.losses.groups_overflowed),
    },
    Metric {
        name: "halfopen_groups_folded",
        kind: Kind::Gauge,
        unit: "groups",
        section: Section::Budget,
        help: "Groups summed as owner other instead of shown by name (--max-groups, --max-series).",
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
        help: "Live sockets with a record: they sent probes, had retransmission timeouts or resets.",
        labels: &[],
        question: "How many sockets have a record?",
        query: "sum by (instance) (METRIC)",
        read: |snapshot, out| out.count([], snapshot.records),
    },
    Metric {
        name: "halfopen_network_namespaces",
        kind: Kind::Gauge,
        unit: "namespaces",
        section: Section::Accounting,
        help: "Network namespaces whose counters were read in the last round (yes), or that exist and could not be entered (no).",
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
        help: "Always 1; the version of halfopen and of the kernel.",
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
