//! One thing that happened to a connection, as the hooks told it; a death is its certificate.
//!
//! # Invariants
//! Nothing is counted by events: one may be lost on its way, the counts of the hooks are not.

use std::{sync::Arc, time::Duration};

use super::{
    connection::{Connection, Known},
    death::{Cause, Path},
    liveness::Evidence,
};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, since the Unix epoch.
    pub at: Duration,
    /// What happened.
    pub kind: EventKind,
    /// To whom, and how it was set. `state` is the one it was in; what only a walk tells is
    /// [`super::connection::Unknown::NotInEvents`].
    pub connection: Connection,
    /// Whose process accepted it, of an inbound connection: the owner of that process's cgroup.
    /// [`Connection::owner`] is that of the listener's.
    pub accepted_by: Known<Arc<str>>,
    /// Since its handshake ended or, where it has not, its first SYN or SYN-ACK was sent.
    pub age: Known<Duration>,
    /// What it sent and got before, this event included.
    pub sent: Known<Sent>,
    /// What it held.
    pub held: Known<QueuedBytes>,
    /// `sk_err`, an errno: what was seen; a cause rests on it only where ICMP ended a connect.
    pub error: Option<u32>,
}

/// Where events go.
pub trait Listener: Send + Sync + 'static {
    /// Whether every event is wanted, or deaths alone.
    fn wants_all(&self) -> bool;

    /// Takes one; must not wait.
    fn hear(&self, event: Event);

    /// So many more did not get here.
    fn missed(&self, missed: Missed);
}

/// Events that were lost on their way from the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// All of them.
    pub events: u64,
    /// The deaths among them.
    pub deaths: u64,
}

impl Missed {
    /// Adds others.
    pub const fn add(&mut self, other: Self) {
        self.events += other.events;
        self.deaths += other.deaths;
    }
}

/// Hears nothing.
#[derive(Debug)]
pub struct Nobody;

impl Listener for Nobody {
    fn wants_all(&self) -> bool {
        false
    }

    fn hear(&self, _event: Event) {}

    fn missed(&self, _missed: Missed) {}
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A keepalive or window probe was sent.
    Probe(Evidence),
    /// The retransmission timer fired with data outstanding.
    Timeout,
    /// The peer was heard after a probe and before the next; noticed at the next look or timer.
    Answer(Evidence),
    /// The peer was heard again after probes or retransmissions had stayed unanswered.
    Recovery(Evidence),
    /// A reset was sent, for this reason (the kernel's `sk_rst_reason` in lower case without prefix).
    ResetSent(Arc<str>),
    /// A reset was accepted.
    ResetReceived,
    /// It ended other than by an orderly close.
    Death(Death),
}

impl Event {
    /// What killed it, if it is a death.
    #[must_use]
    pub const fn cause(&self) -> Option<Cause> {
        match &self.kind {
            EventKind::Death(death) => Some(death.cause),
            _ => None,
        }
    }
}

impl EventKind {
    /// Its name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Probe(_) => "probe",
            Self::Timeout => "timeout",
            Self::Answer(_) => "answer",
            Self::Recovery(_) => "recovery",
            Self::ResetSent(_) => "reset_sent",
            Self::ResetReceived => "reset_received",
            Self::Death(_) => "death",
        }
    }
}

/// Why and where a connection died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// What killed it.
    pub cause: Cause,
    /// On which path of the kernel.
    pub path: Path,
    /// Why we reset it, where we did.
    pub reset_reason: Option<Arc<str>>,
    /// Whether the cause follows from the socket's fields alone: no hook saw the path.
    pub inferred: bool,
    /// Where we had closed the connection before: for how long no data had been sent or received then.
    pub idle_before_close: Option<Known<Duration>>,
}

/// What a connection sent and got, as its record in the kernel has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Keepalive probes.
    pub keepalive_probes: u32,
    /// Those answered.
    pub keepalive_probes_answered: u32,
    /// Window probes.
    pub window_probes: u32,
    /// Those answered.
    pub window_probes_answered: u32,
    /// Retransmission timeouts.
    pub retransmission_timeouts: u32,
    /// Probes and retransmission timeouts since the peer was last heard.
    pub unanswered: u32,
    /// Resets sent.
    pub resets_sent: u32,
    /// Resets received.
    pub resets_received: u32,
}

/// What a connection held, in bytes of sequence space: a SYN and a FIN count as one each, as in the
/// queues that `ss` shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueuedBytes {
    /// Written by the application and not acknowledged (`write_seq` − `snd_una`).
    pub unacknowledged: u32,
    /// Received and not read by the application (`rcv_nxt` − `copied_seq`).
    pub unread: u32,
}

#[cfg(any(test, feature = "fixtures"))]
pub mod fixture {
    //! Events made by hand.

    use super::*;
    use crate::model::{connection::Unknown, liveness::fixture::established};

    /// A connection given up after three keepalive probes.
    pub fn death() -> Event {
        Event {
            at: Duration::from_millis(1_764_000_000_123),
            kind: EventKind::Death(Death {
                cause: Cause::Keepalive,
                path: Path::Idle,
                reset_reason: Some("tcp_keepalive_timeout".into()),
                inferred: false,
                idle_before_close: None,
            }),
            connection: established(),
            accepted_by: Err(Unknown::AcceptUnseen),
            age: Ok(Duration::from_secs(90)),
            sent: Ok(Sent {
                keepalive_probes: 3,
                unanswered: 3,
                resets_sent: 1,
                ..Sent::default()
            }),
            held: Ok(QueuedBytes::default()),
            error: Some(110),
        }
    }
}
