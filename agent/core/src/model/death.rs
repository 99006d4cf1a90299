//! The cause of a death, from the code path that ended the connection.
//!
//! # Invariants
//! errno plays no part but in SYN_SENT, where it is what ICMP said: elsewhere `sk_err` may be an old ICMP
//! error, or have been read already.

pub mod silences;

use halfopen_common::Ending;

/// What killed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Keepalive probes stayed unanswered (TCP_KEEPCNT).
    Keepalive,
    /// TCP_USER_TIMEOUT ran out, on the idle path or with data in flight.
    UserTimeout,
    /// Retransmissions stayed unanswered (tcp_retries2).
    Retransmission,
    /// Zero-window probes stayed unanswered.
    WindowProbe,
    /// Our own host could not send what was written.
    LocalSendFailure,
    /// The SYN stayed unanswered.
    ConnectTimeout,
    /// The peer, or something in its name, reset it.
    ResetReceived,
    /// We reset it: unread data, data after our close, linger 0, no memory; the reason is in `resets_sent`.
    ResetSent,
    /// An orphan, closed by its application, timed out.
    Orphan,
    /// The peer refused the connection: a reset, or ICMP says that the port is unreachable.
    Refused,
    /// The peer cannot be reached: ICMP, of a router or of our own host, ended the connect.
    Unreachable,
    /// The application gave up a connect whose SYNs had stayed unanswered.
    ConnectAbandoned,
    /// Its handshake was complete but for the accept queue, which was full: its own application, not the client,
    /// was too slow.
    AcceptQueueFull,
    /// An administrator killed it (`ss -K`).
    Administrative,
    /// None of the above could be established.
    Unknown,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Keepalive,
        Self::UserTimeout,
        Self::Retransmission,
        Self::WindowProbe,
        Self::LocalSendFailure,
        Self::ConnectTimeout,
        Self::ResetReceived,
        Self::ResetSent,
        Self::Orphan,
        Self::Refused,
        Self::Unreachable,
        Self::ConnectAbandoned,
        Self::AcceptQueueFull,
        Self::Administrative,
        Self::Unknown,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::UserTimeout => "user_timeout",
            Self::Retransmission => "retransmission",
            Self::WindowProbe => "window_probe",
            Self::LocalSendFailure => "local_send_failure",
            Self::ConnectTimeout => "connect_timeout",
            Self::ResetReceived => "reset_received",
            Self::ResetSent => "reset_sent",
            Self::Orphan => "orphan",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectAbandoned => "connect_abandoned",
            Self::AcceptQueueFull => "accept_queue_full",
            Self::Administrative => "administrative",
            Self::Unknown => "unknown",
        }
    }
}

/// On which path of the kernel a connection ended: tells apart what has one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// Its keepalive timer: nothing was in flight.
    Idle,
    /// Its retransmission timer: data was in flight.
    Data,
    /// Its zero-window probe timer.
    ZeroWindow,
    /// The timer of window probes, while the window was open: our host could not send.
    LocalSend,
    /// Before the handshake's end.
    Handshake,
    /// A timer, after its application had closed it.
    Orphan,
    /// A timer, since memory or the number of orphans had run out.
    Memory,
    /// A reset from the peer.
    ResetReceived,
    /// A reset from the peer in answer to a probe: it has forgotten the connection, since it was restarted or
    /// another host took its place.
    PeerForgot,
    /// A reset of ours.
    ResetSent,
    /// A reset of ours in answer to data that came after our close: the peer did not know of it yet.
    ClosedWhilePeerSent,
    /// `tcp_abort`: an administrator.
    Abort,
    /// Its listener was closed before it was accepted.
    ListenerClosed,
    /// None that was seen.
    Unseen,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Idle,
        Self::Data,
        Self::ZeroWindow,
        Self::LocalSend,
        Self::Handshake,
        Self::Orphan,
        Self::Memory,
        Self::ResetReceived,
        Self::PeerForgot,
        Self::ResetSent,
        Self::ClosedWhilePeerSent,
        Self::Abort,
        Self::ListenerClosed,
        Self::Unseen,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Data => "data",
            Self::ZeroWindow => "zero_window",
            Self::LocalSend => "local_send",
            Self::Handshake => "handshake",
            Self::Orphan => "orphan",
            Self::Memory => "memory",
            Self::ResetReceived => "reset_received",
            Self::PeerForgot => "peer_forgot",
            Self::ResetSent => "reset_sent",
            Self::ClosedWhilePeerSent => "closed_while_peer_sent",
            Self::Abort => "abort",
            Self::ListenerClosed => "listener_closed",
            Self::Unseen => "unseen",
        }
    }
}

