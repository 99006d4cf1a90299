//! The arguments of `halfopen list`.

#[cfg(test)]
mod tests;

use clap::{Args, ColorChoice, ValueEnum};

use super::{color::is_colored, filter::ConnectionFilter, thresholds::ThresholdArgs};
use crate::commands::list::{Finding, ListConfig};
use halfopen_core::render::list::{Options, Sort};

/// Explains the columns.
const COLUMNS: &str = "\
Columns (as many as fit; all of them if the output is not a terminal):
  VERDICT       health verdict, and evidence if suspect
  STATE, LOCAL, REMOTE, OWNER, NETNS (if there are several), MEMORY (in the kernel)
  PROCESS       the first processes that hold it (--processes, or where no owner is known): NAME:PID:FD;
                @OWNER follows where the process has another owner than the connection
  SILENT, IDLE  time since the peer was last heard; time since data was sent or received
  PROBES        unanswered: keepalive:SENT/LIMIT, window:SENT, rto:TIMEOUTS
  KEEPALIVE     idle/interval/probes, or off; default: marks the namespace's settings
  USER-TIMEOUT  TCP_USER_TIMEOUT
  DETECT        time until a vanished peer is noticed: without/with data in flight
  SENT, RECEIVED  payload in bytes, as ss -i shows it
  TIMER         the running timer and its remaining time
  WHY           reason for the verdict
-: not applicable. ?: unknown; notes on standard error say why.

Exit codes: 0 success, 1 failed, 2 usage, 3 findings (--fail-on), 4 missing privilege or kernel feature.";

/// The flags of `halfopen list`.
#[derive(Debug, Args)]
#[command(after_long_help = COLUMNS)]
pub struct ListArgs {
    /// Which connections to show.
    #[command(flatten)]
    pub filter: ConnectionFilter,
    /// Show all matching connections. Without it: those worth worrying about, and those whose state, verdict, times
    /// or sizes FILTER names
    #[arg(long)]
    pub all: bool,
    /// Show the processes that hold each connection
    #[arg(short, long)]
    pub processes: bool,
    /// Name containers and pods as Kubernetes does, from the kubelet's directories in /var/log
    #[arg(long, env = "HALFOPEN_KUBERNETES_NAMES")]
    kubernetes_names: bool,
    /// Sort by these columns, in descending order with a leading -: -memory,owner [default: worst first]
    #[arg(long, value_name = "COLUMN,…", allow_hyphen_values = true)]
    sort: Option<Sort>,
    /// Show at most N connections; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    limit: usize,
    /// Write one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Do not print the column titles
    #[arg(long)]
    no_header: bool,
    /// When to colour the output; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    /// From when on silence means something.
    #[command(flatten)]
    thresholds: ThresholdArgs,
    /// Exit with 3 if a matching connection is a zombie or suspect
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOn>,
    /// Columns of the terminal [default: COLUMNS, else the terminal's; not limited without one]
    #[arg(long, value_name = "N", hide = true)]
    width: Option<usize>,
}

/// What makes the exit code 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A suspect, an orphan, an unguarded idle connection, a stale CLOSE_WAIT or FIN_WAIT2.
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
            kubernetes_names: self.kubernetes_names,
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
