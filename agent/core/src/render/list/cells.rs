//! The columns of the table and what stands in them: one word each, so that scripts can cut them.
//!
//! # Invariants
//! No address is shortened, and no control character reaches the terminal.

use crate::{
    model::{
        assessed::Assessed,
        connection::{Holder, Known, TimerKind, Unknown},
        detection::Detection,
        liveness::{Evidence, Guard, Liveness},
    },
    render::words::{address, age, keepalive, plain, plain_bytes, setting, size},
};

/// What stands in one place of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    /// Why a `?` stands in it.
    pub unknown: Option<Unknown>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            unknown: None,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Where there is nothing to know or to tell.
const NOTHING: &str = "-";

/// A column.
#[derive(Debug)]
pub struct Column {
    pub title: &'static str,
    /// Figures stand at the right edge.
    pub right: bool,
    /// Where room is short, columns with the greatest rank go first.
    pub rank: usize,
    pub cell: fn(&Assessed) -> Cell,
}

/// The rank of the reason as a column of its own: rather than without any column of a lesser rank,
/// it stands on a line of its own.
pub const RANK_OF_WHY: usize = 12;

/// Indices of the columns that are put on a line of their own where they find no room.
pub const LOCAL: usize = 2;
pub const PROCESS: usize = 5;

/// Indices of the columns that are shown only where they tell something; so is [`PROCESS`].
pub const OWNER: usize = 4;
pub const NETNS: usize = 6;

/// Processes of one socket that are named: a listener may be held by hundreds.
const MOST_PROCESSES: usize = 3;
/// The longest name of a process where the width is limited: only one out to do harm is longer than
/// the kernel's 15 bytes.
const LONGEST_PROCESS: usize = 16;
/// What stands between the parts of a process, and between processes.
const SEPARATORS: [char; 2] = [':', ','];

/// All columns, from left to right.
pub const COLUMNS: [Column; 17] = [
    column("VERDICT", false, 0, verdict),
    column("STATE", false, 5, |assessed| {
        assessed.connection.state.as_str().into()
    }),
    column("LOCAL", false, 2, |assessed| {
        address(assessed.connection.local).into()
    }),
    column("REMOTE", false, 1, |assessed| {
        address(assessed.connection.remote).into()
    }),
    column("OWNER", false, 6, |assessed| {
        known(
            assessed.connection.owner.as_deref().map_err(|why| *why),
            plain,
        )
    }),
    column("PROCESS", false, 3, process),
    column("NETNS", true, 7, |assessed| {
        assessed.connection.netns.to_string().into()
    }),
    column("SILENT", true, 4, |assessed| {
        known(assessed.connection.silence(), age)
    }),
    column("IDLE", true, 13, |assessed| {
        known(assessed.connection.idle(), age)
    }),
    column("PROBES", false, 9, probes),
    column("KEEPALIVE", false, 11, |assessed| {
        known(assessed.connection.keepalive, keepalive)
    }),
    column("USER-TIMEOUT", true, 14, |assessed| {
        known(assessed.connection.user_timeout, |timeout| {
            timeout.map_or(NOTHING.to_owned(), setting)
        })
    }),
    column("DETECT", false, 8, detect),
    column("MEMORY", true, 10, |assessed| {
        known(assessed.connection.memory, size)
    }),
    column("SENT", true, 16, |assessed| {
        known(assessed.connection.carried, |it| size(it.sent))
    }),
    column("RECEIVED", true, 17, |assessed| {
        known(assessed.connection.carried, |it| size(it.received))
    }),
    column("TIMER", false, 15, |assessed| {
        known(assessed.connection.timer, |timer| {
            timer.map_or(NOTHING.to_owned(), |timer| {
                format!("{}:{}", self::timer(timer.kind), age(timer.left))
            })
        })
    }),
];

const fn column(
    title: &'static str,
    right: bool,
    rank: usize,
    cell: fn(&Assessed) -> Cell,
) -> Column {
    Column {
        title,
        right,
        rank,
        cell,
    }
}

/// A fact, `?` where it is unknown, and nothing where there is no such fact.
fn known<T>(fact: Known<T>, show: impl FnOnce(T) -> String) -> Cell {
    match fact {
        Ok(fact) => show(fact).into(),
        Err(Unknown::NotOfThisKind) => NOTHING.into(),
        Err(unknown) => Cell {
            text: "?".to_owned(),
            unknown: Some(unknown),
        },
    }
}

fn process(assessed: &Assessed) -> Cell {
    processes(assessed, MOST_PROCESSES, |whole| whole)
}

/// The same where the width is limited: the first alone, what is too long of its name cut off.
pub fn short_process(assessed: &Assessed) -> Cell {
    processes(assessed, 1, |mut name| {
        shorten(&mut name, LONGEST_PROCESS);
        name
    })
}

