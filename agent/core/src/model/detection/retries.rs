//! Detection by retransmission: the timers of data, FIN, SYN, SYN-ACK and window probes, replayed.
//!
//! Unless said otherwise the functions named are in net/ipv4/tcp_timer.c.
//!
//! # Invariants
//! No timer is assumed shorter than the kernel may use.

use std::time::Duration;

use super::{
    Detection,
    backoff::{RTO_MAX, RTO_MIN, backed_off, probe0_base, window_probe_pause},
    user_timeout,
};
use crate::model::{
    connection::{Connection, Known, Outstanding, Policy, TimerKind},
    liveness::is_orphan,
};

/// TCP_TIMEOUT_INIT (include/net/tcp.h): the first RTO of a handshake.
const TIMEOUT_INIT: Duration = Duration::from_secs(1);

/// tcp_syn_linear_timeouts: that many retransmissions of a SYN come before the RTO doubles, and are
/// not counted against tcp_syn_retries. The default since 6.5; before, there are none.
const SYN_LINEAR_TIMEOUTS: u32 = 4;

/// ilog2(TCP_RTO_MAX / TCP_RTO_MIN), after which tcp_model_timeout() no longer doubles.
const LINEAR_BACKOFF: u32 = (RTO_MAX.as_millis() / RTO_MIN.as_millis()).ilog2();

/// What tcp_orphan_retries() takes 0 for, as long as the RTO is below its maximum.
const ORPHAN_RETRIES: u32 = 8;

/// The kernel counts retries in a byte (`icsk_retransmits`, `icsk_probes_out`).
const MOST_RETRIES: u32 = 255;

/// With data, or a FIN, in flight.
pub(super) fn data(connection: &Connection) -> Known<Detection> {
    let outstanding = connection.outstanding?;
    let rto = rto(connection)?;
    let user_timeout = user_timeout(connection)?;
    let after = if outstanding.packets_out == 0 && outstanding.unsent > 0 {
        window_probes(connection, &outstanding, rto, user_timeout)?
    } else if outstanding.packets_out > 0 && outstanding.send_window == 0 && !is_orphan(connection)
    {
        closed_window(rto, user_timeout)
    } else {
        retransmission(connection, &outstanding, rto, user_timeout)?
    };
    Ok(Detection::Within(after))
}

/// A SYN unanswered: tcp_write_timeout(). TCP_USER_TIMEOUT counts from the SYN here (tcp_connect() in
/// net/ipv4/tcp_output.c sets retrans_stamp). TCP_SYNCNT, a limit of the socket's own, is not known.
pub(super) fn connect(connection: &Connection) -> Known<Detection> {
    let outstanding = connection.outstanding?;
    let first = first_rto(rto(connection)?, outstanding.retransmits, TIMEOUT_INIT);
    let by_user_timeout = user_timeout(connection)?.map(|it| it.max(first));
    let by_count = policy(connection).map(|policy| {
        let linear = first.saturating_mul(SYN_LINEAR_TIMEOUTS);
        linear.saturating_add(doubling(first, policy.syn_retries))
    });
    sooner(by_user_timeout, by_count).map(Detection::Within)
}

/// A SYN-ACK unanswered: reqsk_timer_handler() in net/ipv4/inet_connection_sock.c, to which keepalive
/// and TCP_USER_TIMEOUT are nothing. A socket with an RTO of its own is a child of TCP Fast Open,
/// which has one retry more: tcp_fastopen_synack_timer(). TCP_DEFER_ACCEPT may prolong it.
pub(super) fn accept(connection: &Connection) -> Known<Detection> {
    let fast_open = u32::from(connection.rto.is_ok());
    let retries = policy(connection)?.synack_retries.saturating_add(fast_open);
    Ok(Detection::Within(doubling(TIMEOUT_INIT, retries)))
}

/// tcp_retransmit_timer() and tcp_write_timeout(). First comes a tail-loss probe, one RTO at most
/// after the data (tcp_schedule_loss_probe() in net/ipv4/tcp_output.c), and one RTO later the first
/// timeout, from which retransmits_timed_out() counts (retrans_stamp). The connection dies at the
/// first timeout that finds the limit reached; TCP_USER_TIMEOUT is that limit, if set, and makes the
/// timer fire when it is (tcp_clamp_rto_to_user_timeout()).
fn retransmission(
    connection: &Connection,
    outstanding: &Outstanding,
    rto: Duration,
    user_timeout: Option<Duration>,
) -> Known<Duration> {
    // __tcp_set_rto() (include/net/tcp.h): the round trip, and a deviation of TCP_RTO_MIN or more.
    let floor = RTO_MIN.saturating_add(connection.rtt.unwrap_or_default());
    let rto = first_rto(rto, outstanding.retransmits, floor);
    let first_timeout = rto.saturating_mul(2);
    if let Some(user_timeout) = user_timeout {
        return Ok(first_timeout.saturating_add(user_timeout));
    }
    let policy = policy(connection)?;
    let boundary = if is_orphan(connection) {
        // Once the RTO is at its maximum 0 means 0, but by then the limit for 8 has passed as well.
        orphan_retries(policy, true)
    } else {
        policy.retries2
    };
    let limit = model_timeout(boundary);
    let mut backoff = 1;
    let mut elapsed = backed_off(rto, backoff);
    while elapsed < limit {
        backoff += 1;
        elapsed = elapsed.saturating_add(backed_off(rto, backoff));
    }
    Ok(first_timeout.saturating_add(elapsed))
}

