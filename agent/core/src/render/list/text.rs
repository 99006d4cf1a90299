//! The table for people: as many columns as find room, the reason last or on a line of its own.
//!
//! # Invariants
//! No address is broken over two lines.

use std::collections::BTreeMap;

use super::{
    Report,
    cells::{COLUMNS, Cell, LOCAL, NETNS, OWNER, PROCESS, RANK_OF_WHY, short_process, shorten},
    layout::{self, GAP, Layout, Want},
    notes,
};
use crate::{
    model::{assessed::Assessed, connection::Unknown},
    render::words::address,
};

/// How to show it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Columns of the terminal; `None` where nothing limits the width.
    pub width: Option<usize>,
    /// Whether the titles of the columns come first.
    pub header: bool,
    /// Whether verdicts are coloured.
    pub color: bool,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The data. Empty if there are no rows.
    pub table: String,
    /// What must be said about it, one sentence each.
    pub notes: Vec<String>,
}

/// Before what stands on a line of its own.
const INDENT: &str = "    ";

/// The longest owner where the width is limited: addresses matter more than a container's whole id.
const LONGEST_OWNER: usize = 32;

/// The report as text.
#[must_use]
pub fn text(report: &Report<'_>, options: &Options) -> Text {
    let mut notes = notes(report);
    let rows: Vec<Row<'_>> = report
        .rows
        .iter()
        .map(|assessed| Row::new(assessed, options))
        .collect();
    let Some(table) = Table::new(&rows, options) else {
        return Text {
            table: String::new(),
            notes,
        };
    };
    notes.extend(table.unknown());
    Text {
        table: table.written(options),
        notes,
    }
}

/// One connection, its cells made.
struct Row<'a> {
    assessed: &'a Assessed,
    cells: Vec<Cell>,
}

impl<'a> Row<'a> {
    fn new(assessed: &'a Assessed, options: &Options) -> Self {
        let mut cells: Vec<Cell> = COLUMNS
            .iter()
            .map(|column| (column.cell)(assessed))
            .collect();
        if options.width.is_some() {
            shorten(&mut cells[OWNER].text, LONGEST_OWNER);
            cells[PROCESS] = short_process(assessed);
        }
        Self { assessed, cells }
    }

    fn why(&self) -> &str {
        &self.assessed.verdict.why
    }
}

/// Rows and the columns chosen for them.
struct Table<'a> {
    rows: &'a [Row<'a>],
    /// Index into [`COLUMNS`], and width.
    columns: Vec<(usize, usize)>,
    why_beside: bool,
}