/// Cuts off what is longer.
pub fn shorten(text: &mut String, longest: usize) {
    if text.chars().count() > longest {
        *text = text.chars().take(longest - 1).collect();
        text.push('…');
    }
}

/// NAME:PID:FD of each, the first few; then @OWNER where that is not the connection's owner. `name` makes names
/// as long as they may be.
fn processes(assessed: &Assessed, most: usize, name: impl Fn(String) -> String) -> Cell {
    let connection = &assessed.connection;
    let holders = connection.processes.as_deref().map_err(|why| *why);
    known(holders, |holders| {
        let show = |it: &Holder| {
            let own = name(plain_bytes(&it.name, &SEPARATORS));
            let mut shown = format!("{own}:{}:{}", it.pid, it.fd);
            if let Ok(owner) = &it.owner
                && Some(owner) != connection.owner.as_ref().ok()
            {
                let owner = plain_bytes(owner.as_bytes(), &SEPARATORS);
                shown += &format!("@{}", name(owner));
            }
            shown
        };
        let mut shown: Vec<String> = holders.iter().take(most).map(show).collect();
        if holders.len() > most {
            shown.push(format!("+{}", holders.len() - most));
        }
        if shown.is_empty() {
            return NOTHING.to_owned();
        }
        shown.join(",")
    })
}

fn verdict(assessed: &Assessed) -> Cell {
    let verdict = &assessed.verdict;
    let mut text = verdict.liveness.as_str().to_owned();
    if let Liveness::Suspect(evidence) = verdict.liveness {
        text.push('/');
        text.push_str(evidence.as_str());
    }
    // One that is called unknown needs no question mark.
    let unknown = match verdict.liveness {
        Liveness::Idle(Guard::Unknown) => None,
        _ => verdict.unknown,
    };
    if unknown.is_some() {
        text.push('?');
    }
    Cell { text, unknown }
}

/// What went out and is not answered: keepalive or window probes, or retransmission timeouts.
fn probes(assessed: &Assessed) -> Cell {
    let connection = &assessed.connection;
    known(connection.outstanding, |outstanding| {
        let evidence = match assessed.verdict.liveness {
            Liveness::Suspect(evidence) => evidence,
            _ if outstanding.probes == 0 => Evidence::Retransmission,
            _ if outstanding.waits_to_be_sent() => Evidence::LocalSendFailure,
            _ if outstanding.unsent > 0 => Evidence::WindowProbe,
            _ => Evidence::Keepalive,
        };
        match (evidence, outstanding.probes, outstanding.retransmits) {
            (Evidence::Keepalive, probes @ 1.., _) => {
                // TCP_USER_TIMEOUT takes the place of the limit (tcp_keepalive_timer()).
                match (connection.keepalive, connection.user_timeout) {
                    (Ok(keepalive), Ok(None)) => format!("keepalive:{probes}/{}", keepalive.probes),
                    _ => format!("keepalive:{probes}"),
                }
            }
            (Evidence::WindowProbe, probes @ 1.., _) => format!("window:{probes}"),
            (Evidence::LocalSendFailure, sends @ 1.., _) => format!("unsent:{sends}"),
            (_, _, timeouts @ 1..) => format!("rto:{timeouts}"),
            _ => NOTHING.to_owned(),
        }
    })
}

/// Both figures, the one without data in flight first; one where they are the same, or where there
/// is but one.
fn detect(assessed: &Assessed) -> Cell {
    let paths = assessed.detection;
    let show = |detection| match detection {
        Detection::Within(limit) => age(limit),
        Detection::Never => "never".to_owned(),
    };
    let (idle, data) = (known(paths.idle, show), known(paths.data, show));
    if idle == data || paths.data == Err(Unknown::NotOfThisKind) {
        idle
    } else if paths.idle == Err(Unknown::NotOfThisKind) {
        data
    } else {
        Cell {
            text: format!("{}/{}", idle.text, data.text),
            unknown: idle.unknown.or(data.unknown),
        }
    }
}

const fn timer(kind: TimerKind) -> &'static str {
    match kind {
        // As ss -o does, apart from "on", which tells nobody what is.
        TimerKind::Retransmission => "rto",
        TimerKind::Keepalive => "keepalive",
        TimerKind::TimeWait => "timewait",
        TimerKind::Persist => "persist",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_distinct() {
        let mut ranks: Vec<_> = COLUMNS.iter().map(|column| column.rank).collect();
        ranks.push(RANK_OF_WHY);
        ranks.sort_unstable();
        assert!(ranks.into_iter().eq(0..=COLUMNS.len()));
        assert_eq!(COLUMNS[LOCAL].title, "LOCAL");
        assert_eq!(COLUMNS[OWNER].title, "OWNER");
        assert_eq!(COLUMNS[PROCESS].title, "PROCESS");
        assert_eq!(COLUMNS[NETNS].title, "NETNS");
    }
}
