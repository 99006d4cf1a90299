//! `halfopen list`: one look at the connections, and those worth worrying about, worst first.
//! It must never hold how a connection is judged or shown: it asks, chooses and prints.

mod filter;
#[cfg(test)]
mod tests;

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, ColorChoice, ValueEnum};

pub use filter::FilterArg;

use super::{is_colored, print};
use crate::{cli::ThresholdArgs, host::cgroups};
use halfopen_core::{
    filter::Filter,
    model::{
        assessed::{Assessed, ConnectionList},
        liveness::{Liveness, Thresholds},
    },
    render::list::{Options, Report, Sort, json, text},
};

/// The exit code where what was not to be there was found.
const FINDINGS: u8 = 3;

/// What the columns mean.
const COLUMNS: &str = "\
Columns, as many as find room; all where output is no terminal:
  VERDICT       how it fares, a suspect with the evidence
  STATE, LOCAL, REMOTE, OWNER, NETNS (where there are several), MEMORY (in the kernel)
  PROCESS       who holds it (--processes): NAME:PID:FD of each, the first ones
  SILENT, IDLE  since the peer was last heard; since data went either way
  PROBES        unanswered: keepalive:SENT/LIMIT, window:SENT, rto:TIMEOUTS
  KEEPALIVE     idle/interval/probes, default: where the namespace sets them, or off
  USER-TIMEOUT  TCP_USER_TIMEOUT
  DETECT        until a peer that vanished now would be noticed: without/with data in flight
  TIMER         which runs, and for how long yet
  WHY           what the verdict rests on
- is nothing to tell, ? is unknown: the notes on standard error say why.

Exit codes: 0 done, 1 failed, 2 usage, 3 findings (--fail-on), 4 missing privilege or kernel feature.";

/// The flags of `halfopen list`.
#[derive(Debug, Args)]
#[command(after_long_help = COLUMNS)]
pub struct ListArgs {
    /// Which connections are meant.
    #[command(flatten)]
    pub filter: FilterArg,
    /// Show all that match, not only those worth worrying about
    #[arg(long)]
    pub all: bool,
    /// Name the processes that hold each connection
    #[arg(short, long)]
    pub processes: bool,
    /// Columns to sort by, - before one for the greatest first, such as -memory,owner [default: the
    /// worst first]
    #[arg(long, value_name = "COLUMN,…", allow_hyphen_values = true)]
    sort: Option<Sort>,
    /// Show at most so many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    limit: usize,
    /// Write one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Leave out the titles of the columns
    #[arg(long)]
    no_header: bool,
    /// When to colour judgements; auto does on a terminal unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    /// From when on silence means something.
    #[command(flatten)]
    thresholds: ThresholdArgs,
    /// Exit with 3 if a connection that matches is one
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOn>,
    /// Columns of the terminal [default: COLUMNS, else the terminal's; not limited without one]
    #[arg(long, value_name = "N", hide = true)]
    width: Option<usize>,
}

/// What makes the exit code 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A suspect, an orphan, an idle connection without guard, or a stale CLOSE_WAIT.
    Zombie,
    /// A connection that may be half-open now.
    Suspect,
}

impl FailOn {
    const fn found(self, liveness: Liveness) -> bool {
        match self {
            Self::Zombie => liveness.is_zombie(),
            Self::Suspect => matches!(liveness, Liveness::Suspect(_)),
        }
    }
}

impl ListArgs {
    /// What connections are judged by.
    #[must_use]
    pub const fn thresholds(&self) -> Thresholds {
        self.thresholds.thresholds()
    }
}

/// Shows the connections that `read` brings.
///
/// # Errors
/// When they cannot be read, a cgroup of the filter cannot be found, or the list cannot be written.
pub fn run(
    args: &ListArgs,
    read: impl FnOnce() -> anyhow::Result<ConnectionList>,
) -> anyhow::Result<ExitCode> {
    let mut filter = args.filter.filter.clone();
    filter.resolve_cgroups(cgroups::id)?;
    let reading = read()?;
    let chosen = choose(args, &filter, reading);
    let report = chosen.report(args);
    let notes = if args.json {
        print(&json(&report)?).map(|()| Vec::new())
    } else {
        let text = text(&report, &options(args));
        print(&text.table).map(|()| text.notes)
    }
    .context("cannot write the list to standard output")?;
    let mut err = io::stderr().lock();
    for note in notes {
        // Where standard error is closed there is nobody to tell.
        drop(writeln!(err, "{note}"));
    }
    Ok(if chosen.failed {
        ExitCode::from(FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}

/// What is shown of a reading.
#[derive(Debug)]
struct Chosen {
    rows: Vec<Assessed>,
    beyond_limit: u64,
    uncertain: u64,
    failed: bool,
    /// Without its connections.
    reading: ConnectionList,
}

impl Chosen {
    fn report(&self, args: &ListArgs) -> Report<'_> {
        Report {
            rows: &self.rows,
            total: self.reading.total,
            beyond_limit: self.beyond_limit,
            noteworthy_only: !args.all,
            uncertain: self.uncertain,
            unseen_namespaces: self.reading.unseen_namespaces,
            cut_short: self.reading.cut_short,
            source: self.reading.source,
            thresholds: args.thresholds(),
        }
    }
}

fn choose(args: &ListArgs, filter: &Filter, mut reading: ConnectionList) -> Chosen {
    let thresholds = args.thresholds();
    let mut uncertain = 0;
    let mut failed = false;
    let mut rows: Vec<Assessed> = std::mem::take(&mut reading.connections)
        .into_iter()
        .map(|connection| Assessed::new(connection, &thresholds))
        .filter(|judged| filter.matches(judged))
        .inspect(|judged| {
            failed |= args
                .fail_on
                .is_some_and(|what| what.found(judged.verdict.liveness));
        })
        .filter(|judged| {
            let shown = args.all || judged.is_noteworthy();
            uncertain += u64::from(!shown && judged.verdict.unknown.is_some());
            shown
        })
        .collect();
    args.sort.clone().unwrap_or_default().sort(&mut rows);
    let kept = match args.limit {
        0 => rows.len(),
        limit => limit.min(rows.len()),
    };
    let beyond_limit = rows.drain(kept..).count();
    Chosen {
        rows,
        beyond_limit: u64::try_from(beyond_limit)
            .unwrap_or(u64::MAX)
            .saturating_add(reading.left_out),
        uncertain,
        failed,
        reading,
    }
}

fn options(args: &ListArgs) -> Options {
    let terminal = io::stdout().is_terminal();
    Options {
        width: args
            .width
            .or_else(columns)
            .or_else(|| {
                let size = terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()));
                size?.ok().map(|size| size.ws_col.into())
            })
            // A terminal that does not know its size says 0.
            .filter(|width| *width > 0),
        header: !args.no_header,
        color: is_colored(args.color),
    }
}

/// What the environment says of the width; nonsense there is nobody's request.
fn columns() -> Option<usize> {
    env::var("COLUMNS").ok()?.parse().ok()
}
