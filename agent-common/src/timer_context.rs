//! What a processor knows while it runs one of TCP's timers: the context in which a probe, a reset or
//! a change to CLOSE gets its meaning. The agent never reads it, but it stands in pinned maps.

use zerocopy::{FromZeros, Immutable, IntoBytes, KnownLayout};

/// Which timer runs: values of [`TimerContext::kind`].
pub mod timer_kind {
    /// `tcp_keepalive_timer`.
    pub const KEEPALIVE: u8 = 1;
    /// `tcp_write_timer_handler`, from its timer or deferred to `tcp_release_cb`.
    pub const WRITE: u8 = 2;
    /// `tcp_retransmit_timer` called from elsewhere (ICMP).
    pub const RETRANSMIT: u8 = 3;
}

/// Values of `icsk_pending` (include/net/inet_connection_sock.h): what the retransmit timer is set for.
pub mod icsk_pending {
    /// ICSK_TIME_RETRANS.
    pub const RETRANS: u8 = 1;
    /// ICSK_TIME_PROBE0: a zero-window probe.
    pub const PROBE0: u8 = 3;
    /// ICSK_TIME_LOSS_PROBE.
    pub const LOSS_PROBE: u8 = 5;
    /// ICSK_TIME_REO_TIMEOUT.
    pub const REO_TIMEOUT: u8 = 6;
}

/// The running timer and what its socket looked like when it began: the value of `TIMER_CONTEXTS`, one
/// for each processor.
#[derive(Clone, Copy, Debug, FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TimerContext {
    /// The socket, 0 outside.
    pub sock: u64,
    /// The timer, for `timer_expire_exit`.
    pub timer: u64,
    /// The socket for which a reset was accepted and whose change to CLOSE follows.
    pub reset: u64,
    /// When the timer's run began.
    pub opened_ns: u64,
    /// The socket that tcp_xmit_probe_skb or tcp_write_wakeup runs for.
    pub probing: u64,
    /// The socket that last changed to CLOSE without an explanation: a reset of ours may follow.
    pub closing: u64,
    /// The socket for which tcp_reset last ran and that we had closed: a reset of ours may follow, which shows
    /// that the segment was data.
    pub undecided: u64,
    /// A socket that was destroyed just after, and what was known of its connection.
    pub destroyed: u64,
    /// See `destroyed`.
    pub start: crate::Start,
    /// `segs_out` when the probe began.
    pub probing_segs_out: u32,
    /// The MIB the probe is counted under.
    pub probing_mib: u32,
    /// `segs_out`.
    pub segs_out: u32,
    /// `write_seq`.
    pub write_seq: u32,
    /// `rcv_nxt`.
    pub rcv_nxt: u32,
    /// `icsk_rto`.
    pub rto: u32,
    /// One of [`timer_kind`].
    pub kind: u8,
    /// `skc_state`.
    pub state: u8,
    /// SOCK_DEAD.
    pub dead: bool,
    /// One of [`icsk_pending`].
    pub pending: u8,
    /// `icsk_retransmits`.
    pub retransmits: u8,
    /// `icsk_probes_out`.
    pub probes_out: u8,
    /// Held by its user: the handler only defers, or runs as that one lets go.
    pub owned: bool,
    /// Data outstanding.
    pub in_flight: bool,
    /// Active resets sent inside.
    pub resets: u8,
    /// It changed to CLOSE inside.
    pub closed: bool,
    /// `tcp_write_err` closed it.
    pub timed_out: bool,
    /// The window has room for data, which goes out instead of a probe (and may fail to).
    pub sends_data: bool,
    /// The state `closing` was in before.
    pub closing_state: u8,
    /// The [`crate::Ending`] of a change to CLOSE: kept here, where the verifier does not follow each
    /// value apart.
    pub ending: u8,
    /// Whether the timeout that ended it is still to be counted.
    pub uncounted_timeout: u8,
    /// Whether the reset that the keepalive timer sent is still to be counted.
    pub uncounted_reset: u8,
    /// Whether this processor is inside the program that sees changes of state: 0 or 1. What
    /// interrupts it is a timer's run for which the kernel does not run that program again.
    pub changing: u8,
    /// The state `undecided` was in before.
    pub undecided_state: u8,
    /// `icsk_backoff`.
    pub backoff: u8,
    /// Whether `ending` follows from the socket's fields alone: 0 or 1.
    pub inferred: u8,
    /// Whether the kernel counts a retransmission timeout in `TCPTimeouts`.
    pub is_counted: bool,
    /// Zero.
    pub padding: [u8; 3],
}

/// The request whose timer runs: the value of `REQUEST_TIMERS`, one for each processor.
#[derive(Clone, Copy, Debug, FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestTimer {
    /// Its `struct request_sock`, 0 outside.
    pub request: u64,
    /// Its timer.
    pub timer: u64,
    /// Its listener.
    pub listener: u64,
    /// The byte with its `num_timeout` when the timer's run began.
    pub timeouts: u8,
    /// Zero.
    pub padding: [u8; 7],
}

const _: () = assert!(size_of::<TimerContext>() == 136);
const _: () = assert!(size_of::<RequestTimer>() == 32);
