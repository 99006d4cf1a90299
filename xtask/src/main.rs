//! `cargo xtask`: everything a developer or CI does with this repository, as one program.
//!
//! # Invariants
//! It depends on no crate that it builds.

mod apt;
mod bench;
mod dist;
mod ebpf;
mod pictures;
mod process;
mod programs;
mod prometheus;
mod ready;
mod run;
mod steps;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// Builds, runs and tests halfopen.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Build the kernel programs into agent-ebpf/object, installing the toolchain where it can.
    Ebpf(ebpf::Args),
    /// Build the self-contained release binary, target/dist/halfopen.
    Dist,
    /// Build the agent quickly, start it, and show it a connection whose peer vanishes.
    Run(run::Args),
    /// Run every test: without root, as root on this kernel, and in virtual machines.
    Test(test::Args),
    /// Measure on this kernel what the hooks, the walk and the owners of sockets cost.
    Bench(bench::Args),
    /// Run only the scenarios in virtual machines, with chosen kernels and mechanisms.
    Vm(test::guests::Args),
    /// Draw the dashboards with the data of a running Prometheus, as Grafana would.
    Pictures(pictures::Args),
}

fn main() -> ExitCode {
    if let Some(code) = ebpf::compiler::run_if_wrapped() {
        return code;
    }
    let done = match Task::parse() {
        Task::Ebpf(args) => ebpf::main(&args),
        Task::Dist => dist::main(),
        Task::Run(args) => run::main(&args),
        Task::Test(args) => test::main(&args),
        Task::Bench(args) => bench::main(&args),
        Task::Vm(args) => test::guests::main(&args),
        Task::Pictures(args) => pictures::main(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
