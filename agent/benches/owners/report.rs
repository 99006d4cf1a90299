//! What the rounds say together, held against the limit.
//!
//! # Invariants
//! Only readings of one round are compared.

use anyhow::Result;

use crate::{
    readers::{Cost, Kind, OwnersReported, Readers},
    spread::Spread,
};

/// Telling whose the sockets are is to take no more than this part of `ss -tanp`.
const LIMIT: f64 = 0.2;

/// One figure of a reading, in nanoseconds.
type Pick = fn(&Cost) -> f64;

/// What telling whose the sockets are takes: the difference of two readings.
const PARTS: [(&str, Kind, Kind); 4] = [
    ("ss's own", Kind::SsProcesses, Kind::Ss),
    ("owners met before", Kind::Known, Kind::Bare),
    ("owners", Kind::Owners, Kind::Bare),
    ("owners and processes", Kind::Processes, Kind::Bare),
];

/// Rounds in which each reading was done once.
#[derive(Default)]
pub struct Rounds {
    /// In the order of [`Kind::ALL`].
    rounds: Vec<Vec<Cost>>,
    reported: [Option<OwnersReported>; Kind::ALL.len()],
}

impl Rounds {
    /// Makes one; no reading is always the first.
    pub fn add(&mut self, readers: &mut Readers, number: usize) -> Result<()> {
        let mut round = [None; Kind::ALL.len()];
        for place in 0..round.len() {
            let place = (place + number) % round.len();
            let (cost, reported) = readers.read(Kind::ALL[place])?;
            round[place] = Some(cost);
            self.reported[place] = reported;
        }
        self.rounds.push(round.into_iter().flatten().collect());
        Ok(())
    }

    /// Forgets what was measured.
    pub fn forget(&mut self) {
        self.rounds.clear();
    }

    /// Prints tables and verdict.
    pub fn print(&self, sockets: u64) {
        let each = sockets as f64;
        heading("reading", "told");
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            let reported =
                self.reported[place].map_or_else(String::new, |reported| summary(&reported));
            let figures = self.figures(each, |round, pick| pick(&round[place]));
            println!("{:<33}{figures}   {reported}", kind.title());
        }
        heading("of that, for whose they are", "");
        for (title, with, without) in PARTS {
            let part = |round: &[Cost], pick: Pick| part(round, pick, with, without);
            println!("{title:<33}{}", self.figures(each, part));
        }
        let (_, with, without) = PARTS[PARTS.len() - 1];
        let ratio = |pick: Pick| self.ratio(pick, |round, pick| part(round, pick, with, without));
        let (wall, cpu) = (ratio(wall).median, ratio(cpu).median);
        let verdict = if wall.max(cpu) <= LIMIT {
            "WITHIN the limit of"
        } else {
            "BEYOND the limit of"
        };
        println!(
            "owners and processes take {cpu:.3} of what `ss -tanp` takes by the processors' clocks, \
             {wall:.3} by that on the wall: {verdict} {LIMIT}"
        );
    }

    fn figures(&self, sockets: f64, cost: impl Fn(&[Cost], Pick) -> f64) -> String {
        let each = |pick: Pick| {
            let costs = self.rounds.iter().map(|round| cost(round, pick));
            costs.collect::<Spread>().median / sockets
        };
        let ratio = |pick| self.ratio(pick, &cost).to_string();
        format!(
            "{:>8.0}{:>8.0}   {:<23}{:<23}",
            each(wall),
            each(cpu),
            ratio(wall),
            ratio(cpu)
        )
    }

    /// To `ss -tanp` of the same round.
    fn ratio(&self, pick: Pick, cost: impl Fn(&[Cost], Pick) -> f64) -> Spread {
        let of = |round: &Vec<Cost>| cost(round, pick) / pick(&round[place(Kind::SsProcesses)]);
        self.rounds.iter().map(of).collect()
    }
}

fn heading(what: &str, last: &str) {
    println!(
        "\n{:<33}{:>8}{:>8}   {:<23}{:<23}",
        "", "wall", "CPU", "wall / ss -tanp", "CPU / ss -tanp"
    );
    println!(
        "{what:<33}{:>8}{:>8}   {:<23}{:<23}   {last}",
        "ns/sock", "ns/sock", "median (min … max)", "median (min … max)"
    );
}

fn place(kind: Kind) -> usize {
    let found = Kind::ALL.into_iter().position(|other| other == kind);
    found.unwrap_or_default()
}

fn part(round: &[Cost], pick: Pick, with: Kind, without: Kind) -> f64 {
    pick(&round[place(with)]) - pick(&round[place(without)])
}

fn summary(reported: &OwnersReported) -> String {
    let OwnersReported {
        sockets,
        owned,
        owners,
        held,
        processes,
    } = reported;
    format!("{sockets} sockets; {owned} of {owners} owners; {held} of {processes} processes")
}

/// Nanoseconds of the clock on the wall.
fn wall(cost: &Cost) -> f64 {
    cost.wall.as_secs_f64() * 1e9
}

/// Nanoseconds of processors.
fn cpu(cost: &Cost) -> f64 {
    cost.cpu.as_secs_f64() * 1e9
}
