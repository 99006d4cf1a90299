//! Rounds of a storm in pairs, with hooks and without, and what they say together.
//! It must never compare rounds of different pairs: the machine's speed drifts.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use halfopen::kernel::Monitor;
use rustix::time::{ClockId, clock_gettime};

use crate::storm::{Close, Worker};

const PAIRS: usize = 12;
const WORKERS: u32 = 2;
/// Of each worker in one round.
const CONNECTIONS: u32 = 10_000;
/// The kernel frees what it detached a moment later.
const SETTLE: Duration = Duration::from_millis(100);
/// Of /proc/stat, whatever the kernel's own clock (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// What a connection took, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: f64,
    process: f64,
    machine: f64,
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
    let (wall, process, machine) = (Instant::now(), process_time(), machine_time()?);
    thread::scope(|scope| {
        let running: Vec<_> = workers
            .iter()
            .map(|worker| scope.spawn(|| worker.run(CONNECTIONS, close)))
            .collect();
        running.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| anyhow!("a worker panicked"))?
                .context("connecting and closing")
        })
    })?;
    let each = 1e6 / f64::from(WORKERS * CONNECTIONS);
    Ok(Cost {
        wall: wall.elapsed().as_secs_f64() * each,
        process: (process_time() - process) * each,
        machine: (machine_time()? - machine) * each,
    })
}

/// Seconds this process has run, on all processors.
fn process_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default().as_secs_f64()
}

/// Seconds all processors have been busy, interrupts included: user, nice, system, then irq and
/// softirq of the first line of /proc/stat (man 5 proc).
fn machine_time() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line
        .split_ascii_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    let busy = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|column| ticks.get(*column));
    Ok(busy.sum::<f64>() / TICKS_PER_SECOND)
}

fn print(close: Close, pairs: &[Pair]) {
    let rate = |side: fn(&Pair) -> Cost| {
        let wall = spread(pairs.iter().map(|pair| side(pair).wall)).median;
        (1e6 / wall).round()
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
    row("CPU time, this process", pairs, |cost| cost.process);
    row("CPU time, whole machine", pairs, |cost| cost.machine);
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
