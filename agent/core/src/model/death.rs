//! The cause of a death, from the code path that ended the connection.
//! It must never look at errno: `sk_err` may be an ICMP error or have been read already.

use halfopen_common::Ending;

use super::{event::Path, snapshot::Cause};

/// Names the cause.
#[must_use]
pub const fn cause(ending: Ending) -> Option<Cause> {
    Some(match ending {
        Ending::None => return None,
        Ending::Keepalive => Cause::Keepalive,
        Ending::KeepaliveUserTimeout
        | Ending::RetransmissionUserTimeout
        | Ending::WindowProbeUserTimeout => Cause::UserTimeout,
        Ending::Retransmission => Cause::Retransmission,
        Ending::WindowProbe => Cause::WindowProbe,
        // On the accepting side the SYN-ACK stays unanswered: a request's, or a Fast Open child's.
        Ending::Connect | Ending::Accept | Ending::RequestExpired => Cause::ConnectTimeout,
        Ending::Orphan
        | Ending::OrphanMemory
        | Ending::OrphanFinWait2
        | Ending::RequestAbandoned => Cause::Orphan,
        Ending::ResetReceived => Cause::ResetReceived,
        // ICMP says that the host, the port or the way there is closed.
        Ending::Refused | Ending::ConnectError => Cause::Refused,
        Ending::ResetSent | Ending::ResetSentLive => Cause::ResetSent,
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
        Ending::Connect
        | Ending::Accept
        | Ending::RequestExpired
        | Ending::Refused
        | Ending::ConnectError => Path::Handshake,
        Ending::Orphan | Ending::OrphanFinWait2 => Path::Orphan,
        Ending::OrphanMemory => Path::Memory,
        Ending::ResetReceived => Path::ResetReceived,
        Ending::ResetSent | Ending::ResetSentLive => Path::ResetSent,
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
    fn endings_are_numbered_as_listed() {
        for (index, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(ending as usize, index + 1, "{ending:?}");
        }
    }
}
