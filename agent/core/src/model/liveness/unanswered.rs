//! What stays unanswered: keepalive probes, window probes, retransmissions. One timer serves data in flight and
//! window probes, and keepalive is silent while either is outstanding (tcp_keepalive_timer() in
//! net/ipv4/tcp_timer.c), so one of them at most applies.
//!
//! # Invariants
//! A peer that was heard since is no suspect. Moments that the kernel's clock cannot tell apart count as heard.

use std::time::Duration;

use halfopen_common::grace;

use super::{
    Evidence, Liveness,
    words::{count, heard, silence},
};
use crate::model::{
    connection::{Connection, Known, Outstanding, TimerKind},
    detection::{RTO_MIN, window_probe_pause},
};

/// The longest jiffy that Linux has (HZ=100): times this close cannot be distinguished.
const JIFFY: Duration = Duration::from_millis(10);

/// Data that could not be sent this often was not dropped by a queue that was full for a moment.
const SENDS_BEYOND_DOUBT: u32 = 2;

/// The answer to a keepalive probe may take this long: else each healthy connection would be a suspect for a
/// round trip after each probe.
fn keepalive_grace(connection: &Connection) -> Duration {
    Duration::from_nanos(grace::KEEPALIVE_NS).max(connection.rto.unwrap_or_default())
}

/// The same for a window probe.
fn window_probe_grace(connection: &Connection) -> Duration {
    Duration::from_nanos(grace::WINDOW_PROBE_NS) + connection.rto.unwrap_or_default()
}

/// What the unanswered makes of a connection, and why; `None` if nothing.
pub(super) fn unanswered(
    connection: &Connection,
    outstanding: &Outstanding,
) -> Option<(Liveness, String)> {
    if outstanding.packets_out > 0 && outstanding.send_window > 0 {
        retransmissions(connection, outstanding)
    } else if outstanding.packets_out > 0 {
        Some(closed_window(connection, outstanding))
    } else if outstanding.waits_to_be_sent() {
        failed_sends(connection, outstanding)
    } else if outstanding.unsent > 0 {
        Some(window_probes(connection, outstanding))
    } else {
        keepalive_probes(connection, outstanding)
    }
}

/// A suspect by three timeouts in a row without a segment of the peer; stalled if it was heard, yet acknowledged
/// nothing.
fn retransmissions(
    connection: &Connection,
    outstanding: &Outstanding,
) -> Option<(Liveness, String)> {
    let times = outstanding.retransmits;
    if times < grace::RETRANSMISSIONS {
        return None;
    }
    let retransmissions = count(times, "retransmission");
    if timeouts_unheard(connection, times).is_ok_and(|unheard| unheard < grace::RETRANSMISSIONS) {
        let why = format!(
            "{retransmissions} not acknowledged though the peer is there, {}: segments are lost on the way (MTU, one-way path)",
            heard(connection)
        );
        return Some((Liveness::Stalled, why));
    }
    let why = format!("{retransmissions} unanswered{}", silence(connection));
    Some((Liveness::Suspect(Evidence::Retransmission), why))
}

/// Against a closed window the retransmission timer probes it: any ACK is an answer, and `icsk_retransmits` stays
/// as it was (the branch `!tp->snd_wnd` of tcp_retransmit_timer()). The back-off counts the timeouts, before Linux 6.5
/// only the RTO does.
fn closed_window(connection: &Connection, outstanding: &Outstanding) -> (Liveness, String) {
    let first = first_rto(connection);
    let doublings = connection
        .rto
        .ok()
        .and_then(|rto| u32::try_from(rto.as_micros() / first.as_micros()).ok())
        .and_then(u32::checked_ilog2)
        .unwrap_or_default();
    let times = outstanding
        .backoff
        .max(outstanding.retransmits)
        .max(doublings);
    let unheard = timeouts_unheard(connection, times).unwrap_or(outstanding.retransmits);
    let retransmissions = || count(unheard, "retransmission");
    if unheard >= grace::RETRANSMISSIONS {
        let why = format!(
            "zero window, {} unanswered{}",
            retransmissions(),
            silence(connection)
        );
        (Liveness::Suspect(Evidence::WindowProbe), why)
    } else if unheard > 0 {
        let why = format!(
            "zero window, {} unanswered, {}",
            retransmissions(),
            heard(connection)
        );
        (Liveness::ZeroWindow, why)
    } else {
        zero_window(connection)
    }
}

/// The least that the RTO was before the first timeout: TCP_RTO_MIN and the round trip (__tcp_set_rto() in
/// include/net/tcp.h).
fn first_rto(connection: &Connection) -> Duration {
    RTO_MIN + connection.rtt.unwrap_or_default()
}

