//! `cargo xtask bench`: what the hooks cost on this kernel.
//! It prints figures and judges none: a benchmark that fails on a busy machine is soon ignored.

use anyhow::Result;

use crate::{process, workspace};

/// What `cargo xtask bench` was asked.
#[derive(clap::Args)]
pub struct Args {
    #[arg(value_enum)]
    what: What,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// Time and verified instructions of each kernel program, and a storm with and without hooks.
    Hooks,
}

/// Runs the task.
pub fn main(args: &Args) -> Result<()> {
    let bench = match args.what {
        What::Hooks => "hooks",
    };
    let runner = process::as_root("env", "loading programs into the kernel")?;
    let mut cargo = workspace::cargo();
    // Only the benchmark becomes root, not the compiler: its files stay the caller's.
    if !process::is_root() {
        cargo.env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            process::describe(&runner),
        );
    }
    cargo.args(["bench", "--quiet", "--locked", "--package", "halfopen"]);
    process::run(cargo.args(["--bench", bench]))
}
