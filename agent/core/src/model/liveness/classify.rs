//! The verdict: first what the state alone tells, then what stays unanswered, then silence.
//!
//! # Invariants
//! What is unknown is neither an answer nor silence.

use super::{
    Guard, Liveness, Thresholds, Verdict, accept, certain, half_closed, is_orphan, quiet,
    span::Span,
    unanswered::unanswered,
    uncertain,
    words::{count, heard, silence},
};
use crate::model::connection::{Acceptance, Connection, State};

/// Classifies one connection.
#[must_use]
pub fn classify(connection: &Connection, thresholds: &Thresholds) -> Verdict {
    match connection.state {
        State::Listen => certain(Liveness::Listening, accept::listener(connection)),
        State::Close => certain(Liveness::Closing, "closed"),
        State::TimeWait => certain(
            Liveness::Closing,
            format!("TIME_WAIT{}", its_end(connection)),
        ),
        State::SynSent | State::SynRecv => certain(Liveness::Embryonic, handshake(connection)),
        _ if is_orphan(connection) => certain(orphaned(connection), orphan(connection)),
        _ if connection.acceptance == Ok(Acceptance::Queued) => {
            held(connection, unaccepted(connection))
        }
        State::Established => held(connection, established(connection, thresholds)),
        State::CloseWait => held(connection, half_closed::close_wait(connection, thresholds)),
        State::FinWait2 => held(connection, half_closed::fin_wait2(connection, thresholds)),
        State::FinWait1 | State::Closing | State::LastAck => held(
            connection,
            certain(
                Liveness::Closing,
                format!(
                    "{}: the peer has not confirmed the end yet",
                    name(connection)
                ),
            ),
        ),
    }
}

/// What is unanswered outweighs what the state and silence tell of a connection that an application
/// holds.
fn held(connection: &Connection, settled: Verdict) -> Verdict {
    let verdict = match connection.outstanding {
        Ok(outstanding) => unanswered(connection, &outstanding)
            .map_or(settled, |(liveness, why)| certain(liveness, why)),
        Err(unknown) => Verdict {
            unknown: Some(unknown),
            ..settled
        },
    };
    half_closed::with_unread(verdict, connection)
}

fn established(connection: &Connection, thresholds: &Thresholds) -> Verdict {
    // With data under way another timer runs, which finds a dead peer.
    if connection
        .outstanding
        .is_ok_and(|it| it.packets_out > 0 || it.unsent > 0)
    {
        let why = format!("data under way, {}", heard(connection));
        return certain(Liveness::Healthy, why);
    }
    let age = match quiet(connection, thresholds.idle) {
        Ok(Some(age)) => Span(age),
        Ok(None) => return certain(Liveness::Healthy, heard(connection)),
        Err(unknown) => {
            let why = format!("since when it is idle is unknown: {unknown}");
            return uncertain(Liveness::Healthy, why, unknown);
        }
    };
    match connection.keepalive {
        Ok(keepalive) if keepalive.is_on() => certain(
            Liveness::Idle(Guard::Keepalive),
            format!("idle for {age}, keepalive on"),
        ),
        Ok(_) => {
            let why = format!("idle for {age}, no keepalive: a dead peer would never be found");
            certain(Liveness::Idle(Guard::None), why)
        }
        Err(unknown) => {
            let why = format!("idle for {age}, whether keepalive is on is unknown: {unknown}");
            uncertain(Liveness::Idle(Guard::Unknown), why, unknown)
        }
    }
}

/// Data that the peer sends before is kept, its end as well.
fn unaccepted(connection: &Connection) -> Verdict {
    let why = accept::unaccepted(connection);
    match connection.last_sent {
        Ok(_) => certain(Liveness::Unaccepted, why),
        Err(unknown) => uncertain(Liveness::Unaccepted, why, unknown),
    }
}

fn handshake(connection: &Connection) -> String {
    let times = connection.outstanding.map(|it| it.retransmits);
    match (connection.state, times) {
        (State::SynSent, Ok(0)) => "SYN sent, no answer yet".to_owned(),
        (State::SynSent, Ok(times)) => {
            format!("no answer to its SYN, resent {}", count(times, "time"))
        }
        (State::SynSent, Err(_)) => "no answer to its SYN".to_owned(),
        (_, Ok(times)) => format!(
            "{}, {} resent",
            accept::handshake(connection),
            count(times, "SYN-ACK")
        ),
        (_, Err(_)) => accept::handshake(connection),
    }
}

/// In FIN_WAIT2 the peer has confirmed the end, and a timer ends it within tcp_fin_timeout: that is good order.
const fn orphaned(connection: &Connection) -> Liveness {
    match (connection.state, connection.timer) {
        (State::FinWait2, Ok(Some(_)) | Err(_)) => Liveness::Closing,
        _ => Liveness::Orphan,
    }
}

fn orphan(connection: &Connection) -> String {
    let closed = format!("{}, closed by its application", name(connection));
    let (times, probes, data_waits) = connection.outstanding.map_or((0, 0, false), |it| {
        (
            it.retransmits,
            it.probes,
            it.packets_out == 0 && it.unsent > 0,
        )
    });
    let silence = silence(connection);
    if connection.state == State::FinWait2 {
        format!("{closed}{}", its_end(connection))
    } else if data_waits && probes > 0 {
        format!(
            "{closed}; {} unanswered{silence}",
            count(probes, "window probe")
        )
    } else if times > 0 {
        format!(
            "{closed}; {} unanswered{silence}",
            count(times, "retransmission")
        )
    } else {
        format!("{closed}; the peer has not confirmed the end yet")
    }
}

fn its_end(connection: &Connection) -> String {
    match connection.timer {
        Ok(Some(timer)) => format!("; the kernel ends it in {}", Span(timer.left)),
        Ok(None) | Err(_) => String::new(),
    }
}

fn name(connection: &Connection) -> String {
    connection.state.as_str().to_ascii_uppercase()
}
