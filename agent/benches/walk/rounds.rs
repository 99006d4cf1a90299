//! Rounds in which each reader reads once, and what they say together.

use std::path::Path;

use anyhow::Result;

use crate::{
    kind::Kind,
    namespace::Namespace,
    population::Population,
    reader::{ReaderProcess, TimedRead},
    spread::Spread,
};

/// A reader and what it has brought.
pub struct Row {
    pub kind: Kind,
    /// Or why there is none.
    pub reader: Result<ReaderProcess>,
    /// One a round, for as long as there is a reader.
    pub readings: Vec<TimedRead>,
}

/// One figure of a reading.
type Pick = fn(&TimedRead) -> f64;

/// All of them.
pub struct Rows {
    pub rows: Vec<Row>,
}

impl Rows {
    /// Starts the readers.
    pub fn start(kinds: &[Kind], namespaces: &[Namespace], node_exporter: &Path) -> Self {
        let start = |kind: &Kind| Row {
            kind: *kind,
            reader: ReaderProcess::start(*kind, namespaces, node_exporter),
            readings: Vec::new(),
        };
        Self {
            rows: kinds.iter().map(start).collect(),
        }
    }

    /// Measures, after a round that fills caches.
    pub fn measure(&mut self, rounds: u32) {
        self.round(0);
        for row in &mut self.rows {
            row.readings.clear();
        }
        (0..rounds as usize).for_each(|number| self.round(number));
    }

    /// None of them is always the first.
    fn round(&mut self, number: usize) {
        let count = self.rows.len();
        for place in 0..count {
            self.rows[(place + number) % count].read();
        }
    }

    /// Prints the table.
    pub fn print(&self, population: &Population) {
        println!(
            "{:<27}{:>8}{:>8}   {:<23}{:<23}{:>7}   seen",
            "", "wall", "CPU", "wall / iterator's", "CPU / iterator's", "peak"
        );
        println!(
            "{:<27}{:>8}{:>8}   {:<23}{:<23}{:>7}   sockets",
            "reader", "ns/sock", "ns/sock", "median (min … max)", "median (min … max)", "MB"
        );
        for row in &self.rows {
            let title = row.kind.title();
            match &row.reader {
                Ok(_) => println!("{title:<27}{}", self.figures(row, population)),
                Err(reason) => println!("{title:<27}{reason:#}"),
            }
        }
        println!("what is seen beyond sockets and listeners is node_exporter's and its scrapes'");
    }

    fn figures(&self, row: &Row, population: &Population) -> String {
        let there = population.sockets + population.listeners;
        let each = |pick: Pick| {
            let costs = row.readings.iter().map(pick);
            costs.collect::<Spread>().median / population.sockets as f64
        };
        let ratio = |pick: Pick| {
            let floor = self.costs(Kind::Iterator, pick);
            let ratios = row.readings.iter().map(pick).zip(floor);
            let ratios: Vec<f64> = ratios.map(|(cost, floor)| cost / floor).collect();
            match ratios[..] {
                [] => "—".to_owned(),
                _ => ratios.into_iter().collect::<Spread>().to_string(),
            }
        };
        let peak = row.readings.iter().map(|reading| reading.peak_kib).max();
        format!(
            "{:>8.0}{:>8.0}   {:<23}{:<23}{:>7.1}   {}",
            each(wall),
            each(cpu),
            ratio(wall),
            ratio(cpu),
            peak.unwrap_or(0) as f64 * 1_024.0 / 1e6,
            seen(&row.readings, there)
        )
    }

    /// What one reader's readings cost.
    fn costs(&self, kind: Kind, pick: Pick) -> Vec<f64> {
        let rows = self.rows.iter().filter(|row| row.kind == kind);
        rows.flat_map(|row| row.readings.iter().map(pick)).collect()
    }
}

impl Row {
    /// Reads once; a reader that fails reads no more.
    fn read(&mut self) {
        let Ok(reader) = &mut self.reader else {
            return;
        };
        match reader.read() {
            Ok(reading) => self.readings.push(reading),
            Err(error) => self.reader = Err(error),
        }
    }
}

/// Nanoseconds of the clock on the wall.
pub fn wall(reading: &TimedRead) -> f64 {
    reading.wall.as_secs_f64() * 1e9
}

/// Nanoseconds of processors.
pub fn cpu(reading: &TimedRead) -> f64 {
    reading.cpu.as_secs_f64() * 1e9
}

/// The fewest that were seen in a reading, beside what there is.
pub fn seen(readings: &[TimedRead], there: u64) -> String {
    let fewest = readings.iter().map(|reading| reading.seen).min().flatten();
    let mut said = match fewest {
        None => "cannot tell".into(),
        Some(fewest) if fewest < there => format!("{fewest}: {} TOO FEW", there - fewest),
        Some(fewest) => fewest.to_string(),
    };
    let mut remarks = readings.iter().rev().map(|reading| &reading.remark);
    if let Some(remark) = remarks.find(|remark| !remark.is_empty()) {
        said.push_str(" (");
        said.push_str(remark);
        said.push(')');
    }
    said
}
