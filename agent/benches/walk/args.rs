//! The benchmark's command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{kind::Kind, population::Share, reader::Start};

const MOST_SOCKETS: u32 = 1_000_000;

/// Measures what reading every TCP socket costs.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench walk", disable_help_subcommand = true)]
pub struct Args {
    /// Established sockets to open: both ends of half as many loopback connections.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=i64::from(MOST_SOCKETS)))]
    pub sockets: u32,
    /// Rounds; each measures every reader once.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Also compare the sockets spread over so many network namespaces with them in one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub namespaces: u32,
    /// Readers to measure, separated by commas; the empty iterator always is, the others by default.
    #[arg(long, value_delimiter = ',')]
    pub with: Vec<Kind>,
    /// Seconds of ping-pong beside each reader in each round; 0 leaves it out.
    #[arg(long, default_value_t = 2)]
    pub seconds: u32,
    /// Put the ping-pong before ordinary processes: what it still waits for is the kernel, not its turn.
    #[arg(long)]
    pub realtime: bool,
    /// node_exporter's program.
    #[arg(long, default_value = "prometheus-node-exporter")]
    pub node_exporter: PathBuf,
    /// What cargo gives every benchmark.
    #[arg(long, hide = true)]
    pub bench: bool,
    #[command(subcommand)]
    pub role: Option<Role>,
}

/// What the processes do that the benchmark starts of itself.
#[derive(Subcommand)]
pub enum Role {
    /// Opens connections and holds them until stdin ends.
    #[command(hide = true)]
    Hold { shares: Vec<Share> },
    /// Reads every socket once for each line on stdin.
    #[command(hide = true)]
    Read(Start),
}
