//! Handshakes: a SYN or a SYN-ACK that nobody answers.
//!
//! # Invariants
//! No timer is assumed shorter than the kernel may use.

use std::time::Duration;

use super::{
    Detection,
    backoff::{MOST_RETRIES, backed_off, model_timeout},
    retransmission::{left, spent, until},
    settings::{policy, rto, rto_max},
    user_timeout,
};
use crate::model::connection::{Connection, Known, Limits};

/// TCP_TIMEOUT_INIT (include/net/tcp.h): the first RTO of a handshake, if it is not above the longest.
const TIMEOUT_INIT: Duration = Duration::from_secs(1);

/// A SYN unanswered: tcp_write_timeout() (net/ipv4/tcp_timer.c), at the first timeout that finds one of two limits
/// reached. The first is a number of retransmissions, the linear ones (tcp_syn_linear_timeouts) added. The other is
/// TCP_USER_TIMEOUT or, without it, as long as tcp_syn_retries retransmissions of an RTO that doubles from the first
/// would take, linear ones or not: retransmits_timed_out(), which counts from the SYN (tcp_connect() in
/// net/ipv4/tcp_output.c sets retrans_stamp).
pub(super) fn connect(connection: &Connection) -> Known<Detection> {
    let outstanding = connection.outstanding?;
    let limits = connection.limits?;
    let (mut rto, rto_max) = (rto(connection)?, rto_max(connection)?);
    let user_timeout = user_timeout(connection)?;
    let (retries, linear) = match (policy(connection), user_timeout) {
        (Ok(policy), _) => {
            let retries = limits.syn_retries.unwrap_or(policy.syn_retries);
            (retries.min(MOST_RETRIES), policy.syn_linear_timeouts)
        }
        // A bound that is known holds, whatever the other is.
        (Err(_), Some(_)) => (MOST_RETRIES, 0),
        (Err(unknown), None) => return Err(unknown),
    };
    let most = retries.saturating_add(linear.min(MOST_RETRIES));
    let initial = TIMEOUT_INIT.min(rto_max);
    let limit = user_timeout.unwrap_or_else(|| model_timeout(retries, initial, rto_max));

    let mut timeouts = outstanding.retransmits;
    let doublings = timeouts.saturating_sub(linear);
    let first = rto / 2_u32.saturating_pow(doublings);
    let mut after = left(connection, rto);
    let before: Duration = (0..timeouts.min(most))
        .map(|sent| backed_off(first, sent.saturating_sub(linear), rto_max))
        .fold(Duration::ZERO, Duration::saturating_add);
    let reckoned = before.saturating_add(rto.saturating_sub(after));
    let mut elapsed =
        spent(outstanding.retransmitting_for, reckoned, timeouts, rto).saturating_add(after);
    // The first timeout finds nothing retransmitted, and no limit applies.
    while timeouts == 0 || (timeouts < most && elapsed < limit) {
        timeouts = timeouts.saturating_add(1);
        if timeouts > linear {
            rto = backed_off(rto, 1, rto_max);
        }
        let pause = until(user_timeout, elapsed, rto);
        after = after.saturating_add(pause);
        elapsed = elapsed.saturating_add(pause);
    }
    Ok(Detection::Within(after))
}

/// A SYN-ACK unanswered: reqsk_timer_handler() in net/ipv4/inet_connection_sock.c, to which keepalive
/// and TCP_USER_TIMEOUT are nothing. A socket with an RTO of its own is a child of TCP Fast Open,
/// which has one retry more: tcp_fastopen_synack_timer(). TCP_DEFER_ACCEPT may prolong it.
pub(super) fn accept(connection: &Connection) -> Known<Detection> {
    let policy = policy(connection)?;
    let pause = |retry| backed_off(TIMEOUT_INIT, retry, Limits::RTO_MAX);
    let pauses = |from: u32, retries: u32| {
        (from..=retries.min(MOST_RETRIES))
            .map(pause)
            .fold(Duration::ZERO, Duration::saturating_add)
    };
    let after = match (connection.timer, connection.outstanding) {
        // How many timeouts a child of TCP Fast Open has had, its request knows alone.
        _ if connection.rto.is_ok() => pauses(0, policy.synack_retries.saturating_add(1)),
        (Ok(Some(timer)), Ok(outstanding)) => {
            let rest = pauses(
                outstanding.retransmits.saturating_add(1),
                policy.synack_retries,
            );
            timer.left.saturating_add(rest)
        }
        _ => pauses(0, policy.synack_retries),
    };
    Ok(Detection::Within(after))
}
