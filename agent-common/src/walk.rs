//! What a walk over the kernel's tables of sockets yields: the kernel's own fields in the kernel's own
//! units, and classes of sockets that are summed.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bits of [`Socket::flags`] and [`Class::flags`].
pub mod flag {
    /// SO_KEEPALIVE is on (SOCK_KEEPOPEN).
    pub const KEEPALIVE: u8 = 1;
    /// Closed by its application (SOCK_DEAD).
    pub const DEAD: u8 = 2;
    /// An MPTCP subflow.
    pub const MPTCP: u8 = 4;
    /// No full socket but a `struct request_sock`.
    pub const REQUEST: u8 = 8;
    /// No full socket but a `struct inet_timewait_sock`.
    pub const TIME_WAIT: u8 = 16;
    /// The keepalive timer is pending.
    pub const KEEPALIVE_TIMER: u8 = 32;
    /// Without data either way for at least [`WalkProgress::quiet_jiffies`]; in [`Class::flags`] alone.
    pub const QUIET: u8 = 64;
    /// A full socket that no application has accepted yet: without a `struct socket`, and not DEAD.
    /// Of a request: the handshake's last ACK came (`inet_request_sock.acked`).
    pub const UNACCEPTED: u8 = 128;
}

/// One socket as the walk finds it; a field that a socket of its kind does not have is 0.
/// Times are jiffies: those of `u32` are the low half of the kernel's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Socket {
    /// Address of the `struct sock_common`.
    pub sock: u64,
    /// `skc_cookie`, 0 while nobody has asked for it.
    pub cookie: u64,
    /// Its network namespace.
    pub net: crate::NetKey,
    /// Id of its own cgroup (v2), 0 where the kernel has none.
    pub cgroup: u64,
    /// The clock when it was read.
    pub jiffies: u64,
    /// `expires` of the retransmit timer; of a request or TIME_WAIT, of its only timer.
    pub timer_expires: u64,
    /// `expires` of the keepalive timer.
    pub keepalive_expires: u64,
    /// `bytes_sent`: payload sent, retransmissions included.
    pub bytes_sent: u64,
    /// `bytes_received`: payload received in order; a FIN counts as one.
    pub bytes_received: u64,
    /// Local address; IPv4 as ::ffff:a.b.c.d.
    pub local: [u8; 16],
    /// Remote address, in the same form.
    pub remote: [u8; 16],
    /// `sk_uid`.
    pub uid: u32,
    /// `keepalive_time`, jiffies, 0 for the namespace's.
    pub keepalive_time: u32,
    /// `keepalive_intvl`, jiffies, 0 for the namespace's.
    pub keepalive_interval: u32,
    /// `icsk_user_timeout`, ms, 0 if unset.
    pub user_timeout_ms: u32,
    /// `icsk_rto`, jiffies.
    pub rto: u32,
    /// `srtt_us`: the smoothed round-trip time in 1/8 µs.
    pub srtt_us: u32,
    /// `packets_out`.
    pub packets_out: u32,
    /// `write_seq`.
    pub write_seq: u32,
    /// `snd_nxt`.
    pub snd_nxt: u32,
    /// `snd_una`.
    pub snd_una: u32,
    /// `snd_wnd`.
    pub snd_wnd: u32,
    /// `rcv_nxt`; of a listener, and of a request its listener's, `sk_ack_backlog`.
    pub rcv_nxt: u32,
    /// `copied_seq`; of a listener, and of a request its listener's, `sk_max_ack_backlog`.
    pub copied_seq: u32,
    /// `rcv_tstamp`: the last acceptable ACK.
    pub rcv_tstamp: u32,
    /// `icsk_ack.lrcvtime`: data last received.
    pub lrcvtime: u32,
    /// `lsndtime`: data last sent.
    pub lsndtime: u32,
    /// `last_oow_ack_time`: a segment out of the window was answered last, 0 if none was.
    pub last_oow_ack_time: u32,
    /// `icsk_rto_max`, jiffies, 0 where the kernel has none.
    pub rto_max: u32,
    /// `icsk_probes_tstamp`: the first window probe since the window closed, 0 if none was sent.
    pub probes_tstamp: u32,
    /// `retrans_stamp`: the first retransmission of what is in flight, in SYN_SENT the first SYN, in ms of
    /// CLOCK_MONOTONIC; 0 if nothing was retransmitted.
    pub retrans_stamp: u32,
    /// CLOCK_MONOTONIC in ms when it was read.
    pub clock_ms: u32,
    /// Its own object, what it received and nobody has read, and what is queued to be sent, bytes.
    pub memory: u32,
    /// `sk_family`.
    pub family: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// `skc_state`; of a TIME_WAIT, `tw_substate`.
    pub state: u8,
    /// One of [`crate::direction`]; NONE for a TIME_WAIT, which has none.
    pub direction: u8,
    /// `keepalive_probes`, 0 for the namespace's.
    pub keepalive_probes: u8,
    /// `icsk_retransmits`; of a request, `num_retrans`.
    pub retransmits: u8,
    /// `icsk_probes_out`.
    pub probes_out: u8,
    /// One of [`crate::icsk_pending`].
    pub pending: u8,
    /// `icsk_backoff`.
    pub backoff: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// `rskq_defer_accept` of a request's listener.
    pub defer_accept: u8,
    /// Of a request: whether `acked` and its listener's queue could be read, 0 or 1.
    pub has_queue: u8,
    /// `icsk_syn_retries`, 0 for the namespace's.
    pub syn_retries: u8,
    /// Zero.
    pub padding: [u8; 7],
}

