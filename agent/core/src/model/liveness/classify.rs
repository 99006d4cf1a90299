//! The verdict: first what the state alone tells, then what stays unanswered, then silence.
//!
//! # Invariants
//! What is unknown is neither an answer nor silence.

use std::time::Duration;

use super::{
    Evidence, FIRST_WINDOW_PROBE_GRACE, Guard, KEEPALIVE_GRACE, Liveness, SENDS_BEYOND_DOUBT,
    Thresholds, Verdict, WINDOW_PROBE_GRACE, WINDOW_PROBES_BEYOND_DOUBT, accept, is_orphan,
    span::Span,
};
use crate::model::connection::{
    Acceptance, Connection, Keepalive, Known, Outstanding, State, TimerKind, Unknown,
};

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
        _ if is_orphan(connection) => certain(Liveness::Orphan, orphan(connection)),
        _ if connection.acceptance == Ok(Acceptance::Queued) => {
            held(connection, unaccepted(connection))
        }
        State::Established => held(connection, established(connection, thresholds)),
        State::CloseWait => held(connection, close_wait(connection, thresholds)),
        State::FinWait2 => held(
            connection,
            certain(
                Liveness::HalfClosed,
                "FIN_WAIT2, held by its application: waits for the peer's end without limit",
            ),
        ),
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
    match connection.outstanding {
        Ok(outstanding) => unanswered(connection, &outstanding)
            .map_or(settled, |(liveness, why)| certain(liveness, why)),
        Err(unknown) => Verdict {
            unknown: Some(unknown),
            ..settled
        },
    }
}

/// The taxonomy of half-open connections. One timer serves data in flight and window probes, and
/// keepalive is silent while either is outstanding (tcp_keepalive_timer() in net/ipv4/tcp_timer.c),
/// so one of them at most applies.
fn unanswered(connection: &Connection, outstanding: &Outstanding) -> Option<(Liveness, String)> {
    if outstanding.packets_out > 0 {
        retransmissions(connection, outstanding)
    } else if outstanding.waits_to_be_sent() {
        failed_sends(outstanding)
    } else if outstanding.unsent > 0 {
        Some(window_probes(connection, outstanding))
    } else {
        keepalive_probes(connection, outstanding)
    }
}

fn retransmissions(
    connection: &Connection,
    outstanding: &Outstanding,
) -> Option<(Liveness, String)> {
    let times = outstanding.retransmits;
    let silence = silence(connection);
    if outstanding.send_window > 0 {
        let why = || format!("{} unanswered{silence}", count(times, "retransmission"));
        return (times > 0).then(|| (Liveness::Suspect(Evidence::Retransmission), why()));
    }
    // Against a closed window the RTO probes it, and leaves icsk_retransmits alone: the branch
    // `!tp->snd_wnd` of tcp_retransmit_timer(). Those counted came before the window closed.
    let answered = latest_timeout_answered(connection);
    if answered.unwrap_or(times == 0) {
        return Some(zero_window(connection));
    }
    let why = format!("zero window, retransmissions unanswered{silence}");
    Some((Liveness::Suspect(Evidence::WindowProbe), why))
}

/// Whether the peer was heard since the latest retransmission timeout; `None` if that cannot be determined,
/// or not yet.
fn latest_timeout_answered(connection: &Connection) -> Option<bool> {
    let timer = connection.timer.ok()??;
    // TCP_USER_TIMEOUT may cut the timer short (tcp_clamp_rto_to_user_timeout()): when it was armed
    // cannot be determined then.
    if timer.kind != TimerKind::Retransmission || connection.user_timeout != Ok(None) {
        return None;
    }
    let rto = connection.rto.ok()?;
    let silence = connection.silence().ok()?;
    let since_timeout = rto.saturating_sub(timer.left);
    if silence < since_timeout {
        Some(true)
    } else if since_timeout >= WINDOW_PROBE_GRACE || silence >= since_timeout + rto / 2 {
        // The RTO has doubled at the latest timeout, so the one before it was half an RTO earlier.
        Some(false)
    } else {
        None
    }
}

fn failed_sends(outstanding: &Outstanding) -> Option<(Liveness, String)> {
    let times = count(outstanding.probes, "time");
    let why = format!("data could not be sent {times}: this host drops it or has no route");
    (outstanding.probes >= SENDS_BEYOND_DOUBT)
        .then_some((Liveness::Suspect(Evidence::LocalSendFailure), why))
}

