//! The same number of sockets in one network namespace and in many.
//!
//! # Invariants
//! Only one of them is open at a time: our walk reads every socket there is.

use std::{thread, time::Duration};

use anyhow::Result;

use crate::{
    args::Args,
    kind::Kind,
    namespace::Namespace,
    population::Population,
    rounds::{Rows, cpu, seen, wall},
    spread::Spread,
};

const PAIRS: u32 = 3;
const READERS: [Kind; 3] = [Kind::Walk, Kind::WalkFull, Kind::Iterator];
/// The kernel takes namespaces apart after they are gone.
const SETTLE: Duration = Duration::from_secs(2);

/// Medians of one reader on one side of a pair, in nanoseconds a socket.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

/// What each reader took on one side, and saw.
struct Side {
    costs: Vec<Cost>,
    seen: Vec<String>,
}

/// Makes pairs and prints what came out.
pub fn compare(args: &Args) -> Result<()> {
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for number in 0..PAIRS {
        // Neither side is always the first.
        for scattered in [number % 2 == 0, number % 2 != 0] {
            if scattered {
                many.push(side(args, args.namespaces)?);
            } else {
                one.push(side(args, 1)?);
            }
        }
    }
    print(args, &one, &many);
    Ok(())
}

fn side(args: &Args, namespaces: u32) -> Result<Side> {
    thread::sleep(SETTLE);
    let made = (0..namespaces).map(|_| Namespace::new());
    let namespaces: Vec<Namespace> = made.collect::<Result<_>>()?;
    let population = Population::open(args.sockets, &namespaces, &[], 1)?;
    let mut rows = Rows::start(&READERS, &namespaces, &args.node_exporter);
    rows.measure(args.rounds.div_ceil(PAIRS).max(2));
    let sockets = population.sockets as f64;
    let there = population.sockets + population.listeners;
    let mut side = Side {
        costs: Vec::new(),
        seen: Vec::new(),
    };
    for row in rows.rows {
        row.reader?;
        let wall: Spread = row.readings.iter().map(wall).collect();
        let cpu: Spread = row.readings.iter().map(cpu).collect();
        side.costs.push(Cost {
            wall: wall.median / sockets,
            cpu: cpu.median / sockets,
        });
        side.seen.push(seen(&row.readings, there));
    }
    Ok(side)
}

fn print(args: &Args, one: &[Side], many: &[Side]) {
    println!(
        "\n{} sockets in one network namespace and in {}; {PAIRS} pairs, each side opened anew",
        args.sockets, args.namespaces
    );
    println!(
        "{:<27}{:>9}{:>9}   {:<23}{:<23}seen",
        "", "one", "many", "many / one, wall", "many / one, CPU"
    );
    println!(
        "{:<27}{:>9}{:>9}   {:<23}{:<23}sockets, in many",
        "reader", "ns/sock", "ns/sock", "median (min … max)", "median (min … max)"
    );
    for (place, kind) in READERS.iter().enumerate() {
        let title = match kind {
            Kind::Iterator => "iterator in each namespace",
            other => other.title(),
        };
        let median = |sides: &[Side]| {
            let walls = sides.iter().map(|side| side.costs[place].wall);
            walls.collect::<Spread>().median
        };
        let ratio = |pick: fn(Cost) -> f64| {
            let ratios = many.iter().zip(one);
            let ratios = ratios.map(|(many, one)| pick(many.costs[place]) / pick(one.costs[place]));
            ratios.collect::<Spread>().to_string()
        };
        let (wall, cpu) = (ratio(|cost| cost.wall), ratio(|cost| cost.cpu));
        let seen = many.last().map_or("", |side| &side.seen[place]);
        println!(
            "{title:<27}{:>9.0}{:>9.0}   {wall:<23}{cpu:<23}{seen}",
            median(one),
            median(many),
        );
    }
}