/// Established sockets with nothing outstanding that do not differ but in who they are: they are
/// counted, not listed. Key of the map `CLASSES`.
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
pub struct Class {
    /// [`Socket::cgroup`].
    pub cgroup: u64,
    /// `net->ns.inum`.
    pub netns: u32,
    /// [`Socket::keepalive_time`].
    pub keepalive_time: u32,
    /// [`Socket::keepalive_interval`].
    pub keepalive_interval: u32,
    /// [`Socket::user_timeout_ms`].
    pub user_timeout_ms: u32,
    /// [`Socket::rto`], rounded up: [`round_up_rto`].
    pub rto: u32,
    /// [`Socket::rto_max`].
    pub rto_max: u32,
    /// The service's port.
    pub port: u16,
    /// One of [`crate::direction`].
    pub direction: u8,
    /// [`Socket::keepalive_probes`].
    pub keepalive_probes: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// Zero.
    pub padding: [u8; 3],
}

/// An RTO rounded up to one of eight steps of its octave, so that sockets fall into few classes: by less than an eighth.
#[must_use]
#[inline(always)]
pub const fn round_up_rto(jiffies: u32) -> u32 {
    let step = rto_step(jiffies);
    jiffies.saturating_add(step - 1) & !(step - 1)
}

/// The steps of an RTO's octave, jiffies.
#[inline(always)]
const fn rto_step(jiffies: u32) -> u32 {
    1 << (28 - (jiffies | 8).leading_zeros())
}

/// Every RTO that is rounded up to this one, in jiffies.
#[must_use]
pub const fn rtos_rounded_to(jiffies: u32) -> core::ops::RangeInclusive<u32> {
    let below = jiffies.saturating_sub(1);
    jiffies.saturating_sub(rto_step(below) - 1)..=jiffies
}

/// Sums over one [`Class`]: value of the map `CLASSES`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ClassSum {
    /// Sockets.
    pub sockets: u64,
    /// Their [`Socket::memory`].
    pub memory: u64,
}

/// What a local port can be used for once: a key of the map `DESTINATIONS`.
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
pub struct Destination {
    /// Local address; IPv4 as ::ffff:a.b.c.d.
    pub local: [u8; 16],
    /// Remote address, as the local one.
    pub remote: [u8; 16],
    /// `net->ns.inum`.
    pub netns: u32,
    /// Host order.
    pub remote_port: u16,
    /// Zero.
    pub padding: u16,
}

/// The local ports that one [`Destination`] takes: value of the map `DESTINATIONS`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PortsInUse {
    /// Ports within the namespace's range, those of TIME_WAIT sockets included.
    pub ports: u64,
    /// [`Socket::cgroup`] of the first full socket met.
    pub cgroup: u64,
    /// `net.ipv4.ip_local_port_range`: the first port, and the last in the upper half.
    pub range: u32,
    /// Whether a full socket was met, 0 or 1: TIME_WAIT has no owner.
    pub is_owned: u32,
}

