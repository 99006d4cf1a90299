//! What reading every TCP socket costs: our walk beside the other ways to read them, on as many
//! sockets as asked for, and what each does to a connection that is busy meanwhile.
//! It must never compare figures of different rounds: the machine's speed drifts. Nor may it judge
//! them: it prints.

#[path = "../common/child.rs"]
mod child;
mod iterator;
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

use std::{fs, path::PathBuf, process::ExitCode, thread};

use anyhow::Result;
use clap::{Parser, Subcommand};

use namespace::Namespace;
use population::{Population, Share};
use reader::Start;
use readers::Kind;
use rounds::Rows;

const MOST_SOCKETS: u32 = 1_000_000;

/// Measures what reading every TCP socket costs.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench walk", disable_help_subcommand = true)]
struct Args {
    /// Established sockets to open: both ends of half as many loopback connections.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=i64::from(MOST_SOCKETS)))]
    sockets: u32,
    /// Rounds; each measures every reader once.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Also compare the sockets spread over so many network namespaces with them in one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    namespaces: u32,
    /// Readers to measure, separated by commas; the empty iterator always is, the others by default.
    #[arg(long, value_delimiter = ',')]
    with: Vec<Kind>,
    /// Seconds of ping-pong beside each reader in each round; 0 leaves it out.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Put the ping-pong before ordinary processes: what it still waits for is the kernel, not its turn.
    #[arg(long)]
    realtime: bool,
    /// node_exporter's program.
    #[arg(long, default_value = "prometheus-node-exporter")]
    node_exporter: PathBuf,
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
    /// Reads every socket once for each line on stdin.
    #[command(hide = true)]
    Read(Start),
}

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
