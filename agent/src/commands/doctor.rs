//! `halfopen doctor`: attaches the hooks for a moment, and reports what works on this host.
//!
//! # Invariants
//! What is missing ends no report: it is in it.

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context;

use super::print;
use crate::{bpf, collector::Monitor, host::cgroups::Cgroups, options::Options};
use halfopen_core::{
    model::snapshot::{Snapshot, WalkStatus},
    render::doctor::{self, Fact, Privilege, Report},
};

/// The exit code where nothing can be attached.
const MISSING: u8 = 4;

/// What to try, and how to report it.
#[derive(Debug)]
pub struct DoctorConfig {
    /// The hooks to try.
    pub kernel: Options,
    /// Whether to write JSON instead of text.
    pub json: bool,
}

/// Reports what works on this kernel.
///
/// # Errors
/// When the report cannot be written.
pub fn run(config: &DoctorConfig) -> anyhow::Result<ExitCode> {
    let report = examine(&config.kernel);
    let text = if config.json {
        doctor::json(&report)?
    } else {
        doctor::text(&report)
    };
    print(&text).context("cannot write the report to standard output")?;
    Ok(if report.works() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(MISSING)
    })
}

fn examine(kernel: &Options) -> Report {
    let attached = attach(kernel).map_err(|error| error.to_string());
    let mut facts = facts(&kernel.btf);
    facts.push(owners());
    if let Ok(snapshot) = &attached {
        facts.push(sockets(&snapshot.walk));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: value("/proc/sys/kernel/osrelease").unwrap_or_else(|_| "unknown".to_owned()),
        uid: field(&status, "Uid:", 1).and_then(|uid| uid.parse().ok()),
        privileges: privileges(&status),
        facts,
        attached,
    }
}

/// Name, number in linux/capability.h, and what halfopen needs it for.
const CAPABILITIES: [(&str, u32, &str); 7] = [
    ("CAP_BPF", 39, "load programs and maps (or CAP_SYS_ADMIN)"),
    (
        "CAP_PERFMON",
        38,
        "attach to kernel functions (or CAP_SYS_ADMIN)",
    ),
    (
        "CAP_SYS_ADMIN",
        21,
        "enter network namespaces, enable BPF statistics",
    ),
    (
        "CAP_SYS_PTRACE",
        19,
        "find network namespaces of other users' processes",
    ),
    (
        "CAP_SYSLOG",
        34,
        "addresses of kernel functions, for tracepoints",
    ),
    (
        "CAP_DAC_READ_SEARCH",
        2,
        "read tracefs and /proc of other users",
    ),
    (
        "CAP_NET_ADMIN",
        12,
        "make private network namespaces (selftest only)",
    ),
];

fn privileges(status: &str) -> Vec<Privilege> {
    let mask = field(status, "CapEff:", 0).and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let privilege = |&(name, bit, purpose): &(&'static str, u32, &'static str)| Privilege {
        name,
        purpose,
        held: mask.map(|mask| mask >> bit & 1 == 1),
    };
    CAPABILITIES.iter().map(privilege).collect()
}

fn attach(kernel: &Options) -> Result<Snapshot, bpf::Error> {
    let options = Options {
        // The maps are gone in a moment: small ones do.
        max_records: 1024,
        max_kernel_groups: 64,
        bpf_stats: false,
        ..kernel.clone()
    };
    match Monitor::start(&options) {
        Ok(mut monitor) => Ok(monitor.snapshot()),
        Err(bpf::Error::NothingAttached { snapshot, .. }) => Ok(*snapshot),
        Err(error) => Err(error),
    }
}

/// How the owners of connections are found.
fn owners() -> Fact {
    let found = match Cgroups::open(0) {
        Ok(cgroups) => {
            let point = cgroups.mount_point().display();
            let how = match cgroups.refusal() {
                None => "looked up by id".to_owned(),
                Some(error) => format!(
                    "found by walking the tree ({error}): short-lived ones may stay unknown"
                ),
            };
            let part = match (cgroups.is_used(), cgroups.is_whole()) {
                (false, _) => {
                    "; there is none but the root: every owner is /, and lists show processes"
                }
                (true, false) => {
                    "; only part of the tree is visible here: owners outside it are unknown"
                }
                (true, true) => "",
            };
            Ok(format!("cgroups v2 at {point}, {how}{part}"))
        }
        Err(error) => Err(format!(
            "{error}: owners are unknown, and lists show processes"
        )),
    };
    Fact {
        key: "owners",
        title: "owners of connections",
        found,
    }
}

/// How existing sockets are read.
fn sockets(walk: &WalkStatus) -> Fact {
    Fact {
        key: "sockets",
        title: "existing sockets",
        found: match walk {
            WalkStatus::Done(walked) => Ok(match walked.source.blind_spot() {
                None => format!(
                    "{} read from the kernel's tables by BPF",
                    walked.census.sockets
                ),
                Some(blind_spot) => format!("{} {blind_spot}", walked.census.sockets),
            }),
            WalkStatus::NotYet => Err("not read".to_owned()),
            WalkStatus::Failed(reason) => Err(reason.clone()),
        },
    }
}

fn facts(btf: &Path) -> Vec<Fact> {
    let sysctl = |key, title, path, explain: fn(&str) -> String| Fact {
        key,
        title,
        found: value(path).map(|value| explain(&value)),
    };
    vec![
        Fact {
            key: "btf",
            title: "type information (BTF)",
            found: btf_size(btf),
        },
        sysctl(
            "bpf_stats",
            "BPF statistics",
            "/proc/sys/kernel/bpf_stats_enabled",
            |value| match value {
                "0" => "off; the agent turns them on while it runs".to_owned(),
                _ => "on".to_owned(),
            },
        ),
        sysctl(
            "bpf_jit",
            "BPF compiler (JIT)",
            "/proc/sys/net/core/bpf_jit_enable",
            |value| match value {
                "0" => "off: programs are interpreted, several times slower".to_owned(),
                _ => "on".to_owned(),
            },
        ),
        sysctl(
            "kptr_restrict",
            "kernel addresses hidden",
            "/proc/sys/kernel/kptr_restrict",
            |value| match value {
                "0" => "from unprivileged users".to_owned(),
                "1" => "from processes without CAP_SYSLOG".to_owned(),
                _ => "from everyone".to_owned(),
            },
        ),
        sysctl(
            "ftrace",
            "function tracing (ftrace)",
            "/proc/sys/kernel/ftrace_enabled",
            |value| match value {
                "0" => "off: fentry and kprobe cannot attach (sysctl kernel.ftrace_enabled=1)"
                    .to_owned(),
                _ => "on".to_owned(),
            },
        ),
    ]
}

fn btf_size(path: &Path) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(|error| {
        format!("{} cannot be read ({error}); a kernel built with CONFIG_DEBUG_INFO_BTF has it, or give a copy with --btf", path.display())
    })?;
    Ok(format!(
        "{}, {} KiB",
        path.display(),
        metadata.len().div_ceil(1024)
    ))
}

fn value(path: &str) -> Result<String, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!("{path} cannot be read ({error})")),
    }
}

fn field<'a>(status: &'a str, name: &str, index: usize) -> Option<&'a str> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().nth(index)
}