/// Set in what a program returns that hands out a whole map, when it stopped for want of room: the
/// other bits are how many entries it has passed.
pub const DUMP_STOPPED: u32 = 1 << 31;

/// The first port that Linux gives to clients (net.ipv4.ip_local_port_range).
pub const EPHEMERAL: u16 = 32_768;

/// A time stamp this little ahead of the clock, jiffies, was taken after the clock was read.
pub const AHEAD: u32 = 4_096;

/// Which chains a table has: values of [`WalkProgress::table`].
pub mod table {
    /// `inet_hashinfo.ehash`: connections, TIME_WAIT and requests.
    pub const ESTABLISHED: u32 = 0;
    /// `inet_hashinfo.lhash2`: listeners.
    pub const LISTENERS: u32 = 1;
}

/// Where a walk stands: the one value of the array `WALK`, written by the agent before each run of the
/// program `walk` and brought forward by it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct WalkProgress {
    /// Address of the table.
    pub base: u64,
    /// `net->ns.ops`, by which a network namespace is known to be one.
    pub net_ops: u64,
    /// Sockets of this network namespace alone (`net->ns.inum`), 0 for all.
    pub netns: u32,
    /// One of [`table`].
    pub table: u32,
    /// Buckets but one: a power of two less one.
    pub mask: u32,
    /// The next bucket.
    pub bucket: u32,
    /// Sockets of that bucket that were read already.
    pub skip: u32,
    /// Sockets to read in this run, at least one bucket's.
    pub limit: u32,
    /// Established sockets with nothing outstanding are summed in `CLASSES`: 0 or 1.
    pub sums: u32,
    /// Silence from which a socket is [`flag::QUIET`]: the user's threshold of idleness, and the only
    /// threshold that any program gets.
    pub quiet_jiffies: u32,
    /// Sockets found by this run.
    pub found: u32,
    /// Chains that changed under the reader, whose rest was left out.
    pub changed_chains: u32,
    /// Sockets that could not be read.
    pub unreadable: u32,
    /// Whether the table's end was reached: 0 or 1.
    pub done: u32,
    /// Local ports whose destination found no room in `DESTINATIONS`.
    pub unplaced_ports: u32,
    /// Zero.
    pub padding: u32,
}

/// A network namespace as the program `nets` finds it, and what it decides for its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Net {
    /// Which.
    pub key: crate::NetKey,
    /// `net->ns.ops`.
    pub ops: u64,
    /// Its `inet_hashinfo.ehash`.
    pub ehash: u64,
    /// Its `inet_hashinfo.lhash2`.
    pub lhash2: u64,
    /// `ehash_mask`.
    pub ehash_mask: u32,
    /// `lhash2_mask`.
    pub lhash2_mask: u32,
    /// `sysctl_tcp_keepalive_time`, jiffies.
    pub keepalive_time: u32,
    /// `sysctl_tcp_keepalive_intvl`, jiffies.
    pub keepalive_interval: u32,
    /// `sysctl_tcp_fin_timeout`, jiffies.
    pub fin_timeout: u32,
    /// `sysctl_tcp_keepalive_probes`.
    pub keepalive_probes: u8,
    /// `sysctl_tcp_retries2`.
    pub retries2: u8,
    /// `sysctl_tcp_orphan_retries`.
    pub orphan_retries: u8,
    /// `sysctl_tcp_syn_retries`.
    pub syn_retries: u8,
    /// `sysctl_tcp_synack_retries`.
    pub synack_retries: u8,
    /// `sysctl_tcp_syn_linear_timeouts`, 0 where the kernel has none.
    pub syn_linear_timeouts: u8,
    /// Zero.
    pub padding: [u8; 6],
}

const _: () = assert!(size_of::<Socket>() == 224);
const _: () = assert!(size_of::<Class>() == 40);
const _: () = assert!(size_of::<Destination>() == 40);
const _: () = assert!(size_of::<PortsInUse>() == 24);
const _: () = assert!(size_of::<WalkProgress>() == 72);
const _: () = assert!(size_of::<Net>() == 72);
