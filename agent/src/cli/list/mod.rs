//! The arguments of `halfopen list`.

#[cfg(test)]
mod tests;

use clap::{Args, ColorChoice, ValueEnum};

use super::{color::is_colored, filter::FilterArg, thresholds::ThresholdArgs};
use crate::commands::list::{Finding, ListConfig};
use halfopen_core::render::list::{Options, Sort};

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
    const fn finding(self) -> Finding {
        match self {
            Self::Zombie => Finding::Zombie,
            Self::Suspect => Finding::Suspect,
        }
    }
}

impl ListArgs {
    pub(super) fn config(&self) -> ListConfig {
        ListConfig {
            filter: self.filter.filter.clone(),
            all: self.all,
            processes: self.processes,
            sort: self.sort.clone().unwrap_or_default(),
            limit: self.limit,
            json: self.json,
            thresholds: self.thresholds.thresholds(),
            fail_on: self.fail_on.map(FailOn::finding),
            table: Options {
                width: self.width,
                header: !self.no_header,
                color: is_colored(self.color),
            },
        }
    }
}
