//! Whether a connection lives: the heart of halfopen, a pure function of its facts.
//!
//! # Invariants
//! A verdict follows from the facts of one moment and the thresholds, nothing else.

use std::time::Duration;

use super::connection::{Connection, Known, State, TimerKind, Unknown};

mod accept;
mod classify;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixture;
mod half_closed;
pub(crate) mod span;
#[cfg(test)]
mod tests;
mod unanswered;
mod words;

pub use accept::is_full;
pub use classify::classify;

/// A connection that was not accepted for this long is worth worrying about: a server that keeps up empties its
/// accept queue within milliseconds.
pub const ACCEPT_GRACE: Duration = Duration::from_secs(5);

/// From when on silence means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// An ESTABLISHED connection without data either way for this long is idle.
    pub idle: Duration,
    /// A CLOSE_WAIT, or a FIN_WAIT2 that its application holds, without data either way for this long is stale:
    /// leaked by its application.
    pub close_wait: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(300),
            close_wait: Duration::from_secs(300),
        }
    }
}

/// What makes a connection a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Keepalive probes unanswered.
    Keepalive,
    /// Retransmitting into silence.
    Retransmission,
    /// Zero-window probes unanswered.
    WindowProbe,
    /// Data waits although the window is open: our own host cannot send it. A filter or queue drops it, or there
    /// is no route or address.
    LocalSendFailure,
}

impl Evidence {
    /// All of them, in label order.
    pub const ALL: [Self; 4] = [
        Self::Keepalive,
        Self::LocalSendFailure,
        Self::Retransmission,
        Self::WindowProbe,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::LocalSendFailure => "local_send_failure",
            Self::Retransmission => "retransmission",
            Self::WindowProbe => "window_probe",
        }
    }
}

/// What would find a dead peer of an idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Keepalive.
    Keepalive,
    /// Nothing, ever. TCP_USER_TIMEOUT alone is nothing here: without data it has no timer.
    None,
    /// It is not known whether keepalive is on.
    Unknown,
}

impl Guard {
    /// All of them, in label order.
    pub const ALL: [Self; 3] = [Self::Keepalive, Self::None, Self::Unknown];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// How a connection fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Liveness {
    /// Nothing speaks against it.
    Healthy,
    /// ESTABLISHED and idle.
    Idle(Guard),
    /// May be half-open now.
    Suspect(Evidence),
    /// The peer's window is closed, and the peer answers probes.
    ZeroWindow,
    /// The peer is heard and does not acknowledge: segments are lost on the way. Not half-open.
    Stalled,
    /// One side has ended its half: CLOSE_WAIT, or FIN_WAIT2 held by its application.
    HalfClosed,
    /// CLOSE_WAIT for longer than the threshold: its application has forgotten it.
    StaleCloseWait,
    /// FIN_WAIT2 held by its application for longer than the threshold: the peer does not end its half, and no
    /// timer runs.
    StaleFinWait2,
    /// Established, and still in its listener's accept queue: no application holds it yet.
    Unaccepted,
    /// Closed by its application, and the end is not confirmed by the peer (SOCK_DEAD).
    Orphan,
    /// The handshake is not complete.
    Embryonic,
    /// On its way out in good order; so is an orphan in FIN_WAIT2, which a timer ends.
    Closing,
    /// A listener: no connection.
    Listening,
}

