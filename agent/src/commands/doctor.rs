//! `halfopen doctor`: looks at the machine, attaches the hooks for a moment, and reports.
//! It must never stop at the first thing that is missing.

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context;
use clap::Args;

use super::print;
use crate::{bpf, cli::HookArgs, collector::Monitor, host::cgroups::Cgroups, options::Options};
use halfopen_core::{
    model::snapshot::{Snapshot, WalkStatus},
    render::doctor::{self, Fact, Privilege, Report},
};

/// The exit code where nothing can be attached.
const MISSING: u8 = 4;

/// The flags of `halfopen doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    hooks: HookArgs,
    /// Write one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Reports what works on this kernel.
///
/// # Errors
/// When the report cannot be written.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let report = examine(&args.hooks);
    let text = if args.json {
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

fn examine(hooks: &HookArgs) -> Report {
    let attached = attach(hooks).map_err(|error| error.to_string());
    let mut facts = facts(&hooks.btf);
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
        "enter network namespaces, turn BPF statistics on",
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
        "make private network namespaces (selftest alone)",
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

fn attach(hooks: &HookArgs) -> Result<Snapshot, bpf::Error> {
    let options = Options {
        hooks: hooks.hooks.forced(),
        without: hooks.without.clone(),
        btf: hooks.btf.clone(),
        // A look needs no room: the maps are gone in a moment.
        max_records: 1024,
        max_kernel_groups: 64,
        bpf_stats: false,
        ..Options::default()
    };
    match Monitor::start(&options) {
        Ok(mut monitor) => Ok(monitor.snapshot()),
        Err(bpf::Error::NothingAttached { snapshot, .. }) => Ok(*snapshot),
        Err(error) => Err(error),
    }
}

/// By what owners of connections are told.
fn owners() -> Fact {
    let found = match Cgroups::open(0) {
        Ok(cgroups) => {
            let point = cgroups.mount_point().display();
            let how = match cgroups.refusal() {
                None => "each by its id".to_owned(),
                Some(error) => format!(
                    "found by walking their tree ({error}): short-lived ones may stay unknown"
                ),
            };
            let part = match (cgroups.is_used(), cgroups.is_whole()) {
                (false, _) => "; nobody is in one: lists call owners by their processes",
                (true, false) => "; only a part is shown here: owners outside of it are unknown",
                (true, true) => "",
            };
            Ok(format!("cgroups v2 at {point}, {how}{part}"))
        }
        Err(error) => Err(format!(
            "{error}: lists call owners by their processes, metrics cannot tell them apart"
        )),
    };
    Fact {
        key: "owners",
        title: "owners of connections",
        found,
    }
}

/// How the sockets there are now are read.
fn sockets(walk: &WalkStatus) -> Fact {
    Fact {
        key: "sockets",
        title: "sockets there are now",
        found: match walk {
            WalkStatus::Done(walked) => Ok(match walked.source.blind_spot() {
                None => format!(
                    "{} read from the kernel's tables by BPF",
                    walked.census.sockets
                ),
                Some(blind_spot) => format!("{} {blind_spot}", walked.census.sockets),
            }),
            WalkStatus::NotYet => Err("they were not read".to_owned()),
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
                "0" => "from the unprivileged".to_owned(),
                "1" => "from all without CAP_SYSLOG".to_owned(),
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
