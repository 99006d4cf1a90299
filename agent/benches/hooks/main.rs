//! What the hooks cost: time per run and verified instructions of each program, then the price of a
//! connection in a storm of them with and without hooks.
//!
//! # Invariants
//! Both sides of a comparison use the same loaded programs: loading them anew changes the figures.
//! The figures are printed, not checked.

mod events;
#[path = "../common/network.rs"]
mod network;
mod programs;
mod rounds;
mod storm;

use std::{process::ExitCode, thread};

use anyhow::{Context, Result, anyhow};
use halfopen::{bpf::statistics, collector::Monitor, options::Options};

use storm::Close;

fn main() -> ExitCode {
    match measured() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// On a thread of its own: it goes into a network namespace, and the process does not.
fn measured() -> Result<()> {
    let work = thread::Builder::new().name("bench".into()).spawn(bench)?;
    work.join().map_err(|_| anyhow!("the benchmark panicked"))?
}

fn bench() -> Result<()> {
    let options = Options {
        // Switched on here, and off again before the storm: they take time themselves.
        bpf_stats: false,
        ..Options::default()
    };
    let verified = statistics::verify(&options)?;
    network::enter_private()?;
    let mut monitor = Monitor::start(&options)?;

    let statistics = statistics::enable().context("having the kernel measure BPF programs")?;
    println!("making connections, resets, probes and timeouts …");
    events::make()?;
    programs::print(&monitor.programs(), &verified);
    drop(statistics);

    // Orderly closes last: each leaves a TIME_WAIT behind, whose timer runs a minute later.
    for close in [Close::Reset, Close::Orderly] {
        rounds::compare(&mut monitor, close)?;
    }
    let losses = monitor.snapshot().losses;
    println!(
        "\nlost meanwhile: {} events; entries that found their map full: {:?}",
        losses.events_dropped, losses.map_full
    );
    Ok(())
}
