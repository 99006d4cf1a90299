//! What the hooks report to the agent at once, through the ring buffer `EVENTS`.
//!
//! # Invariants
//! Nothing is reported here alone: what is counted is counted in the maps. A death is counted after it was
//! reported, or dropped: a reader that finds it counted finds its record in the buffer.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Record;

/// What has happened: values of [`EventRecord::kind`]. Deaths are always reported; the others while
/// somebody watches ([`crate::switch::WATCHED`]).
pub mod event_kind {
    /// A connection has ended other than by an orderly close: [`crate::Record::ending`] is the path.
    pub const DEATH: u8 = 1;
    /// A reset was sent: [`crate::Record::reset_reason`] is why.
    pub const RESET_SENT: u8 = 2;
    /// A reset was accepted.
    pub const RESET_RECEIVED: u8 = 3;
    /// A probe was sent: [`crate::Record::outstanding`] is which.
    pub const PROBE: u8 = 4;
    /// The retransmission timer has fired with data outstanding.
    pub const TIMEOUT: u8 = 5;
    /// The peer was heard after a probe and before the next.
    pub const ANSWER: u8 = 6;
    /// The peer was heard again, see [`crate::Record::recovers`].
    pub const RECOVERY: u8 = 7;
}

/// Bits of [`EventRecord::flags`].
pub mod event_flags {
    /// The socket has no record: what it sent before is not known, the table was full.
    pub const NO_RECORD: u16 = 1;
    /// Closed by its application (SOCK_DEAD).
    pub const ORPHAN: u16 = 2;
    /// An MPTCP subflow.
    pub const MPTCP: u16 = 4;
    /// A request socket: it has no settings, no probes and no data.
    pub const REQUEST: u16 = 8;
    /// There is no connection: a reset that answers a stray segment.
    pub const STRAY: u16 = 16;
    /// Its peer was never heard: it is in SYN_SENT.
    pub const UNHEARD: u16 = 32;
    /// A reset received, or a death by it, that may have been data after our close: the event that says so
    /// follows at once, if it was.
    pub const UNDECIDED: u16 = 64;
    /// A death whose cause follows from the socket's fields alone.
    pub const INFERRED: u16 = 128;
    /// Of a death: there is no room for its group, and it is counted in that of
    /// [`crate::GROUP_OVERFLOW_DIRECTION`].
    pub const GROUP_OVERFLOWED: u16 = 256;
}

/// Values of [`EventRecord::keepalive`].
pub mod keepalive {
    /// SO_KEEPALIVE is off.
    pub const OFF: u8 = 0;
    /// On, with the settings of the namespace.
    pub const DEFAULT: u8 = 1;
    /// On, with at least one setting of its own.
    pub const CUSTOM: u8 = 2;
    /// There is no full socket, or it could not be read.
    pub const UNKNOWN: u8 = 3;
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EventRecord {
    /// When, CLOCK_MONOTONIC nanoseconds.
    pub at_ns: u64,
    /// Address of the `struct sock`, 0 if there is none.
    pub sock: u64,
    /// `SO_COOKIE`, 0 if nobody has asked for it yet.
    pub cookie: u64,
    /// When its handshake ended or, where it has not, its first SYN or SYN-ACK was sent; 0 if no hook
    /// saw it.
    pub established_ns: u64,
    /// Id of the cgroup (v2) of the process that accepted it, 0 if no hook saw one accept it.
    pub accepted_by: u64,
    /// Since the peer was last heard; [`EventRecord::UNKNOWN`] if it never was, or is unknown.
    pub silence_ns: u64,
    /// For how long no data had been sent or received when we closed; [`EventRecord::UNKNOWN`] if we did
    /// not, or no hook saw it.
    pub idle_before_close_ns: u64,
    /// Payload sent, retransmissions included (`bytes_sent`).
    pub bytes_sent: u64,
    /// Payload received in order; a FIN counts as one (`bytes_received`).
    pub bytes_received: u64,
    /// What is known of the socket, after the event.
    pub record: Record,
    /// TCP_KEEPIDLE in force, jiffies.
    pub keepalive_idle: u32,
    /// TCP_KEEPINTVL in force, jiffies.
    pub keepalive_interval: u32,
    /// Sequence space written and not acknowledged (`write_seq` − `snd_una`).
    pub unacknowledged: u32,
    /// Sequence space received and not read (`rcv_nxt` − `copied_seq`).
    pub unread: u32,
    /// `sk_err`, an errno, 0 if none: shown, never classified by.
    pub error: u32,
    /// TCP_KEEPCNT in force.
    pub keepalive_probes: u8,
    /// One of [`keepalive`].
    pub keepalive: u8,
    /// Bits of [`event_flags`].
    pub flags: u16,
    /// One of [`event_kind`].
    pub kind: u8,
    /// Zero.
    pub padding: [u8; 7],
}

impl EventRecord {
    /// No such span of time.
    pub const UNKNOWN: u64 = u64::MAX;

    /// The group in which a death is counted.
    #[must_use]
    pub const fn counted_in(&self) -> crate::GroupKey {
        if self.flags & event_flags::GROUP_OVERFLOWED == 0 {
            self.record.group()
        } else {
            crate::GroupKey::OVERFLOW
        }
    }
}

/// Upper bounds of the silence before a death, seconds; the last bucket has none.
pub const SILENCE_BOUNDS_S: [u32; 10] = [1, 3, 10, 30, 60, 120, 300, 900, 3600, 10_800];

/// Silences before deaths on one path. Deaths whose silence is unknown are left out. Each only grows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Silences {
    /// Deaths by the first bound of [`SILENCE_BOUNDS_S`] that is not exceeded.
    pub deaths: [u64; SILENCE_BOUNDS_S.len() + 1],
    /// Sum of the silences, nanoseconds.
    pub sum_ns: u64,
}

/// Those of all paths, by [`crate::Ending`]: the one value of the array `SILENCES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SilenceTable(pub [Silences; crate::Ending::COUNT]);

const _: () = assert!(size_of::<EventRecord>() == 264);
const _: () = assert!(size_of::<Silences>() == 96);
