//! One condition of a filter, held against one connection.
//!
//! # Invariants
//! What is unknown has no value: whether it meets a condition is unknown too.

use std::{net::SocketAddr, ops::Not, time::Duration};

use super::{host::Host, value::Comparison};
use crate::model::{
    assessed::Assessed,
    connection::{CarriedBytes, Known, State, Unknown},
    death::Cause,
    detection::Detection,
    event::Event,
    glob::glob,
    liveness::{Evidence, Guard, Liveness, is_orphan},
};

/// Whether a condition holds, in Kleene's logic: *and* is the least, *or* the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    No,
    /// A fact it asks for is unknown.
    Unknown,
    Yes,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }
}

/// Which end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Local,
    Remote,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    States(States),
    Host(End, Host),
    /// `None` is any port.
    Port(End, Comparison, Option<u16>),
    Cgroup {
        path: String,
        /// Its id, once it has been found out.
        id: Option<u64>,
    },
    /// With any evidence, or this.
    Suspect(Option<Evidence>),
    Zombie,
    Orphan,
    Unguarded,
    Embryonic,
    Unaccepted,
    ZeroWindow,
    Stalled,
    Idle(Comparison, Duration),
    Silent(Comparison, Duration),
    Detect(Comparison, Detection),
    Memory(Comparison, u64),
    /// A pattern.
    Owner(String),
    Netns(Comparison, u64),
    Uid(Comparison, u64),
    Age(Comparison, Duration),
    BytesSent(Comparison, u64),
    BytesReceived(Comparison, u64),
    Cause(Cause),
}

/// What conditions are checked against: a connection, and what happened to it, where that is an event.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub assessed: &'a Assessed,
    pub event: Option<&'a Event>,
}

impl Facts<'_> {
    fn of_event<T>(self, fact: impl FnOnce(&Event) -> Known<T>) -> Known<T> {
        self.event.map_or(Err(Unknown::NotAskedFor), fact)
    }

    fn carried(self, part: fn(&CarriedBytes) -> u64) -> Known<u64> {
        self.assessed
            .connection
            .carried
            .as_ref()
            .map(part)
            .map_err(|why| *why)
    }
}

impl Condition {
    pub fn truth(&self, facts: Facts<'_>) -> Truth {
        let assessed = facts.assessed;
        let connection = &assessed.connection;
        match self {
            Self::States(states) => states.hold(connection.state).into(),
            Self::Host(end, host) => host.holds(end.of(assessed)).into(),
            Self::Port(end, comparison, port) => match port {
                Some(port) => comparison.holds(&end.of(assessed).port(), port).into(),
                None => Truth::from(*comparison != Comparison::NotEqual),
            },
            Self::Cgroup { id, .. } => match (connection.cgroup, id) {
                (Ok(cgroup), Some(id)) => Truth::from(cgroup == *id),
                _ => Truth::Unknown,
            },
            Self::Suspect(evidence) => liveness(assessed, |liveness| match liveness {
                Liveness::Suspect(found) => evidence.is_none_or(|wanted| wanted == found),
                _ => false,
            }),
            Self::Zombie => liveness(assessed, Liveness::is_zombie),
            Self::Orphan => Truth::from(connection.orphaned || is_orphan(connection)),
            Self::Unguarded => {
                liveness(assessed, |liveness| liveness == Liveness::Idle(Guard::None))
            }
            Self::Embryonic => liveness(assessed, |liveness| liveness == Liveness::Embryonic),
            Self::Unaccepted => liveness(assessed, |liveness| liveness == Liveness::Unaccepted),
            Self::ZeroWindow => liveness(assessed, |liveness| liveness == Liveness::ZeroWindow),
            Self::Stalled => liveness(assessed, |liveness| liveness == Liveness::Stalled),
            Self::Idle(comparison, limit) => compare(*comparison, connection.idle(), limit),
            Self::Silent(comparison, limit) => compare(*comparison, connection.silence(), limit),
            Self::Detect(comparison, limit) => compare(*comparison, assessed.detect_now(), limit),
            Self::Memory(comparison, limit) => compare(*comparison, connection.memory, limit),
            Self::Owner(pattern) => match &connection.owner {
                Ok(owner) => names(pattern, owner).into(),
                Err(_) => Truth::Unknown,
            },
            Self::Netns(comparison, netns) => {
                comparison.holds(&connection.netns.into(), netns).into()
            }
            Self::Uid(comparison, uid) => compare(*comparison, connection.uid.map(u64::from), uid),
            Self::Age(comparison, limit) => {
                compare(*comparison, facts.of_event(|event| event.age), limit)
            }
            Self::BytesSent(comparison, limit) => {
                compare(*comparison, facts.carried(|it| it.sent), limit)
            }
            Self::BytesReceived(comparison, limit) => {
                compare(*comparison, facts.carried(|it| it.received), limit)
            }
            // What is no death has none, and that is known.
            Self::Cause(cause) => match facts.event {
                Some(event) => Truth::from(event.cause() == Some(*cause)),
                None => Truth::Unknown,
            },
        }
    }
}

