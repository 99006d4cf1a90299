//! Connections of which one side has ended its half, and data that an application leaves unread.

use super::{Liveness, Thresholds, Verdict, certain, quiet, span::Span, uncertain};
use crate::model::connection::{Connection, State};

/// The peer has ended its half, the application has not.
pub fn close_wait(connection: &Connection, thresholds: &Thresholds) -> Verdict {
    match quiet(connection, thresholds.close_wait) {
        Ok(Some(age)) => {
            // Its FIN counts as one until the application has read that it came (tcp_recvmsg_locked() in
            // net/ipv4/tcp.c).
            let fault = match connection.outstanding {
                Ok(outstanding) if outstanding.unread == 1 => "has not read the peer's end",
                _ => "has forgotten it",
            };
            let age = Span(age);
            certain(
                Liveness::StaleCloseWait,
                format!("CLOSE_WAIT, idle for {age}: its application {fault}"),
            )
        }
        Ok(None) => certain(
            Liveness::HalfClosed,
            "CLOSE_WAIT: the peer has ended its half",
        ),
        Err(unknown) => uncertain(
            Liveness::HalfClosed,
            format!("CLOSE_WAIT, since when it is idle is unknown: {unknown}"),
            unknown,
        ),
    }
}

/// The application has ended its half and holds the socket: no timer ends it, but keepalive runs
/// (tcp_keepalive_timer() in net/ipv4/tcp_timer.c).
pub fn fin_wait2(connection: &Connection, thresholds: &Thresholds) -> Verdict {
    const HELD: &str = "FIN_WAIT2, held by its application";
    match quiet(connection, thresholds.close_wait) {
        Ok(Some(age)) => {
            let end = match connection.keepalive {
                Ok(keepalive) if keepalive.is_on() => {
                    "keepalive would end it if the peer is dead".to_owned()
                }
                Ok(_) => "no keepalive: nothing would ever end it".to_owned(),
                Err(unknown) => format!("whether keepalive is on is unknown: {unknown}"),
            };
            let why = format!("{HELD}, idle for {}, {end}", Span(age));
            certain(Liveness::StaleFinWait2, why)
        }
        Ok(None) => certain(
            Liveness::HalfClosed,
            format!("{HELD}: waits for the peer's end without limit"),
        ),
        Err(unknown) => uncertain(
            Liveness::HalfClosed,
            format!("{HELD}, since when it is idle is unknown: {unknown}"),
            unknown,
        ),
    }
}

/// The verdict with what the application has not read: a reader that is stuck looks like a quiet peer otherwise.
pub fn with_unread(mut verdict: Verdict, connection: &Connection) -> Verdict {
    let unread = connection.outstanding.map_or(0, |it| it.unread);
    let data = match connection.state {
        // The peer's FIN, which comes after all data, counts as one.
        State::CloseWait | State::Closing | State::LastAck => unread.saturating_sub(1),
        _ => unread,
    };
    // In the accept queue there is nobody yet who could read.
    if data > 0 && verdict.liveness != Liveness::Unaccepted {
        verdict.why += &format!("; {} unread by its application", bytes(data));
    }
    verdict
}

/// Bytes in the units of SI, rounded down.
fn bytes(bytes: u64) -> String {
    for (unit, size) in [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)] {
        match bytes / size {
            0 => {}
            whole @ 1..10 => return format!("{whole}.{} {unit}", bytes % size * 10 / size),
            whole => return format!("{whole} {unit}"),
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes() {
        for (size, expected) in [
            (1, "1 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_999, "9.9 kB"),
            (127_744, "127 kB"),
            (6_291_456, "6.2 MB"),
            (u64::MAX, "18446744073 GB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }
}
