//! What the kernel programs know of one socket: counts, times and the code path of its end. Thresholds
//! and causes are the model's.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The kernel's TCP states (include/net/tcp_states.h) that the hooks ask for.
pub mod state {
    /// TCP_ESTABLISHED.
    pub const ESTABLISHED: u8 = 1;
    /// TCP_SYN_SENT.
    pub const SYN_SENT: u8 = 2;
    /// TCP_SYN_RECV.
    pub const SYN_RECV: u8 = 3;
    /// TCP_FIN_WAIT1.
    pub const FIN_WAIT1: u8 = 4;
    /// TCP_FIN_WAIT2.
    pub const FIN_WAIT2: u8 = 5;
    /// TCP_TIME_WAIT.
    pub const TIME_WAIT: u8 = 6;
    /// TCP_CLOSE.
    pub const CLOSE: u8 = 7;
    /// TCP_CLOSE_WAIT.
    pub const CLOSE_WAIT: u8 = 8;
    /// TCP_LISTEN.
    pub const LISTEN: u8 = 10;
    /// TCP_NEW_SYN_RECV: a request socket.
    pub const NEW_SYN_RECV: u8 = 12;
}

/// Values of [`Record::outstanding`]: what waits for an answer.
pub struct Outstanding;

impl Outstanding {
    /// Nothing is.
    pub const NONE: u8 = 0;
    /// A keepalive probe is.
    pub const KEEPALIVE: u8 = 1;
    /// A window probe is.
    pub const WINDOW: u8 = 2;
    /// A retransmission is, and only an acknowledgement of new data answers it.
    pub const RETRANSMISSION: u8 = 3;
    /// A retransmission into a closed window is: it probes the window, and any ACK answers it
    /// (the branch `!tp->snd_wnd` of `tcp_retransmit_timer`).
    pub const CLOSED_WINDOW: u8 = 4;
}

/// For how long something may stay unanswered before the peer is a suspect. A recovery is progress after that.
pub mod grace {
    /// The answer to a keepalive probe may take this long, or an RTO if that is longer, nanoseconds.
    pub const KEEPALIVE_NS: u64 = 500_000_000;
    /// The answer to a window probe may take this long and an RTO, nanoseconds: a peer sends no two ACKs within
    /// 500 ms for segments that it does not accept (tcp_invalid_ratelimit; tcp_oow_rate_limited() in
    /// net/ipv4/tcp_input.c), and the probe after the one that went without comes less than 1 s after it.
    pub const WINDOW_PROBE_NS: u64 = 1_000_000_000;
    /// Retransmission timeouts in a row during which nothing of the peer came: R1 of RFC 9293, section 3.8.3, and
    /// the default of tcp_retries1. One or two losses in a row are everyday life on a lossy path.
    pub const RETRANSMISSIONS: u32 = 3;
}