fn window_probes(connection: &Connection, outstanding: &Outstanding) -> (Liveness, String) {
    let due = match (outstanding.probes, outstanding.latest_probe) {
        (0, _) | (1, None) => false,
        (1, Some(age)) => age >= FIRST_WINDOW_PROBE_GRACE,
        (WINDOW_PROBES_BEYOND_DOUBT.., _) | (_, None) => true,
        (_, Some(age)) => age >= WINDOW_PROBE_GRACE,
    };
    if due {
        let probes = count(outstanding.probes, "window probe");
        let why = format!("{probes} unanswered{}", silence(connection));
        (Liveness::Suspect(Evidence::WindowProbe), why)
    } else {
        zero_window(connection)
    }
}

fn zero_window(connection: &Connection) -> (Liveness, String) {
    let why = format!("zero window with a living peer, {}", heard(connection));
    (Liveness::ZeroWindow, why)
}

fn keepalive_probes(
    connection: &Connection,
    outstanding: &Outstanding,
) -> Option<(Liveness, String)> {
    // With nothing to send, icsk_probes_out counts keepalive probes: where it is not known whether
    // keepalive is on, they tell that it was.
    let on = connection
        .keepalive
        .is_ok_and(|keepalive| keepalive.is_on())
        || connection.keepalive.is_err();
    let due = match outstanding.latest_probe {
        Some(age) => {
            age >= KEEPALIVE_GRACE
                || (outstanding.probes > 1 && first_probe_is_unanswered(connection))
        }
        None => true,
    };
    (on && outstanding.probes > 0 && due).then(|| {
        let probes = count(outstanding.probes, "keepalive probe");
        let since = match (outstanding.probes, outstanding.latest_probe) {
            (1, None) => " (since when is unknown)",
            _ => "",
        };
        let why = format!("{probes} unanswered{since}{}", silence(connection));
        (Liveness::Suspect(Evidence::Keepalive), why)
    })
}

/// Whether the first of several probes is older than the grace: it was sent when the peer had been
/// silent for the idle time. The latest probe's age alone would make a dead peer's connection look
/// well for a moment after each probe; the number of probes alone may include one that was answered
/// by data, which does not reset it (kernel: header prediction skips tcp_ack()).
fn first_probe_is_unanswered(connection: &Connection) -> bool {
    match (connection.keepalive, connection.silence()) {
        (Ok(Keepalive { idle, .. }), Ok(silence)) => {
            silence.saturating_sub(idle) >= KEEPALIVE_GRACE
        }
        _ => false,
    }
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

fn close_wait(connection: &Connection, thresholds: &Thresholds) -> Verdict {
    match quiet(connection, thresholds.close_wait) {
        Ok(Some(age)) => certain(
            Liveness::StaleCloseWait,
            format!(
                "CLOSE_WAIT, idle for {}: its application has forgotten it",
                Span(age)
            ),
        ),
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

/// How long data has gone neither way, if that is at least `threshold`. One age below it is enough
/// to say no; to say yes takes both.
fn quiet(connection: &Connection, threshold: Duration) -> Known<Option<Duration>> {
    let ages = [connection.last_sent, connection.last_received];
    if ages.into_iter().flatten().any(|age| age < threshold) {
        return Ok(None);
    }
    connection.idle().map(Some)
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

fn silence(connection: &Connection) -> String {
    connection.silence().map_or_else(
        |_| String::new(),
        |silence| format!(", silent for {}", Span(silence)),
    )
}

fn heard(connection: &Connection) -> String {
    match connection.silence() {
        Ok(silence) => format!("heard {} ago", Span(silence)),
        Err(unknown) => format!("when it was last heard is unknown: {unknown}"),
    }
}

fn name(connection: &Connection) -> String {
    connection.state.as_str().to_ascii_uppercase()
}

fn count(number: u32, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn certain(liveness: Liveness, why: impl Into<String>) -> Verdict {
    Verdict {
        liveness,
        why: why.into(),
        unknown: None,
    }
}

fn uncertain(liveness: Liveness, why: impl Into<String>, unknown: Unknown) -> Verdict {
    Verdict {
        unknown: Some(unknown),
        ..certain(liveness, why)
    }
}
