//! Detection by window probes, which also fire while this host drops what it sends: tcp_probe_timer() in
//! net/ipv4/tcp_timer.c.

use std::time::Duration;

use super::{
    backoff::{MOST_RETRIES, RESOURCE_PROBE_INTERVAL, backed_off, window_probe_pause},
    settings::{Settings, orphan_retries, policy},
};
use crate::model::{
    connection::{Connection, Known, Outstanding, TimerKind},
    liveness::is_orphan,
};

/// Dead at the first firing with as many probes out as may be, or TCP_USER_TIMEOUT after the first firing since the
/// window closed (tcp_clamp_probe0_to_user_timeout()), even if the peer answers.
pub(super) fn detect(
    connection: &Connection,
    outstanding: &Outstanding,
    settings: &Settings,
) -> Known<Duration> {
    let pause = |backoff| window_probe_pause(settings.rto, backoff, settings.rto_max);
    let left = match connection.timer {
        Ok(Some(timer)) if timer.kind == TimerKind::Persist => timer.left,
        _ => pause(outstanding.backoff),
    };
    let by_user_timeout = settings.user_timeout.map(|user_timeout| {
        match outstanding.probing_for {
            Some(probing_for) => left.max(user_timeout.saturating_sub(probing_for)),
            // The first firing starts its clock.
            None => left.saturating_add(user_timeout),
        }
    });
    let by_count = policy(connection).map(|policy| {
        let gives_up = |sent: u32, backoff: u32| {
            let is_alive = backed_off(settings.rto, backoff, settings.rto_max) < settings.rto_max;
            let most = if is_orphan(connection) {
                orphan_retries(policy, is_alive)
            } else {
                policy.retries2
            };
            let most = most.min(MOST_RETRIES);
            sent >= most || (is_orphan(connection) && !is_alive && backoff >= most)
        };
        let (mut sent, mut backoff, mut after) = (outstanding.probes, outstanding.backoff, left);
        // More failures than back-off: a queue of this host was full.
        let least = if sent > backoff {
            RESOURCE_PROBE_INTERVAL
        } else {
            Duration::ZERO
        };
        while !gives_up(sent, backoff) {
            sent += 1;
            if backoff < policy.retries2 {
                backoff += 1;
            }
            after = after.saturating_add(pause(backoff).max(least));
        }
        after
    });
    match (by_user_timeout, by_count) {
        (Some(user_timeout), Ok(count)) => Ok(user_timeout.min(count)),
        (Some(user_timeout), Err(_)) => Ok(user_timeout),
        (None, by_count) => by_count,
    }
}
