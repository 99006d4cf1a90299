//! What it costs to tell whose each socket is, beside `ss -tanp`: sockets spread over many real
//! cgroups and several processes, read with their owners and without, in the same rounds.
//!
//! # Invariants
//! Only figures of one round are compared: the machine's speed drifts. The benchmark prints on which
//! side of the limit they lie, and does not fail for it.

mod cgroups;
#[path = "../common/child.rs"]
mod child;
#[path = "../common/memory.rs"]
mod memory;
#[path = "../common/namespace.rs"]
mod namespace;
#[path = "../common/network.rs"]
mod network;
#[path = "../common/population.rs"]
mod population;
mod readers;
mod report;
#[path = "../common/spread.rs"]
mod spread;
#[path = "../common/usage.rs"]
mod usage;

use std::{fs, path::PathBuf, process::ExitCode, thread};

use anyhow::Result;
use clap::{Parser, Subcommand};

use cgroups::Tree;
use namespace::Namespace;
use population::{Population, Share};
use readers::Readers;
use report::Rounds;

/// Measures what it costs to tell whose each socket is.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench owners", disable_help_subcommand = true)]
struct Args {
    /// Established sockets to open, one number after the other: both ends of half as many loopback
    /// connections.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 200_000], value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    sockets: Vec<u32>,
    /// Cgroups over which they are spread.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    cgroups: u32,
    /// Processes that hold them; more where one may not open as many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    processes: u32,
    /// Rounds; each measures every reading once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// What cargo gives every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What the processes do that the benchmark starts of itself.
#[derive(Subcommand)]
enum Role {
    /// Opens connections and holds them until stdin ends.
    #[command(hide = true)]
    Hold { shares: Vec<Share> },
    /// Removes a tree of cgroups when stdin ends.
    #[command(hide = true)]
    Sweep { root: PathBuf },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.role {
        Some(Role::Hold { shares }) => population::hold(shares),
        Some(Role::Sweep { root }) => cgroups::sweep(root),
        None => bench(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &Args) -> Result<()> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = thread::available_parallelism()?;
    println!("Linux {}, {processors} processors", kernel.trim());
    let here = [Namespace::new()?];
    namespace::enter(&here[0].path())?;
    args.sockets
        .iter()
        .try_for_each(|sockets| measure(*sockets, &here, args))
}

fn measure(sockets: u32, here: &[Namespace; 1], args: &Args) -> Result<()> {
    memory::check(sockets)?;
    // Removed after the processes that live in them have ended; and there before the agent looks
    // whether anybody uses cgroups.
    let tree = Tree::make(args.cgroups)?;
    let mut readers = Readers::load(namespace::inode(&here[0].path())?)?;
    let population = Population::open(sockets, here, tree.leaves(), args.processes)?;
    println!("\n{population}; {} rounds", args.rounds);
    let mut rounds = Rounds::default();
    // The first fills caches.
    rounds.add(&mut readers, 0)?;
    rounds.forget();
    for number in 0..args.rounds as usize {
        rounds.add(&mut readers, number)?;
    }
    rounds.print(population.sockets);
    Ok(())
}
