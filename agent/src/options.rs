//! How to watch the kernel: what flags, environment and configuration come to.

use std::{path::PathBuf, time::Duration};

use halfopen_core::filter::Filter;
use halfopen_core::metrics::cardinality::Limits;
use halfopen_core::model::{hook::Mechanism, liveness::Thresholds};

/// How to watch the kernel.
#[derive(Debug, Clone)]
pub struct Options {
    /// The one mechanism to use, or `None` for the best of each hook.
    pub hooks: Option<Mechanism>,
    /// Kernel functions and tracepoints to leave alone.
    pub without: Vec<String>,
    /// The running kernel's BTF, normally [`BTF`].
    pub btf: PathBuf,
    /// Sockets that can have a record at a time.
    pub max_records: u32,
    /// Groups that can be told apart in the kernel.
    pub max_kernel_groups: u32,
    /// Which groups are shown by name.
    pub limits: Limits,
    /// Whether containers and pods go by the names of the kubelet's directories of logs.
    pub kubernetes_names: bool,
    /// Longest time between two comparisons with the kernel's own counters.
    pub compare_interval: Duration,
    /// The directory in a BPF file system that keeps records, counters and hooks when the agent ends;
    /// `None` to leave nothing behind.
    pub pin: Option<PathBuf>,
    /// Whether to have the kernel measure the programs' runs.
    pub bpf_stats: bool,
    /// Whether the kernel programs log each event.
    pub kernel_log: bool,
    /// From when on silence means something.
    pub thresholds: Thresholds,
    /// Deaths that match one of these are neither counted nor reported.
    pub ignore: Vec<Filter>,
    /// Time between two walks over all sockets; `None` for as often as 1 % of one core allows.
    pub walk_interval: Option<Duration>,
}

/// Where a kernel shows its own BTF.
pub const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Where maps and links are pinned unless told otherwise.
pub const PINS: &str = "/sys/fs/bpf/halfopen";

impl Default for Options {
    fn default() -> Self {
        Self {
            hooks: None,
            without: Vec::new(),
            btf: BTF.into(),
            max_records: 65_536,
            max_kernel_groups: 4_096,
            limits: Limits::default(),
            kubernetes_names: false,
            compare_interval: Duration::from_secs(5),
            pin: None,
            bpf_stats: true,
            kernel_log: false,
            thresholds: Thresholds::default(),
            ignore: Vec::new(),
            walk_interval: None,
        }
    }
}
