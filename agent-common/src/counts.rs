//! Keys, values and indices of the counter maps.
//!
//! # Invariants
//! The numbers are the layout: an index never gets a second meaning.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Who opened a connection: values of [`GroupKey::direction`] and [`crate::Record::direction`].
pub mod direction {
    /// No connection: a reset that answers a stray segment.
    pub const NONE: u8 = 0;
    /// A peer connected to a listener here.
    pub const INBOUND: u8 = 1;
    /// We connected to a peer.
    pub const OUTBOUND: u8 = 2;
}

/// Direction of the one group that takes the counts of groups the table had no room for.
pub const GROUP_OVERFLOW_DIRECTION: u8 = 0xff;

/// Whose counts: key of the map `GROUPS`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct GroupKey {
    /// Id of the socket's own cgroup (v2), 0 where the kernel has none.
    pub cgroup: u64,
    /// The service's port, host order: local if inbound, remote if outbound, else 0.
    pub port: u16,
    /// One of [`direction`], or [`GROUP_OVERFLOW_DIRECTION`].
    pub direction: u8,
    /// Zero.
    pub padding: [u8; 5],
}

impl GroupKey {
    /// The one group that takes the counts of groups the table had no room for.
    pub const OVERFLOW: Self = Self {
        cgroup: 0,
        port: 0,
        direction: GROUP_OVERFLOW_DIRECTION,
        padding: [0; 5],
    };
}

/// Deaths of one group that the agent was asked to ignore, by [`crate::Ending`]: value of the map `IGNORED`,
/// which the agent writes where maps outlive it. Each only grows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct IgnoredDeaths(pub [u64; crate::Ending::COUNT]);

/// Index into [`GroupCounts::events`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Event {
    /// A keepalive probe was sent, as `TCPKeepAlive` counts.
    KeepaliveProbe = 0,
    /// The peer was heard after a keepalive probe and before the next.
    KeepaliveAnswered = 1,
    /// A zero-window probe was sent, as `TCPWinProbe` counts.
    WindowProbe = 2,
    /// The peer was heard after a window probe and before the next.
    WindowAnswered = 3,
    /// The retransmission timer fired with something outstanding: as `TCPTimeouts` counts, and against a
    /// closed window too.
    RetransmissionTimeout = 4,
    /// A reset was accepted from the peer.
    ResetReceived = 5,
    /// The peer was heard again after keepalive probes had stayed unanswered.
    KeepaliveRecovery = 6,
    /// The same after window probes.
    WindowRecovery = 7,
    /// The same after retransmission timeouts.
    RetransmissionRecovery = 8,
    /// What was counted as a reset received, and as a death by it, was data that arrived after our close:
    /// `tcp_reset` runs for both. To be taken off both counts.
    ResetWithdrawn = 9,
    /// A death whose cause follows from the socket's fields alone: no hook saw the path.
    DeathInferred = 10,
    /// A listener answered a SYN with a cookie (`tcp_make_synack`), as `SyncookiesSent` counts unless memory or
    /// a route was missing.
    CookieSent = 11,
    /// An ACK brought a valid cookie back, and a request was made of it (`tcp_get_cookie_sock`): as
    /// `SyncookiesRecv` counts, unless memory or a route was missing.
    CookieValidated = 12,
    /// connect() found no local port (`inet_hash_connect`): no SYN was sent.
    ConnectWithoutPort = 13,
}

impl Event {
    /// How many there are.
    pub const COUNT: usize = 14;
}

/// Index into [`GroupCounts::resets_sent`]: the kernel's own `enum sk_rst_reason` value where it
/// reports one, else one of the inferred ones, which start above every value the kernel has.
pub struct ResetReason;

impl ResetReason {
    /// The kernel's values are below this; one at or above it counts as [`Self::UNKNOWN`].
    pub const REPORTED: u32 = 55;
    /// What a hook gets on a kernel that reports none; never counted under.
    pub const NOT_REPORTED: u32 = u32::MAX;
    /// Made by netfilter, and sent by no socket.
    pub const NETFILTER: u32 = 55;
    /// Neither reported nor inferred.
    pub const UNKNOWN: u32 = 56;
    /// Inferred: the keepalive timer declared the peer dead.
    pub const KEEPALIVE_TIMEOUT: u32 = 57;
    /// Inferred: closed with unread data.
    pub const ABORT_ON_CLOSE: u32 = 58;
    /// Inferred: `TCP_LINGER2` below 0.
    pub const ABORT_ON_LINGER: u32 = 59;
    /// Inferred: out of memory, or too many orphans.
    pub const ABORT_ON_MEMORY: u32 = 60;
    /// Inferred: a state that asks for a reset: disconnect, linger 0, administrative abort,
    /// orphaned FIN_WAIT2.
    pub const STATE: u32 = 61;
    /// Inferred: data arrived after the close.
    pub const ABORT_ON_DATA: u32 = 62;
    /// Inferred: the accept queue was full, where the kernel reports a bad SYN.
    pub const LISTEN_OVERFLOW: u32 = 63;
    /// Size of the table.
    pub const COUNT: usize = 64;
}