impl End {
    const fn of(self, assessed: &Assessed) -> SocketAddr {
        match self {
            Self::Local => assessed.connection.local,
            Self::Remote => assessed.connection.remote,
        }
    }
}

/// Whether a pattern means this owner. A table that has no room cuts a name off, and ends it so.
fn names(pattern: &str, owner: &str) -> bool {
    let cut = pattern.strip_suffix('…');
    glob(pattern, owner) || cut.is_some_and(|start| glob(&format!("{start}*"), owner))
}

fn compare<T: Ord>(comparison: Comparison, fact: Known<T>, value: &T) -> Truth {
    fact.map_or(Truth::Unknown, |fact| comparison.holds(&fact, value).into())
}

/// What a verdict says surely holds; what it denies is open where it had to do without a fact.
fn liveness(assessed: &Assessed, holds: impl Fn(Liveness) -> bool) -> Truth {
    match (holds(assessed.verdict.liveness), assessed.verdict.unknown) {
        (true, _) => Truth::Yes,
        (false, Some(_)) => Truth::Unknown,
        (false, None) => Truth::No,
    }
}

/// A set of states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct States {
    set: Vec<State>,
    /// Whether one was named, not only others excluded.
    named: bool,
}

impl States {
    const fn of(set: Vec<State>) -> Self {
        Self { set, named: false }
    }

    pub const fn none() -> Self {
        Self::of(Vec::new())
    }

    pub fn all() -> Self {
        Self::of(State::ALL.to_vec())
    }

    pub fn add(&mut self, other: &Self) {
        self.set.extend_from_slice(&other.set);
        self.named = true;
    }

    pub fn remove(&mut self, other: &Self) {
        self.set.retain(|state| !other.hold(*state));
    }

    /// Whether they were named, not only what is left when others are excluded.
    pub const fn are_named(&self) -> bool {
        self.named
    }

    fn hold(&self, state: State) -> bool {
        self.set.contains(&state)
    }

    fn but(mut self, states: &[State]) -> Self {
        self.set.retain(|state| !states.contains(state));
        self
    }

    /// What `ss` calls by this name, or `/metrics`; with hyphens or underscores, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let name: String = name
            .chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let one = |state| Self::of(vec![state]);
        Some(match name.as_str() {
            "all" => Self::all(),
            "connected" => Self::all().but(&[State::Listen, State::Close]),
            "synchronized" => Self::all().but(&[State::Listen, State::Close, State::SynSent]),
            "bucket" => Self::of(vec![State::TimeWait, State::SynRecv]),
            "big" => Self::all().but(&[State::TimeWait, State::SynRecv]),
            "established" | "estab" => one(State::Established),
            "synsent" => one(State::SynSent),
            "synrecv" | "synrcv" => one(State::SynRecv),
            "finwait1" => one(State::FinWait1),
            "finwait2" => one(State::FinWait2),
            "timewait" => one(State::TimeWait),
            "closed" | "close" | "unconn" => one(State::Close),
            "closewait" => one(State::CloseWait),
            "lastack" => one(State::LastAck),
            "listening" | "listen" => one(State::Listen),
            "closing" => one(State::Closing),
            _ => return None,
        })
    }

    /// The names for errors and help, as `ss` has them.
    pub const NAMES: &str = "established, syn-sent, syn-recv, fin-wait-1, fin-wait-2, time-wait, \
                             closed, close-wait, last-ack, listening, closing, or all, connected, \
                             synchronized, bucket, big";
}
