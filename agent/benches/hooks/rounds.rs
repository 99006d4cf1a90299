//! Rounds of a storm in pairs, with hooks and without, and what they say together.
//!
//! # Invariants
//! Only the two rounds of a pair are compared: the machine's speed drifts.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use halfopen::collector::Monitor;
use rustix::time::{ClockId, clock_gettime};

use crate::storm::{Close, Worker};

const PAIRS: usize = 12;
const WORKERS: u32 = 2;
/// Connections of each worker in one round, which is to take a second.
const CONNECTIONS: u32 = 10_000;
/// The kernel frees what it detached a moment later.
const SETTLE: Duration = Duration::from_millis(100);

/// What a connection took, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Time of the round, which sets the rate.
    round: f64,
    wall: f64,
    cpu: f64,
}

/// A round with hooks and one without, made one after the other.
struct Pair {
    with: Cost,
    without: Cost,
}

/// Makes the rounds and prints what came out.
pub fn compare(monitor: &mut Monitor, close: Close) -> Result<()> {
    let workers = (0..WORKERS)
        .map(|_| Worker::new())
        .collect::<Result<Vec<_>, _>>()?;
    // The first one fills caches.
    round(&workers, close)?;
    let mut pairs = Vec::new();
    for number in 0..PAIRS {
        // Neither side is always the first.
        let mut side = |hooked| measure(monitor, &workers, close, hooked);
        pairs.push(if number % 2 == 0 {
            let with = side(true)?;
            Pair {
                with,
                without: side(false)?,
            }
        } else {
            let without = side(false)?;
            Pair {
                with: side(true)?,
                without,
            }
        });
    }
    monitor
        .resume()
        .map_err(|reason| anyhow!("attaching again: {reason}"))?;
    print(close, &pairs);
    Ok(())
}

fn measure(monitor: &mut Monitor, workers: &[Worker], close: Close, hooked: bool) -> Result<Cost> {
    let turned = if hooked {
        monitor.resume()
    } else {
        monitor.pause()
    };
    turned.map_err(|reason| anyhow!("turning the hooks on or off: {reason}"))?;
    thread::sleep(SETTLE);
    round(workers, close)
}

fn round(workers: &[Worker], close: Close) -> Result<Cost> {
    let (began, cpu) = (Instant::now(), cpu_time());
    let busy = thread::scope(|scope| {
        let run =
            |worker| scope.spawn(move || Worker::run(worker, CONNECTIONS, close, CONNECTIONS));
        let running: Vec<_> = workers.iter().map(run).collect();
        let ended = running.into_iter().map(|worker| {
            let result = worker.join().map_err(|_| anyhow!("a worker panicked"))?;
            result.context("connecting and closing")
        });
        ended.sum::<Result<Duration>>()
    })?;
    let each = 1e6 / f64::from(WORKERS * CONNECTIONS);
    Ok(Cost {
        round: began.elapsed().as_secs_f64() * each,
        wall: busy.as_secs_f64() * each,
        cpu: (cpu_time() - cpu) * each,
    })
}

/// Seconds all threads of this process have run. Interrupts on them count, and with them the
/// receiving side of loopback, unless the kernel keeps them apart (CONFIG_IRQ_TIME_ACCOUNTING):
/// there the wall time alone tells.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default().as_secs_f64()
}

fn print(close: Close, pairs: &[Pair]) {
    let rate = |side: fn(&Pair) -> Cost| {
        let round = spread(pairs.iter().map(|pair| side(pair).round)).median;
        (1e6 / round).round()
    };
    let how = match close {
        Close::Orderly => "closed in order, the client first",
        Close::Reset => "reset by the client (SO_LINGER 0): two records a connection",
    };
    println!(
        "\nstorm of connections {how}: {WORKERS} threads, {PAIRS} pairs of rounds of {} \
         connections, addresses of 127/8 taken in turn; {} connections a second with hooks, {} without",
        WORKERS * CONNECTIONS,
        rate(|pair| pair.with),
        rate(|pair| pair.without),
    );
    println!(
        "{:<26}{:>10}{:>10}   with/without: median (min … max)",
        "µs a connection", "without", "with"
    );
    row("wall time", pairs, |cost| cost.wall);
    row("CPU time", pairs, |cost| cost.cpu);
}

fn row(name: &str, pairs: &[Pair], pick: fn(Cost) -> f64) {
    let with = spread(pairs.iter().map(|pair| pick(pair.with))).median;
    let without = spread(pairs.iter().map(|pair| pick(pair.without))).median;
    let ratio = spread(
        pairs
            .iter()
            .map(|pair| pick(pair.with) / pick(pair.without)),
    );
    println!(
        "{name:<26}{without:>10.2}{with:>10.2}   {:.3} ({:.3} … {:.3})",
        ratio.median, ratio.min, ratio.max
    );
}

struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    Spread {
        min: values[0],
        median: f64::midpoint(values[middle], values[values.len() - 1 - middle]),
        max: values[values.len() - 1],
    }
}