impl Liveness {
    /// All of them, in label order. The three kinds of suspect share a label: [`Evidence`] has its
    /// own.
    pub const ALL: [Self; 18] = [
        Self::Closing,
        Self::Embryonic,
        Self::HalfClosed,
        Self::Healthy,
        Self::Idle(Guard::Unknown),
        Self::Idle(Guard::Keepalive),
        Self::Idle(Guard::None),
        Self::Listening,
        Self::Orphan,
        Self::StaleCloseWait,
        Self::StaleFinWait2,
        Self::Stalled,
        Self::Suspect(Evidence::Keepalive),
        Self::Suspect(Evidence::LocalSendFailure),
        Self::Suspect(Evidence::Retransmission),
        Self::Suspect(Evidence::WindowProbe),
        Self::Unaccepted,
        Self::ZeroWindow,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Idle(Guard::Keepalive) => "idle_guarded",
            Self::Idle(Guard::None) => "idle_unguarded",
            Self::Idle(Guard::Unknown) => "idle_guard_unknown",
            Self::Suspect(_) => "suspect",
            Self::ZeroWindow => "zero_window",
            Self::HalfClosed => "half_closed",
            Self::Stalled => "stalled",
            Self::Unaccepted => "unaccepted",
            Self::StaleCloseWait => "stale_close_wait",
            Self::StaleFinWait2 => "stale_fin_wait2",
            Self::Orphan => "orphan",
            Self::Embryonic => "embryonic",
            Self::Closing => "closing",
            Self::Listening => "listening",
        }
    }

    /// How much it matters, to put the worst first: bigger is worse, equals are equally bad.
    #[must_use]
    pub const fn severity(self) -> u8 {
        match self {
            Self::Suspect(
                Evidence::Keepalive | Evidence::Retransmission | Evidence::LocalSendFailure,
            ) => 14,
            // A peer may still be there behind its closed window, slow to answer.
            Self::Suspect(Evidence::WindowProbe) => 13,
            // It stands still now, and someone can mend it.
            Self::Stalled => 12,
            Self::StaleCloseWait | Self::StaleFinWait2 => 11,
            Self::Idle(Guard::None) => 10,
            Self::Orphan => 9,
            Self::ZeroWindow => 8,
            Self::Unaccepted => 7,
            Self::HalfClosed => 6,
            // Not known to be unguarded: where nothing tells, it must not bury what is known.
            Self::Idle(Guard::Unknown) => 5,
            Self::Embryonic => 4,
            Self::Idle(Guard::Keepalive) => 3,
            Self::Closing => 2,
            Self::Healthy => 1,
            Self::Listening => 0,
        }
    }

    /// Whether it holds memory that nobody may ever use again: a suspect, an orphan, an idle
    /// connection known to have no guard, a stale CLOSE_WAIT or a stale FIN_WAIT2.
    #[must_use]
    pub const fn is_zombie(self) -> bool {
        match self {
            Self::Suspect(_)
            | Self::Orphan
            | Self::Idle(Guard::None)
            | Self::StaleCloseWait
            | Self::StaleFinWait2 => true,
            Self::Healthy
            | Self::Idle(Guard::Keepalive | Guard::Unknown)
            | Self::ZeroWindow
            | Self::Stalled
            | Self::HalfClosed
            | Self::Unaccepted
            | Self::Embryonic
            | Self::Closing
            | Self::Listening => false,
        }
    }
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it fares.
    pub liveness: Liveness,
    /// Why, for people: "2 keepalive probes unanswered, silent for 11 s".
    pub why: String,
    /// What could not be known and might have changed the verdict.
    pub unknown: Option<Unknown>,
}

/// Whether no application holds the connection any more. A FIN_WAIT2 kept as a TIME_WAIT socket
/// (tcp_time_wait() in net/ipv4/tcp_minisocks.c) has no flags that could say so, nor an application.
pub(crate) const fn is_orphan(connection: &Connection) -> bool {
    let kept_as_time_wait = matches!(connection.state, State::FinWait2)
        && matches!(
            connection.timer,
            Ok(Some(timer)) if matches!(timer.kind, TimerKind::TimeWait)
        );
    connection.orphaned || kept_as_time_wait
}

/// How long data has gone neither way, if that is at least `threshold`. One age below it is enough
/// to say no; to say yes takes both.
fn quiet(connection: &Connection, threshold: Duration) -> Known<Option<Duration>> {
    let ages = [connection.last_sent, connection.last_received];
    if ages.into_iter().flatten().any(|age| age < threshold) {
        return Ok(None);
    }
    connection.idle().map(Some)
}

fn certain(liveness: Liveness, why: impl Into<String>) -> Verdict {
    Verdict {
        liveness,
        why: why.into(),
        unknown: None,
    }
}

fn uncertain(liveness: Liveness, why: impl Into<String>, unknown: Unknown) -> Verdict {
    Verdict {
        unknown: Some(unknown),
        ..certain(liveness, why)
    }
}
