//! `cargo xtask bench`: what the hooks, the walk over every socket, and finding its owner cost on this
//! kernel. It prints figures and fails on none: a benchmark that fails on a busy machine is soon ignored.

use std::{ffi::OsString, path::PathBuf};

use anyhow::{Result, bail};

use crate::{
    apt::{self, Need},
    process, workspace,
};

/// What `cargo xtask bench` was asked.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Benchmark,
}

#[derive(clap::Subcommand)]
enum Benchmark {
    /// Time and verified instructions of each kernel program, and a storm with and without hooks.
    Hooks,
    /// Our walk over every socket beside other ways to read them (its own flags: `walk --help`).
    #[command(disable_help_flag = true)]
    Walk {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<OsString>,
    },
    /// Finding the owner of each socket, beside `ss -tanp` (its own flags: `owners --help`).
    #[command(disable_help_flag = true)]
    Owners {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<OsString>,
    },
}

const IPROUTE2: [Need; 2] = [
    Need {
        probe: "ip",
        package: "iproute2",
        why: "brings up loopback in the benchmark's network namespaces",
    },
    Need {
        probe: "ss",
        package: "iproute2",
        why: "is compared with our walk",
    },
];

const NODE_EXPORTER: &str = "prometheus-node-exporter";

/// Runs the task.
pub fn main(args: &Args) -> Result<()> {
    apt::ensure(&IPROUTE2)?;
    match &args.what {
        Benchmark::Hooks => run("hooks", &[]),
        Benchmark::Walk { flags } => {
            let mut all = node_exporter(flags);
            all.extend_from_slice(flags);
            run("walk", &all)
        }
        Benchmark::Owners { flags } => run("owners", flags),
    }
}

fn run(bench: &str, flags: &[OsString]) -> Result<()> {
    let runner = process::as_root("env", "loading programs into the kernel")?;
    let mut cargo = workspace::cargo();
    // Only the benchmark becomes root, not the compiler: its files stay the caller's.
    if !process::is_root() {
        cargo.env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            process::describe(&runner),
        );
    }
    cargo.args(["bench", "--locked", "--package", "halfopen"]);
    cargo.args(["--bench", bench, "--"]);
    process::run(cargo.args(flags))
}

/// The flag that names node_exporter, if available; the benchmark reports when it is missing.
fn node_exporter(flags: &[OsString]) -> Vec<OsString> {
    let any = |word: &str| {
        let has = |flag: &OsString| flag.to_string_lossy().contains(word);
        flags.iter().any(has)
    };
    let left_out = any("--with") && !any("node-exporter");
    if left_out || any("--node-exporter") || any("--help") {
        return Vec::new();
    }
    match exporter_program() {
        Ok(program) => vec!["--node-exporter".into(), program.into()],
        Err(why) => {
            eprintln!("note: {why:#}; going on without node_exporter");
            Vec::new()
        }
    }
}

/// From the PATH or out of Debian's package, which is not installed: it would start a server.
fn exporter_program() -> Result<PathBuf> {
    if let Some(program) = process::find(NODE_EXPORTER) {
        return Ok(program);
    }
    if !apt::is_debian_12() {
        bail!("{NODE_EXPORTER} is not on the PATH");
    }
    let folder = apt::unpack(NODE_EXPORTER, &workspace::target().join("tools"))?;
    Ok(folder.join("usr/bin").join(NODE_EXPORTER))
}