/// One socket that probed, timed out or was reset: value of the map `SOCKETS`, keyed by the address
/// of its `struct sock`. Created by its first such event, removed when the socket is destroyed.
/// Times are CLOCK_MONOTONIC nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Record {
    /// First event.
    pub first_ns: u64,
    /// Latest event.
    pub last_ns: u64,
    /// Latest probe or retransmission timeout, 0 if none.
    pub probe_ns: u64,
    /// The first of [`Record::unheard`].
    pub unheard_since_ns: u64,
    /// Its network namespace.
    pub net: crate::NetKey,
    /// Id of its own cgroup (v2), 0 where the kernel has none.
    pub cgroup: u64,
    /// Local address; IPv4 as ::ffff:a.b.c.d.
    pub local: [u8; 16],
    /// Remote address, in the same form.
    pub remote: [u8; 16],
    /// Owner's uid (`sk_uid`).
    pub uid: u32,
    /// Keepalive probes sent.
    pub keepalive_probes: u32,
    /// Keepalive probes answered.
    pub keepalive_answered: u32,
    /// Window probes sent.
    pub window_probes: u32,
    /// Window probes answered.
    pub window_answered: u32,
    /// Retransmission timeouts.
    pub retransmission_timeouts: u32,
    /// Resets sent.
    pub resets_sent: u32,
    /// Resets received.
    pub resets_received: u32,
    /// Probes, or retransmission timeouts, in a row without an answer, as the kernel counts them
    /// (`icsk_probes_out`, `icsk_retransmits`).
    pub unanswered: u32,
    /// Probes and retransmission timeouts since any segment of the peer came.
    pub unheard: u32,
    /// `segs_in` at the latest probe or retransmission timeout.
    pub segs_in: u32,
    /// `snd_una` at the latest retransmission timeout.
    pub snd_una: u32,
    /// Low 32 bits of jiffies at the latest probe or retransmission timeout.
    pub probe_jiffies: u32,
    /// `TCP_USER_TIMEOUT`, ms, 0 if unset, at the latest event.
    pub user_timeout_ms: u32,
    /// `sk_family`: AF_INET or AF_INET6 (mapped addresses are AF_INET6).
    pub family: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// One of [`crate::direction`].
    pub direction: u8,
    /// State at the latest event, before the change if that was a close.
    pub state: u8,
    /// What waits for an answer, one of [`Outstanding`].
    pub outstanding: u8,
    /// Set by the program `suspect` when the peer was found heard since, before a hook counted it.
    pub heard: u8,
    /// [`crate::ResetReason`] of the latest reset sent.
    pub reset_reason: u8,
    /// [`crate::Ending`].
    pub ending: u8,
    /// Whether its peer became a suspect since it last answered, 0 or 1.
    pub suspected: u8,
    /// Zero.
    pub padding: [u8; 3],
}

/// When a connection began, who accepted it and how it is closed: value of the map `START_TIMES`, keyed by the
/// address of its `struct sock`. Made when it is established or accepted, removed when the socket is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Start {
    /// When it was established, CLOCK_MONOTONIC nanoseconds; 0 if that was not seen.
    pub established_ns: u64,
    /// Id of the cgroup (v2) of the process that accepted it, 0 if none was seen to.
    pub accepted_by: u64,
    /// For how long no data had been sent or received when we closed it, jiffies.
    pub idle_jiffies: u32,
    /// Bits of [`Start::CLOSING`] and [`Start::CLOSED`].
    pub flags: u32,
}

impl Start {
    /// We have closed it, and `idle_jiffies` is set.
    pub const CLOSING: u32 = 1;
    /// Its change to CLOSE was seen.
    pub const CLOSED: u32 = 2;
}

impl Record {
    /// The group it counts in: the service's port is local if inbound, else remote.
    #[must_use]
    #[inline(always)]
    pub const fn group(&self) -> crate::GroupKey {
        crate::GroupKey {
            cgroup: self.cgroup,
            port: if self.direction == crate::direction::INBOUND {
                self.local_port
            } else {
                self.remote_port
            },
            direction: self.direction,
            padding: [0; 5],
        }
    }

    /// Whether something waits for an answer that can still come: of a connection that has ended, the
    /// socket's times mean nothing any more (`tcp_disconnect` clears them).
    #[must_use]
    #[inline(always)]
    pub const fn is_waiting(&self) -> bool {
        self.outstanding != Outstanding::NONE && self.ending == crate::Ending::None as u8
    }

    /// Whether an answer now is a recovery: the peer was a suspect by the graces of [`grace`] when the latest
    /// probe or retransmission timeout came.
    #[must_use]
    #[inline(always)]
    pub const fn recovers(&self) -> bool {
        self.outstanding != Outstanding::NONE && self.suspected != 0
    }

    /// Whether what is outstanding makes the peer a suspect at this moment; the RTO is in nanoseconds.
    #[must_use]
    #[inline(always)]
    pub const fn is_suspect(&self, now_ns: u64, rto_ns: u64) -> bool {
        let silent = now_ns.saturating_sub(self.unheard_since_ns);
        match self.outstanding {
            Outstanding::KEEPALIVE => silent >= grace::KEEPALIVE_NS && silent >= rto_ns,
            Outstanding::WINDOW => silent >= grace::WINDOW_PROBE_NS + rto_ns,
            Outstanding::RETRANSMISSION | Outstanding::CLOSED_WINDOW => {
                self.unheard >= grace::RETRANSMISSIONS
            }
            _ => false,
        }
    }
}

const _: () = assert!(size_of::<Record>() == 160);
const _: () = assert!(size_of::<Start>() == 24);
