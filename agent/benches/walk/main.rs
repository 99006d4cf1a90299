//! What reading every TCP socket costs: our walk beside the other ways to read them, on as many
//! sockets as asked for, and what each does to a connection that is busy meanwhile.
//!
//! # Invariants
//! Only figures of one round are compared: the machine's speed drifts. They are printed, not checked.

mod args;
#[path = "../common/child.rs"]
mod child;
mod iterator;
mod kind;
mod latency;
#[path = "../common/memory.rs"]
mod memory;
#[path = "../common/namespace.rs"]
mod namespace;
#[path = "../common/network.rs"]
mod network;
#[path = "../common/population.rs"]
mod population;
mod reader;
mod readers;
mod rounds;
mod scattered;
#[path = "../common/spread.rs"]
mod spread;
#[path = "../common/usage.rs"]
mod usage;

use std::{fs, process::ExitCode, thread};

use anyhow::Result;
use clap::Parser;

use args::{Args, Role};
use kind::Kind;
use namespace::Namespace;
use population::Population;
use rounds::Rows;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.role {
        Some(Role::Hold { shares }) => population::hold(shares),
        Some(Role::Read(start)) => readers::serve(start),
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
    memory::check(args.sockets)?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = thread::available_parallelism()?;
    println!("Linux {}, {processors} processors", kernel.trim());
    network::enter_private()?;
    one_namespace(args)?;
    if args.namespaces > 1 {
        scattered::compare(args)?;
    }
    Ok(())
}

fn one_namespace(args: &Args) -> Result<()> {
    let here = [Namespace::current()?];
    let population = Population::open(args.sockets, &here, &[], 1)?;
    println!("\n{population}; {} rounds", args.rounds);
    let mut rows = Rows::start(&kinds(args), &here, &args.node_exporter);
    rows.measure(args.rounds);
    rows.print(&population);
    if args.seconds > 0 {
        latency::compare(&mut rows, args)?;
    }
    Ok(())
}

/// The readers to measure, in the order in which they are shown.
fn kinds(args: &Args) -> Vec<Kind> {
    let asked =
        |kind: &Kind| args.with.is_empty() || args.with.contains(kind) || *kind == Kind::Iterator;
    Kind::ALL.into_iter().filter(asked).collect()
}
