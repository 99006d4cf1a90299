//! What the agent itself costs, under the names that every exporter uses.

use super::{Kind, Metric, Section};

/// The agent's own use of the machine at one moment; `None` is what could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// User and system time.
    pub cpu_seconds: Option<f64>,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Address space.
    pub virtual_bytes: Option<u64>,
    /// Seconds since the epoch at which it began.
    pub start_seconds: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Soft limit of file descriptors; `None` also where there is none.
    pub max_fds: Option<u64>,
}

/// The process metrics.
pub const PROCESS: &[Metric<Process>] = &[
    Metric {
        name: "process_cpu_seconds_total",
        kind: Kind::Counter,
        unit: "seconds",
        section: Section::Process,
        help: "User and system CPU time of the agent. The cost of its hooks is in halfopen_hook_run_seconds_total.",
        labels: &[],
        question: "Which share of one CPU does the agent use?",
        query: r#"sum by (instance) (rate(METRIC{job="halfopen"}[5m]))"#,
        read: |process, out| {
            process
                .cpu_seconds
                .into_iter()
                .for_each(|value| out.add([], value));
        },
    },
    Metric {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        section: Section::Process,
        help: "Resident memory of the agent.",
        labels: &[],
        question: "How much memory does the agent use?",
        query: r#"max by (instance) (METRIC{job="halfopen"})"#,
        read: |process, out| {
            process
                .resident_bytes
                .into_iter()
                .for_each(|value| out.count([], value));
        },
    },
    Metric {
        name: "process_virtual_memory_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        section: Section::Process,
        help: "Virtual memory of the agent.",
        labels: &[],
        question: "How much virtual memory does the agent use?",
        query: r#"max by (instance) (METRIC{job="halfopen"})"#,
        read: |process, out| {
            process
                .virtual_bytes
                .into_iter()
                .for_each(|value| out.count([], value));
        },
    },
    Metric {
        name: "process_start_time_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        section: Section::Process,
        help: "Start time of the agent, in seconds since the epoch.",
        labels: &[],
        question: "How long has the agent been running?",
        query: r#"time() - max by (instance) (METRIC{job="halfopen"})"#,
        read: |process, out| {
            process
                .start_seconds
                .into_iter()
                .for_each(|value| out.add([], value));
        },
    },
    Metric {
        name: "process_threads",
        kind: Kind::Gauge,
        unit: "threads",
        section: Section::Process,
        help: "Threads of the agent.",
        labels: &[],
        question: "Does the number of threads grow?",
        query: r#"max by (instance) (METRIC{job="halfopen"})"#,
        read: |process, out| {
            process
                .threads
                .into_iter()
                .for_each(|value| out.count([], value));
        },
    },
    Metric {
        name: "process_open_fds",
        kind: Kind::Gauge,
        unit: "descriptors",
        section: Section::Process,
        help: "Open file descriptors of the agent.",
        labels: &[],
        question: "How close is the agent to its limit of file descriptors?",
        query: r#"max by (instance) (METRIC{job="halfopen"}) / max by (instance) (process_max_fds{job="halfopen"})"#,
        read: |process, out| {
            process
                .open_fds
                .into_iter()
                .for_each(|value| out.count([], value));
        },
    },
    Metric {
        name: "process_max_fds",
        kind: Kind::Gauge,
        unit: "descriptors",
        section: Section::Process,
        help: "Limit of open file descriptors of the agent.",
        labels: &[],
        question: "What is the limit of file descriptors?",
        query: r#"min by (instance) (METRIC{job="halfopen"})"#,
        read: |process, out| {
            process
                .max_fds
                .into_iter()
                .for_each(|value| out.count([], value));
        },
    },
];