/// How many of the latest retransmission timeouts, of this many in a row, came after the peer was last heard. Each
/// has doubled the RTO, so that the one before the latest came half an RTO before it; at its longest it began no
/// shorter than TCP_RTO_MIN and the round trip.
///
/// # Errors
/// When the peer's silence is unknown, or when the latest timeout came.
fn timeouts_unheard(connection: &Connection, times: u32) -> Known<u32> {
    let silence = connection.silence()?;
    let rto = connection.rto?;
    let limits = connection.limits.unwrap_or_default();
    let first = first_rto(connection);
    // At its longest the RTO may have stopped doubling long ago, or just now.
    let pause = |back: u32| match 2_u32.checked_pow(back) {
        Some(factor) if rto < limits.rto_max => rto / factor,
        _ => first
            .saturating_mul(2_u32.saturating_pow(times - back))
            .min(limits.rto_max),
    };
    let mut age = since_timeout(connection, rto)?;
    let mut unheard = 0;
    while unheard < times && silence > age + JIFFY {
        unheard += 1;
        age += pause(unheard);
    }
    Ok(unheard)
}

/// Since the latest retransmission timeout: from the timer, which it has set to the RTO; where TCP_USER_TIMEOUT may
/// have cut that short (tcp_clamp_rto_to_user_timeout()), since data was last sent, if that is sooner.
fn since_timeout(connection: &Connection, rto: Duration) -> Known<Duration> {
    let by_timer = connection.timer.map(|timer| {
        timer
            .filter(|timer| timer.kind == TimerKind::Retransmission)
            .map(|timer| rto.saturating_sub(timer.left))
    });
    match (by_timer, connection.last_sent) {
        (Ok(Some(timer)), Ok(sent)) => Ok(timer.min(sent)),
        (Ok(Some(timer)), Err(_)) => Ok(timer),
        (_, sent) => sent,
    }
}

/// The back-off counts them all; an ACK of the peer's resets the number of probes alone (tcp_ack() in
/// net/ipv4/tcp_input.c).
fn failed_sends(connection: &Connection, outstanding: &Outstanding) -> Option<(Liveness, String)> {
    let times = outstanding.backoff.max(outstanding.probes);
    if times < SENDS_BEYOND_DOUBT {
        return None;
    }
    let why = format!(
        "data could not be sent {}: this host drops it or has no route",
        count(times, "time")
    );
    let is_heard = match (outstanding.probing_for, connection.silence()) {
        (Some(since), Ok(silence)) => silence < since,
        _ => false,
    };
    Some(if is_heard {
        (Liveness::Stalled, format!("{why}, {}", heard(connection)))
    } else {
        (Liveness::Suspect(Evidence::LocalSendFailure), why)
    })
}

fn window_probes(connection: &Connection, outstanding: &Outstanding) -> (Liveness, String) {
    let probes = || count(outstanding.probes, "window probe");
    let first = match (outstanding.probes, outstanding.latest_probe) {
        (0, _) | (1, None) => return zero_window(connection),
        // Several are out, since when is unknown: the first of them is old enough.
        (_, None) => Duration::MAX,
        (probes, Some(latest)) => {
            let rto = connection.rto.unwrap_or_default();
            let rto_max = connection.limits.unwrap_or_default().rto_max;
            let backoff = outstanding.backoff;
            (1..probes)
                .map(|back| window_probe_pause(rto, backoff.saturating_sub(back), rto_max))
                .fold(latest, Duration::saturating_add)
        }
    };
    if first < window_probe_grace(connection) {
        return zero_window(connection);
    }
    unless_heard(
        connection,
        first,
        Evidence::WindowProbe,
        format!("{} unanswered", probes()),
    )
}

/// A suspect, unless the peer was heard since the first unanswered probe, which is this old.
fn unless_heard(
    connection: &Connection,
    first: Duration,
    evidence: Evidence,
    unanswered: String,
) -> (Liveness, String) {
    if first < Duration::MAX && connection.silence().is_ok_and(|silence| silence <= first) {
        let why = format!(
            "{unanswered} though the peer is there, {}: segments are lost on the way (one-way path)",
            heard(connection)
        );
        return (Liveness::Stalled, why);
    }
    let why = format!("{unanswered}{}", silence(connection));
    (Liveness::Suspect(evidence), why)
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
    if !on || outstanding.probes == 0 {
        return None;
    }
    let first = first_keepalive_probe(connection, outstanding);
    if first.is_some_and(|first| first < keepalive_grace(connection)) {
        return None;
    }
    let probes = count(outstanding.probes, "keepalive probe");
    let since = match (outstanding.probes, outstanding.latest_probe) {
        (1, None) => " (since when is unknown)",
        _ => "",
    };
    Some(unless_heard(
        connection,
        first.unwrap_or(Duration::MAX),
        Evidence::Keepalive,
        format!("{probes} unanswered{since}"),
    ))
}

/// The age of the first unanswered keepalive probe: they are an interval apart, and the first was sent when nothing
/// acceptable had come for the idle time.
fn first_keepalive_probe(connection: &Connection, outstanding: &Outstanding) -> Option<Duration> {
    let latest = outstanding.latest_probe?;
    let Ok(keepalive) = connection.keepalive else {
        return Some(latest);
    };
    let before = keepalive.interval.saturating_mul(outstanding.probes - 1);
    let first = latest.saturating_add(before);
    Some(match connection.acceptable_silence() {
        Ok(silence) => first
            .min(silence.saturating_sub(keepalive.idle))
            .max(latest),
        Err(_) => latest,
    })
}
