//! Why a reset was sent, in words: the kernel's names (enum sk_rst_reason, include/net/rstreason.h) tell where in its
//! code, which is nothing that an application did.

use super::form::Form;

/// What happened; `None` where the kernel's name says it, or says nothing.
pub fn words(form: &Form) -> Option<&'static str> {
    Some(match form.reason.as_deref()? {
        "tcp_abort_on_close" => "closed with unread data",
        "tcp_abort_on_data" => "data came after our close",
        "tcp_abort_on_linger" => "closed with TCP_LINGER2 below 0",
        "tcp_abort_on_memory" => "out of TCP memory, or too many orphans",
        "tcp_disconnect_with_data" => "discarded with unsent data",
        "tcp_state" => of_state(form)?,
        "tcp_timewait_socket" => "a segment came for a TIME_WAIT",
        "tcp_flags" => "a segment came that fits no connection",
        "tcp_listen_overflow" => "accept queue full",
        "invalid_syn" => "a SYN came inside a connection",
        "netfilter" => "by a firewall rule of this host",
        _ => return None,
    })
}

/// The kernel gives one reason for tcp_disconnect(), tcp_abort() (net/ipv4/tcp.c), by which `ss -K` ends a connection,
/// and the timer of an orphan in FIN_WAIT2 (net/ipv4/tcp_timer.c). A death has a cause that tells them apart; the event
/// of the reset comes before it, and has not.
fn of_state(form: &Form) -> Option<&'static str> {
    match form.cause.as_deref() {
        Some("reset_sent") => Some(discarded(form)),
        Some(_) => None,
        None if form.orphaned => None,
        None => Some("discarded: SO_LINGER 0, its listener closed, or ss -K"),
    }
}

/// tcp_disconnect() (net/ipv4/tcp.c): close() with SO_LINGER 0 calls it, and so does the close of a listener for each
/// connection that was not accepted (inet_child_forget() in net/ipv4/inet_connection_sock.c), on which nobody can have
/// sent. close() with unread data has a reason of its own, before SO_LINGER is looked at.
fn discarded(form: &Form) -> &'static str {
    const LINGER: &str = "discarded by its application, as with SO_LINGER 0";
    match (&*form.direction, form.sent_bytes, form.unread_bytes) {
        ("outbound", ..) | (_, Some(1..), _) => LINGER,
        (_, _, Some(1..)) => "its listener was closed before it was accepted",
        _ => "SO_LINGER 0, or its listener was closed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        connection::{CarriedBytes, Direction, State},
        death::{Cause, Path},
        event::{Death, Event, EventKind, QueuedBytes, fixture},
    };

    fn of_event(kind: EventKind, change: impl FnOnce(&mut Event)) -> Option<&'static str> {
        let mut event = fixture::death();
        event.kind = kind;
        change(&mut event);
        words(&Form::new(&event, None))
    }

    fn died(cause: Cause, path: Path) -> EventKind {
        EventKind::Death(Death {
            cause,
            path,
            reset_reason: Some("tcp_state".into()),
            inferred: false,
            idle_before_close: None,
        })
    }

    #[test]
    fn a_discarded_connection_tells_who_discarded_it() {
        let check = |direction, sent, unread, expected: &str| {
            let words = of_event(died(Cause::ResetSent, Path::ResetSent), |it| {
                it.connection.direction = direction;
                it.connection.carried = Ok(CarriedBytes { sent, received: 9 });
                it.held = Ok(QueuedBytes {
                    unacknowledged: 0,
                    unread,
                });
            });
            assert!(words.unwrap().contains(expected), "{words:?}");
        };
        check(Direction::Outbound, 0, 0, "SO_LINGER 0");
        check(Direction::Inbound, 5, 0, "by its application");
        check(Direction::Inbound, 0, 9, "listener was closed before");
        check(Direction::Inbound, 0, 0, "SO_LINGER 0, or its listener");
    }

    /// The event of a reset comes before what tells `ss -K` from a close.
    #[test]
    fn an_event_names_no_culprit() {
        let reset = || EventKind::ResetSent("tcp_state".into());
        let words = of_event(reset(), |_| {});
        assert!(words.unwrap().contains("or ss -K"), "{words:?}");
        let ended = of_event(reset(), |it| {
            it.connection.state = State::FinWait2;
            it.connection.orphaned = true;
        });
        assert_eq!(ended, None);
        assert_eq!(
            of_event(died(Cause::Administrative, Path::Abort), |_| {}),
            None
        );
    }

    #[test]
    fn what_needs_no_words_has_none() {
        for reason in ["tcp_keepalive_timeout", "unknown", "not_specified"] {
            assert_eq!(of_event(EventKind::ResetSent(reason.into()), |_| {}), None);
        }
        assert_eq!(of_event(EventKind::ResetReceived, |_| {}), None);
    }
}