/// Names the cause.
#[must_use]
pub const fn cause(ending: Ending) -> Option<Cause> {
    Some(match ending {
        Ending::None => return None,
        Ending::Keepalive => Cause::Keepalive,
        Ending::KeepaliveUserTimeout
        | Ending::RetransmissionUserTimeout
        | Ending::WindowProbeUserTimeout
        | Ending::LocalSendUserTimeout => Cause::UserTimeout,
        Ending::LocalSend => Cause::LocalSendFailure,
        Ending::Retransmission => Cause::Retransmission,
        Ending::WindowProbe => Cause::WindowProbe,
        // On the accepting side the SYN-ACK stays unanswered: a request's, or a Fast Open child's.
        Ending::Connect | Ending::Accept | Ending::RequestExpired => Cause::ConnectTimeout,
        Ending::Orphan
        | Ending::OrphanMemory
        | Ending::OrphanFinWait2
        | Ending::RequestAbandoned => Cause::Orphan,
        Ending::ResetReceived | Ending::PeerForgot => Cause::ResetReceived,
        Ending::Refused | Ending::RefusedByIcmp => Cause::Refused,
        Ending::Unreachable => Cause::Unreachable,
        Ending::ConnectAbandoned => Cause::ConnectAbandoned,
        Ending::AcceptQueueFull => Cause::AcceptQueueFull,
        Ending::ResetSent | Ending::ResetSentLive | Ending::ClosedWhilePeerSent => Cause::ResetSent,
        Ending::Abort => Cause::Administrative,
        Ending::Timer | Ending::Unexplained => Cause::Unknown,
    })
}

/// Names the path.
#[must_use]
pub const fn path(ending: Ending) -> Option<Path> {
    Some(match ending {
        Ending::None => return None,
        Ending::Keepalive | Ending::KeepaliveUserTimeout => Path::Idle,
        Ending::Retransmission | Ending::RetransmissionUserTimeout => Path::Data,
        Ending::WindowProbe | Ending::WindowProbeUserTimeout => Path::ZeroWindow,
        Ending::LocalSend | Ending::LocalSendUserTimeout => Path::LocalSend,
        Ending::Connect
        | Ending::Accept
        | Ending::RequestExpired
        | Ending::Refused
        | Ending::RefusedByIcmp
        | Ending::Unreachable
        | Ending::ConnectAbandoned
        | Ending::AcceptQueueFull => Path::Handshake,
        Ending::Orphan | Ending::OrphanFinWait2 => Path::Orphan,
        Ending::OrphanMemory => Path::Memory,
        Ending::ResetReceived => Path::ResetReceived,
        Ending::PeerForgot => Path::PeerForgot,
        Ending::ResetSent | Ending::ResetSentLive => Path::ResetSent,
        Ending::ClosedWhilePeerSent => Path::ClosedWhilePeerSent,
        Ending::Abort => Path::Abort,
        Ending::RequestAbandoned => Path::ListenerClosed,
        Ending::Timer | Ending::Unexplained => Path::Unseen,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_a_cause() {
        for ending in Ending::ALL {
            assert!(cause(ending).is_some(), "{ending:?}");
            assert!(path(ending).is_some(), "{ending:?}");
        }
        assert_eq!((cause(Ending::None), path(Ending::None)), (None, None));
    }

    #[test]
    fn endings_are_listed_in_order() {
        for pair in Ending::ALL.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        let last = Ending::ALL.map(|ending| ending as usize).into_iter().max();
        assert!(last.is_some_and(|last| last < Ending::COUNT));
    }
}