/// Where sockets listen: key of the map `LISTENERS`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ListenerKey {
    /// Local address; IPv4 as ::ffff:a.b.c.d.
    pub local: [u8; 16],
    /// `net->ns.inum`.
    pub inum: u32,
    /// Host order.
    pub port: u16,
    /// Zero.
    pub padding: u16,
}

/// The sockets that listen at one place, several with SO_REUSEPORT: value of the map `LISTENERS`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Listeners {
    /// Id of the cgroup of the latest, 0 where the kernel has none.
    pub cgroup: u64,
    /// How many there are.
    pub sockets: u64,
}

/// Counts of one group: value of the map `GROUPS`. Each only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GroupCounts {
    /// By [`Event`].
    pub events: [u64; Event::COUNT],
    /// By [`ResetReason`].
    pub resets_sent: [u64; ResetReason::COUNT],
    /// Ends other than orderly ones, by [`crate::Ending`].
    pub endings: [u64; crate::Ending::COUNT],
    /// How long connections had been idle that we closed while the peer was sending: by the first bound of
    /// [`IDLE_BOUNDS_S`] that is not exceeded. Those whose close was not seen are left out.
    pub idle_before_close: [u64; IDLE_BOUNDS_S.len() + 1],
    /// Sum of these times, nanoseconds.
    pub idle_before_close_ns: u64,
}

/// Upper bounds of the idle time before a close, seconds; the last bucket has none. They lie between the
/// times at which servers usually close.
pub const IDLE_BOUNDS_S: [u32; 12] = [1, 4, 6, 12, 18, 25, 40, 70, 100, 200, 400, 1000];

/// A network namespace: key of the map `NETS`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct NetKey {
    /// `net->net_cookie`: never reused; 0 before Linux 5.12.
    pub cookie: u64,
    /// `net->ns.inum`: what `stat` shows for /proc/PID/ns/net; reused once a namespace is gone.
    pub inum: u32,
    /// Zero.
    pub padding: u32,
}

/// Index into [`NetCounts::counted`]: the kernel counters that our counts are checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Tally {
    /// `TCPKeepAlive`.
    KeepAlive = 0,
    /// `TCPWinProbe`.
    WinProbe = 1,
    /// `TCPAbortOnTimeout`.
    AbortOnTimeout = 2,
    /// `OutRsts`.
    OutRsts = 3,
    /// `TCPTimeouts`.
    Timeouts = 4,
}

impl Tally {
    /// How many there are.
    pub const COUNT: usize = 5;
}

/// What the hooks counted in one network namespace: value of the map `NETS`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NetCounts {
    /// By [`Tally`].
    pub counted: [u64; Tally::COUNT],
}

/// Index into the array `LOSSES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Loss {
    /// No room for a socket's record: its detail is lost, the group's counts are kept.
    RecordsFull = 0,
    /// No room for a group: counted under [`GROUP_OVERFLOW_DIRECTION`].
    GroupsFull = 1,
    /// No room for a network namespace: counted under the all-zero [`NetKey`].
    NetsFull = 2,
    /// The ring buffer was full: the event is not reported, the counts are kept.
    EventsDropped = 3,
    /// A record was found under another connection's address: its destruction had not been seen.
    StaleRecords = 4,
    /// A field of a socket could not be read, so that an event was left uncounted.
    Unreadable = 5,
    /// A death among the events that were dropped: its death record is lost, the counts are kept.
    DeathRecordsLost = 6,
    /// No room to note when a connection was established: its age stays unknown.
    StartTimesFull = 7,
    /// No room to note a listener: resets of segments for its port are counted in no owner's group.
    ListenersFull = 8,
}

impl Loss {
    /// How many there are.
    pub const COUNT: u32 = 9;
}

const _: () = assert!(size_of::<GroupKey>() == 16);
const _: () = assert!(size_of::<GroupCounts>() == 8 * (14 + 64 + 32 + 14));
const _: () = assert!(size_of::<ListenerKey>() == 24);
const _: () = assert!(size_of::<NetKey>() == 16);
const _: () = assert!(size_of::<NetCounts>() == 40);