/// tcp_model_timeout(): as long as that many retransmissions would take from an RTO of TCP_RTO_MIN.
fn model_timeout(boundary: u32) -> Duration {
    let boundary = boundary.min(MOST_RETRIES);
    let doublings = boundary.min(LINEAR_BACKOFF);
    let doubled = RTO_MIN.saturating_mul((2 << doublings) - 1);
    doubled.saturating_add(RTO_MAX.saturating_mul(boundary - doublings))
}

/// tcp_rtx_probe0_timed_out(): the peer has closed its window on data in flight. Dead at the first
/// timeout more than twice TCP_RTO_MAX after it was last heard, or TCP_USER_TIMEOUT after the first
/// timeout (the branch `!tp->snd_wnd` of tcp_retransmit_timer(); stable kernels since July 2024).
fn closed_window(rto: Duration, user_timeout: Option<Duration>) -> Duration {
    let mut backoff = 0;
    let mut after = backed_off(rto, backoff);
    while after <= RTO_MAX.saturating_mul(2) {
        backoff += 1;
        after = after.saturating_add(backed_off(rto, backoff));
    }
    user_timeout.map_or(after, |it| after.min(rto.saturating_add(it)))
}

/// tcp_probe_timer(): a closed window. Dead at the first firing with as many probes out as may be,
/// or TCP_USER_TIMEOUT after the first firing since the window closed
/// (tcp_clamp_probe0_to_user_timeout()), even if the peer answers.
fn window_probes(
    connection: &Connection,
    outstanding: &Outstanding,
    rto: Duration,
    user_timeout: Option<Duration>,
) -> Known<Duration> {
    let by_user_timeout = user_timeout.map(|it| probe0_base(rto).saturating_add(it));
    let by_count = policy(connection).map(|policy| {
        // A living peer's answers reset the number of probes, not the back-off, which goes on to
        // rise to tcp_retries2 (tcp_send_probe0() in net/ipv4/tcp_output.c).
        let most = policy.retries2.min(MOST_RETRIES);
        let mut backoff = window_backoff(connection, outstanding, rto, most);
        let mut after = window_probe_pause(rto, backoff);
        let mut sent = 0;
        while !gives_up(connection, policy, rto, backoff, sent) {
            sent += 1;
            backoff = (backoff + 1).min(most);
            after = after.saturating_add(window_probe_pause(rto, backoff));
        }
        after
    });
    sooner(by_user_timeout, by_count)
}

/// Whether tcp_probe_timer() gives up, with so many probes out.
fn gives_up(
    connection: &Connection,
    policy: &Policy,
    rto: Duration,
    backoff: u32,
    sent: u32,
) -> bool {
    let alive = backed_off(rto, backoff) < RTO_MAX;
    let most = if is_orphan(connection) {
        orphan_retries(policy, alive)
    } else {
        policy.retries2
    };
    let most = most.min(MOST_RETRIES);
    sent >= most || (is_orphan(connection) && !alive && backoff >= most)
}

/// The back-off of the window probes now (`icsk_backoff`): from the timer that runs, which was set
/// when the peer was last heard, or when the latest probe was sent if that is unanswered; the
/// highest there is, if that cannot be determined.
fn window_backoff(
    connection: &Connection,
    outstanding: &Outstanding,
    rto: Duration,
    most: u32,
) -> u32 {
    let since = if outstanding.probes > 0 {
        outstanding.latest_probe
    } else {
        connection.last_ack.ok()
    };
    match (connection.timer, since) {
        (Ok(Some(timer)), Some(since)) if timer.kind == TimerKind::Persist => {
            let timer = timer.left.saturating_add(since);
            // Readings are a jiffy or two off.
            (0..most)
                .find(|backoff| window_probe_pause(rto, *backoff) >= timer / 16 * 15)
                .unwrap_or(most)
        }
        _ => most,
    }
}

/// tcp_orphan_retries(). An ICMP error, which may make it give up at once, is not known here.
const fn orphan_retries(policy: &Policy, alive: bool) -> u32 {
    if policy.orphan_retries == 0 && alive {
        ORPHAN_RETRIES
    } else {
        policy.orphan_retries
    }
}

/// The connection's RTO, back-off included; a jiffy at least, at the highest HZ there is.
fn rto(connection: &Connection) -> Known<Duration> {
    connection.rto.map(|rto| rto.max(Duration::from_millis(1)))
}

/// The RTO before so many timeouts doubled it. It is no shorter than `floor` then: at TCP_RTO_MAX it
/// has stopped doubling.
fn first_rto(rto: Duration, timeouts: u32, floor: Duration) -> Duration {
    if timeouts == 0 {
        rto
    } else {
        (rto / 2_u32.saturating_pow(timeouts)).max(floor)
    }
}

/// When an RTO that doubles each time has run out after so many retries.
fn doubling(first: Duration, retries: u32) -> Duration {
    (0..=retries.min(MOST_RETRIES))
        .map(|times| backed_off(first, times))
        .fold(Duration::ZERO, Duration::saturating_add)
}

/// The sooner of the two; a bound that is known holds, whatever the other is.
fn sooner(by_user_timeout: Option<Duration>, by_count: Known<Duration>) -> Known<Duration> {
    match (by_user_timeout, by_count) {
        (Some(user_timeout), Ok(count)) => Ok(user_timeout.min(count)),
        (Some(user_timeout), Err(_)) => Ok(user_timeout),
        (None, by_count) => by_count,
    }
}

pub(super) fn policy(connection: &Connection) -> Known<&Policy> {
    match &connection.policy {
        Ok(policy) => Ok(policy),
        Err(unknown) => Err(*unknown),
    }
}
