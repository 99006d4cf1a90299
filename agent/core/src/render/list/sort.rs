//! The order of rows: by columns that were asked for, else the worst first.
//!
//! # Invariants
//! What is unknown comes last, in either direction.

use std::{cmp::Ordering, str::FromStr};

use crate::model::{
    assessed::Assessed,
    connection::{CarriedBytes, Known},
};

/// What rows can be put in order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// How bad the verdict is.
    Severity,
    /// Since the peer was last heard.
    Silence,
    /// Since data last went either way.
    Idle,
    /// Kernel memory.
    Memory,
    /// Time to detect on the path the connection is on; never is the longest.
    Detect,
    /// State, in the kernel's order.
    State,
    /// Local address, then port.
    Local,
    /// Remote address, then port.
    Remote,
    /// Owner's name.
    Owner,
    /// Network namespace.
    Netns,
    /// Owner's uid.
    Uid,
    /// Probes or retransmission timeouts unanswered.
    Probes,
    /// Smoothed round-trip time.
    Rtt,
    /// Bytes of payload sent.
    Sent,
    /// Bytes of payload received.
    Received,
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Severity,
        Self::Silence,
        Self::Idle,
        Self::Memory,
        Self::Detect,
        Self::State,
        Self::Local,
        Self::Remote,
        Self::Owner,
        Self::Netns,
        Self::Uid,
        Self::Probes,
        Self::Rtt,
        Self::Sent,
        Self::Received,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Severity => "severity",
            Self::Silence => "silence",
            Self::Idle => "idle",
            Self::Memory => "memory",
            Self::Detect => "detect",
            Self::State => "state",
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Owner => "owner",
            Self::Netns => "netns",
            Self::Uid => "uid",
            Self::Probes => "probes",
            Self::Rtt => "rtt",
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }

    fn compare(self, a: &Assessed, b: &Assessed, descending: bool) -> Ordering {
        let (c, d) = (&a.connection, &b.connection);
        let directed = |ordering: Ordering| {
            if descending {
                ordering.reverse()
            } else {
                ordering
            }
        };
        let severity = |assessed: &Assessed| assessed.verdict.liveness.severity();
        let unanswered = |assessed: &Assessed| {
            let outstanding = assessed.connection.outstanding;
            outstanding.map(|it| it.probes.max(it.retransmits))
        };
        match self {
            Self::Severity => directed(severity(a).cmp(&severity(b))),
            Self::State => directed(c.state.cmp(&d.state)),
            Self::Local => directed(c.local.cmp(&d.local)),
            Self::Remote => directed(c.remote.cmp(&d.remote)),
            Self::Netns => directed(c.netns.cmp(&d.netns)),
            Self::Owner => unknown_last(owner(a), owner(b), directed),
            Self::Silence => known(c.silence(), d.silence(), directed),
            Self::Idle => known(c.idle(), d.idle(), directed),
            Self::Memory => known(c.memory, d.memory, directed),
            Self::Detect => known(a.detect_now(), b.detect_now(), directed),
            Self::Uid => known(c.uid, d.uid, directed),
            Self::Probes => known(unanswered(a), unanswered(b), directed),
            Self::Rtt => known(c.rtt, d.rtt, directed),
            Self::Sent => known(carried(a, |it| it.sent), carried(b, |it| it.sent), directed),
            Self::Received => known(
                carried(a, |it| it.received),
                carried(b, |it| it.received),
                directed,
            ),
        }
    }
}

fn owner(assessed: &Assessed) -> Option<&str> {
    assessed.connection.owner.as_deref().ok()
}

fn carried(assessed: &Assessed, part: fn(CarriedBytes) -> u64) -> Known<u64> {
    assessed.connection.carried.map(part)
}

fn known<T: Ord>(a: Known<T>, b: Known<T>, directed: impl Fn(Ordering) -> Ordering) -> Ordering {
    unknown_last(a.ok(), b.ok(), directed)
}

fn unknown_last<T: Ord>(
    a: Option<T>,
    b: Option<T>,
    directed: impl Fn(Ordering) -> Ordering,
) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => directed(a.cmp(&b)),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// An order of rows. `Default` is the worst first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sort(Vec<(Key, bool)>);

impl Sort {
    /// Puts rows in order; those that are equal in what was asked for, the worst first.
    pub fn sort(&self, rows: &mut [Assessed]) {
        rows.sort_by(|a, b| {
            self.0
                .iter()
                .map(|(key, descending)| key.compare(a, b, *descending))
                .find(|ordering| ordering.is_ne())
                .unwrap_or_else(|| Assessed::worst_first(a, b))
        });
    }
}

/// Column names with commas between them, each with a hyphen before it if the greatest is to come
/// first.
impl FromStr for Sort {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let key = |column: &str| {
            let name = column.strip_prefix('-').unwrap_or(column);
            Key::ALL
                .into_iter()
                .find(|key| key.as_str() == name)
                .map(|key| (key, column.starts_with('-')))
                .ok_or_else(|| {
                    let names = Key::ALL.map(Key::as_str).join(", ");
                    format!("there is no column {name:?} to sort by; there are {names}, each with - before it for the greatest first")
                })
        };
        typed
            .split(',')
            .map(key)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
