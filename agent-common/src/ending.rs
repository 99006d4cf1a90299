//! Which code path of the kernel ended a connection. The agent's model names the cause.

/// The path on which a connection's state became CLOSE other than in an orderly close.
/// Index into [`crate::GroupCounts::endings`].
///
/// Paths are those of net/ipv4/tcp_timer.c, tcp_input.c and tcp.c; "timed out" means
/// `tcp_write_err`, the only place that counts `TCPAbortOnTimeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Ending {
    /// Not ended, or orderly.
    None = 0,
    /// Timed out inside `tcp_keepalive_timer`, no user timeout set.
    Keepalive = 1,
    /// Timed out inside `tcp_keepalive_timer`, user timeout set (it replaces the probe count).
    KeepaliveUserTimeout = 2,
    /// Timed out inside the retransmission timer.
    Retransmission = 3,
    /// The same with a user timeout set (it replaces `tcp_retries2`).
    RetransmissionUserTimeout = 4,
    /// Timed out inside the zero-window probe timer.
    WindowProbe = 5,
    /// The same with a user timeout set.
    WindowProbeUserTimeout = 6,
    /// Timed out in SYN_SENT.
    Connect = 7,
    /// Timed out in SYN_RECV (a Fast Open child).
    Accept = 8,
    /// Timed out, already closed by its application (SOCK_DEAD), whatever the timer.
    Orphan = 9,
    /// Ended inside the write timer without an error: `tcp_out_of_resources`.
    OrphanMemory = 10,
    /// Reset by the keepalive timer in FIN_WAIT2 as an orphan.
    OrphanFinWait2 = 11,
    /// Timed out inside the write timer, on which timer is unknown.
    Timer = 12,
    /// A reset was accepted from the peer.
    ResetReceived = 13,
    /// A reset was accepted in SYN_SENT.
    Refused = 14,
    /// SYN_SENT ended since ICMP says that the port is unreachable (ECONNREFUSED).
    RefusedByIcmp = 15,
    /// We reset it while closing or disconnecting (state already CLOSE).
    ResetSent = 16,
    /// We reset it in a live state outside every timer, reason TCP_STATE: `tcp_abort`.
    Abort = 17,
    /// We reset it in a live state outside every timer, for another reason (MPTCP).
    ResetSentLive = 18,
    /// A request socket (SYN_RECV) ran out of SYN-ACKs: no counter of the kernel counts it.
    RequestExpired = 19,
    /// A request socket was dropped since its listener had been closed.
    RequestAbandoned = 20,
    /// A live state became CLOSE with an error, on no path that was seen.
    Unexplained = 21,
    /// SYN_SENT ended since ICMP, of a router or of our own host, says anything else: no way there, no
    /// neighbour, prohibited.
    Unreachable = 22,
    /// Closed in SYN_SENT after SYNs had stayed unanswered, before the kernel gave up.
    ConnectAbandoned = 23,
    /// A reset was accepted while a keepalive or window probe was unanswered: the peer has no such connection
    /// any more (RFC 9293, 3.5.2, group 1).
    PeerForgot = 24,
    /// Timed out inside the zero-window probe timer while the window was open: our host could not send.
    LocalSend = 25,
    /// The same with a user timeout set.
    LocalSendUserTimeout = 26,
    /// Data arrived after we had closed: the kernel reset the connection (RFC 1122, 4.2.2.13).
    ClosedWhilePeerSent = 27,
    /// A request socket ended although the handshake's last ACK had come, since the accept queue was full: it
    /// ran out of SYN-ACKs, or was reset at once (net.ipv4.tcp_abort_on_overflow).
    AcceptQueueFull = 28,
}

impl Ending {
    /// Size of the table.
    pub const COUNT: usize = 32;

    /// All that can end a connection.
    pub const ALL: [Self; 28] = [
        Self::Keepalive,
        Self::KeepaliveUserTimeout,
        Self::Retransmission,
        Self::RetransmissionUserTimeout,
        Self::WindowProbe,
        Self::WindowProbeUserTimeout,
        Self::Connect,
        Self::Accept,
        Self::Orphan,
        Self::OrphanMemory,
        Self::OrphanFinWait2,
        Self::Timer,
        Self::ResetReceived,
        Self::Refused,
        Self::RefusedByIcmp,
        Self::ResetSent,
        Self::Abort,
        Self::ResetSentLive,
        Self::RequestExpired,
        Self::RequestAbandoned,
        Self::Unexplained,
        Self::Unreachable,
        Self::ConnectAbandoned,
        Self::PeerForgot,
        Self::LocalSend,
        Self::LocalSendUserTimeout,
        Self::ClosedWhilePeerSent,
        Self::AcceptQueueFull,
    ];

    /// Those that the kernel counted in `TCPAbortOnTimeout`, a bit each.
    const TIMED_OUT: u32 = 1 << Self::Keepalive as u32
        | 1 << Self::KeepaliveUserTimeout as u32
        | 1 << Self::Retransmission as u32
        | 1 << Self::RetransmissionUserTimeout as u32
        | 1 << Self::WindowProbe as u32
        | 1 << Self::WindowProbeUserTimeout as u32
        | 1 << Self::Connect as u32
        | 1 << Self::Accept as u32
        | 1 << Self::LocalSend as u32
        | 1 << Self::LocalSendUserTimeout as u32
        | 1 << Self::Orphan as u32
        | 1 << Self::Timer as u32;

    /// Whether the kernel counted the ending with this number in `TCPAbortOnTimeout`.
    #[must_use]
    pub const fn timed_out(ending: u8) -> bool {
        Self::TIMED_OUT >> (ending & 31) & 1 != 0
    }
}
