//! The cause of a death, from the code path that ended the connection.
//! It must never look at errno: `sk_err` may be an ICMP error or have been read already.

use halfopen_common::Ending;

use super::snapshot::Cause;

/// Names the cause.
#[must_use]
pub const fn cause(ending: Ending) -> Option<Cause> {
    Some(match ending {
        Ending::None => return None,
        Ending::Keepalive => Cause::Keepalive,
        Ending::KeepaliveUserTimeout
        | Ending::RetransmissionUserTimeout
        | Ending::WindowProbeUserTimeout => Cause::UserTimeout,
        // A Fast Open child that never gets past its SYN-ACK retransmits it.
        Ending::Retransmission | Ending::Accept => Cause::Retransmission,
        Ending::WindowProbe => Cause::WindowProbe,
        Ending::Connect => Cause::ConnectTimeout,
        Ending::Orphan | Ending::OrphanMemory | Ending::OrphanFinWait2 => Cause::Orphan,
        Ending::ResetReceived => Cause::ResetReceived,
        // ICMP says that the host, the port or the way there is closed.
        Ending::Refused | Ending::ConnectError => Cause::Refused,
        Ending::ResetSent | Ending::ResetSentLive => Cause::ResetSent,
        Ending::Abort => Cause::Administrative,
        Ending::Timer => Cause::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_a_cause() {
        for ending in Ending::ALL {
            assert!(cause(ending).is_some(), "{ending:?}");
        }
        assert_eq!(cause(Ending::None), None);
    }

    #[test]
    fn endings_are_numbered_as_listed() {
        for (index, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(ending as usize, index + 1, "{ending:?}");
        }
    }
}
