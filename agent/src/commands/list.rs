//! `halfopen list`: the connections of this host that need attention, worst first.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use super::print;
use crate::{host::cgroups, options, sockets::Reader};
use anyhow::Context;
use halfopen_core::{
    filter::Filter,
    model::{
        assessed::{Assessed, ConnectionList, ListOptions, NameProcesses},
        liveness::{Liveness, Thresholds},
    },
    render::list::{Options, Report, Sort, json, text},
};

/// The exit code if `fail_on` was found.
const FINDINGS: u8 = 3;

/// Which connections to show, and how.
#[derive(Debug)]
pub struct ListConfig {
    /// Which connections to show; its cgroups are not resolved yet.
    pub filter: Filter,
    /// Whether to show also what is not worth worrying about and not named by the filter.
    pub all: bool,
    /// Whether to name the processes that hold each connection.
    pub processes: bool,
    /// Whether containers and pods are called by their names in Kubernetes.
    pub kubernetes_names: bool,
    /// The order of rows.
    pub sort: Sort,
    /// Rows to show; 0 is all.
    pub limit: usize,
    /// Whether to write JSON instead of a table.
    pub json: bool,
    /// From when on silence means something.
    pub thresholds: Thresholds,
    /// What makes the exit code 3.
    pub fail_on: Option<Finding>,
    /// How the table is written; its width is a limit that was asked for.
    pub table: Options,
}

/// What a script may look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// A suspect, an orphan, an unguarded idle connection, a stale `CLOSE_WAIT` or `FIN_WAIT2`.
    Zombie,
    /// A connection that may be half-open now.
    Suspect,
}

impl Finding {
    const fn is(self, liveness: Liveness) -> bool {
        match self {
            Self::Zombie => liveness.is_zombie(),
            Self::Suspect => matches!(liveness, Liveness::Suspect(_)),
        }
    }
}

/// Shows the connections of this host.
///
/// # Errors
/// When they cannot be read, a cgroup of the filter cannot be found, or the list cannot be written.
pub fn run(config: &ListConfig) -> anyhow::Result<ExitCode> {
    let mut filter = config.filter.clone();
    filter.resolve_cgroups(cgroups::id)?;
    let chosen = choose(config, &filter, read_all(config)?);
    let report = chosen.report(config);
    let notes = if config.json {
        print(&json(&report)?).map(|()| Vec::new())
    } else {
        let text = text(&report, &table(&config.table));
        print(&text.table).map(|()| text.notes)
    }
    .context("cannot write the list to standard output")?;
    let mut err = io::stderr().lock();
    for note in notes {
        // Nobody reads a closed standard error.
        drop(writeln!(err, "{note}"));
    }
    Ok(if chosen.failed {
        ExitCode::from(FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}

/// The rows to show, and what is said about the rest.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) rows: Vec<Assessed>,
    pub(crate) beyond_limit: u64,
    pub(crate) uncertain: u64,
    pub(crate) failed: bool,
    /// Without its connections.
    reading: ConnectionList,
}

impl Chosen {
    fn report(&self, config: &ListConfig) -> Report<'_> {
        Report {
            rows: &self.rows,
            total: self.reading.total,
            beyond_limit: self.beyond_limit,
            noteworthy_only: !config.all && !config.filter.names_all(),
            uncertain: self.uncertain,
            unseen_namespaces: self.reading.unseen_namespaces,
            incomplete: self.reading.incomplete,
            source: self.reading.source,
            thresholds: config.thresholds,
        }
    }
}

/// Filters, sorts and limits the connections.
pub(crate) fn choose(config: &ListConfig, filter: &Filter, mut reading: ConnectionList) -> Chosen {
    let thresholds = config.thresholds;
    let mut uncertain = 0;
    let mut failed = false;
    let mut rows: Vec<Assessed> = std::mem::take(&mut reading.connections)
        .into_iter()
        .map(|connection| Assessed::new(connection, &thresholds))
        .filter(|assessed| filter.matches(assessed))
        .inspect(|assessed| {
            failed |= config
                .fail_on
                .is_some_and(|finding| finding.is(assessed.verdict.liveness));
        })
        .filter(|assessed| {
            let shown = config.all || filter.shows(assessed);
            uncertain += u64::from(!shown && assessed.verdict.unknown.is_some());
            shown
        })
        .collect();
    config.sort.sort(&mut rows);
    let kept = match config.limit {
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

/// Every connection there is.
fn read_all(config: &ListConfig) -> anyhow::Result<ConnectionList> {
    let options = options::Options {
        thresholds: config.thresholds,
        kubernetes_names: config.kubernetes_names,
        ..options::Options::default()
    };
    let extent = ListOptions {
        netns: None,
        most: usize::MAX,
        processes: match (config.processes, config.json) {
            (true, _) => NameProcesses::Always,
            // For people: where no owner is known, the process says whose a connection is.
            (false, false) => NameProcesses::WithoutOwners,
            (false, true) => NameProcesses::Never,
        },
    };
    let everything = |_: &_| true;
    Ok(Reader::open(&options)?.list_to(extent, &everything)?)
}

/// As asked for, else as wide as the terminal.
fn table(asked: &Options) -> Options {
    let terminal = io::stdout().is_terminal();
    Options {
        width: asked
            .width
            .or_else(columns)
            .or_else(|| {
                let size = terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()));
                size?.ok().map(|size| size.ws_col.into())
            })
            // A terminal that does not know its size says 0.
            .filter(|width| *width > 0),
        ..*asked
    }
}

/// The width from the environment; ignored if it is not a number.
fn columns() -> Option<usize> {
    env::var("COLUMNS").ok()?.parse().ok()
}