impl<'a> Table<'a> {
    /// `None` without rows.
    fn new(rows: &'a [Row<'a>], options: &Options) -> Option<Self> {
        let first = rows.first()?;
        let differ = |index: usize| {
            rows.iter()
                .any(|row| row.cells[index].text != first.cells[index].text)
        };
        let owned = rows.iter().any(|row| row.assessed.connection.owner.is_ok());
        let wanted: Vec<usize> = (0..COLUMNS.len())
            .filter(|index| match *index {
                OWNER => owned,
                PROCESS => asked_for_processes(rows),
                NETNS => differ(NETNS),
                _ => true,
            })
            .collect();
        let wants: Vec<Want> = wanted.iter().map(|index| want(*index, rows)).collect();
        let widest_why = rows.iter().map(|row| chars(row.why())).max().unwrap_or(0);
        let why = Want {
            width: widest_why,
            rank: RANK_OF_WHY,
        };
        let Layout {
            columns: shown,
            why_beside,
        } = layout::fit(&wants, why, options.width);
        let columns = wanted
            .into_iter()
            .zip(wants)
            .zip(shown)
            .filter(|(_, shown)| *shown)
            .map(|((index, want), _)| (index, want.width));
        Some(Self {
            rows,
            columns: columns.collect(),
            why_beside,
        })
    }

    fn has(&self, column: usize) -> bool {
        self.columns.iter().any(|(index, _)| *index == column)
    }

    /// Whether processes were asked for, and found no room beside.
    fn has_process_below(&self) -> bool {
        asked_for_processes(self.rows) && !self.has(PROCESS)
    }

    fn written(&self, options: &Options) -> String {
        let mut out = String::new();
        if options.header {
            let titles = self.columns.iter().map(|(index, _)| COLUMNS[*index].title);
            let why = if self.why_beside { "WHY" } else { "" };
            self.line(&mut out, titles, why, None);
        }
        let local_beside = self.has(LOCAL);
        let process_below = self.has_process_below();
        for row in self.rows {
            let cells = self
                .columns
                .iter()
                .map(|(index, _)| row.cells[*index].text.as_str());
            let why = if self.why_beside { row.why() } else { "" };
            let color = options.color.then(|| color(row.assessed)).flatten();
            self.line(&mut out, cells, why, color);
            if !self.why_beside {
                let local = (!local_beside).then(|| address(row.assessed.connection.local));
                let process = process_below.then(|| row.cells[PROCESS].text.as_str());
                let words = [
                    local.map(|local| format!("local {local} ")),
                    process.map(|process| format!("process {process} ")),
                ];
                below(&mut out, words.into_iter().flatten(), row.why(), options);
            }
        }
        out
    }

    fn line<'t>(
        &self,
        out: &mut String,
        cells: impl Iterator<Item = &'t str>,
        why: &str,
        color: Option<&str>,
    ) {
        let mut line = String::new();
        for (nth, (cell, (index, width))) in cells.zip(&self.columns).enumerate() {
            let pad = " ".repeat(width.saturating_sub(chars(cell)));
            if nth > 0 {
                line.push_str(&" ".repeat(GAP));
            }
            match color {
                _ if COLUMNS[*index].right => line.extend([&pad, cell]),
                // The verdict is the first column, and the only one with a colour.
                Some(color) if nth == 0 => line.extend([color, cell, RESET, &pad]),
                _ => line.extend([cell, &pad]),
            }
        }
        if !why.is_empty() {
            line.push_str(&" ".repeat(GAP));
            line.push_str(why);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }

    /// Why there are question marks, a sentence for each reason.
    fn unknown(&self) -> Vec<String> {
        let mut reasons: BTreeMap<Unknown, Vec<&str>> = BTreeMap::new();
        let shown = self.columns.iter().map(|(index, _)| *index);
        for index in shown.chain(self.has_process_below().then_some(PROCESS)) {
            let title = COLUMNS[index].title;
            for unknown in self.rows.iter().filter_map(|row| row.cells[index].unknown) {
                let titles = reasons.entry(unknown).or_default();
                if titles.last() != Some(&title) {
                    titles.push(title);
                }
            }
        }
        reasons
            .into_iter()
            .map(|(unknown, titles)| format!("?: {unknown} ({})", titles.join(", ")))
            .collect()
    }
}

fn want(index: usize, rows: &[Row<'_>]) -> Want {
    let cells = rows.iter().map(|row| chars(&row.cells[index].text));
    Want {
        width: cells.max().unwrap_or(0).max(COLUMNS[index].title.len()),
        rank: COLUMNS[index].rank,
    }
}

/// Whether processes were looked for, found or not.
fn asked_for_processes(rows: &[Row<'_>]) -> bool {
    rows.iter()
        .any(|row| row.assessed.connection.processes != Err(Unknown::NotAskedFor))
}

/// What found no room beside: the local address and the processes, unbroken, and the reason, wrapped.
fn below(out: &mut String, facts: impl Iterator<Item = String>, why: &str, options: &Options) {
    let room = options.width.unwrap_or(usize::MAX);
    let mut line = INDENT.to_owned();
    let words = facts.chain(why.split_whitespace().map(str::to_owned));
    let mut empty = true;
    for word in words {
        if !empty && chars(&line) + 1 + chars(word.trim_end()) > room {
            out.push_str(line.trim_end());
            out.push('\n');
            line = INDENT.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word);
        empty = false;
    }
    if !empty {
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

const RESET: &str = "\u{1b}[0m";

/// Red for what may be dead, yellow for what may stay for ever.
fn color(assessed: &Assessed) -> Option<&'static str> {
    use crate::model::liveness::Liveness;
    match assessed.verdict.liveness {
        Liveness::Suspect(_) => Some("\u{1b}[31m"),
        Liveness::ZeroWindow | Liveness::Stalled => Some("\u{1b}[33m"),
        liveness if liveness.is_zombie() => Some("\u{1b}[33m"),
        _ => None,
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}
