//! Detection by retransmission: the timers of data and FIN in flight, replayed from where they stand.
//!
//! Unless said otherwise the functions named are in net/ipv4/tcp_timer.c. ICMP errors and a queue of this host that is
//! full move these timers (tcp_ld_RTO_revert(), TCP_RESOURCE_PROBE_INTERVAL) and are not foreseen.
//!
//! # Invariants
//! No timer is assumed shorter than the kernel may use.

use std::time::Duration;

use super::{
    backoff::{RTO_MIN, TIMEOUT_MIN, backed_off, model_timeout},
    settings::{Settings, orphan_retries, policy},
};
use crate::model::{
    connection::{Connection, Known, Outstanding, TimerKind},
    liveness::is_orphan,
};

/// Readings of two clocks differ by a jiffy or two, at HZ=100.
const READING: Duration = Duration::from_millis(20);

/// How far retransmission has come.
pub(super) struct Flight {
    /// Until the next timeout.
    next: Duration,
    /// `icsk_retransmits` then.
    timeouts: u32,
    /// Since the first retransmission (`retrans_stamp`) then; zero if there was none.
    elapsed: Duration,
    /// Whether there was one.
    retransmitted: bool,
}

impl Flight {
    pub(super) fn of(
        connection: &Connection,
        outstanding: &Outstanding,
        settings: &Settings,
    ) -> Self {
        let rto = settings.rto;
        let stamp = outstanding.retransmitting_for;
        let (timeouts, backoff) = (outstanding.retransmits, outstanding.backoff);
        let retransmitted = timeouts > 0 || (backoff > 0 && stamp.is_some());
        if outstanding.packets_out == 0 || !retransmitted {
            // First comes a tail-loss probe, one RTO at most after the data (tcp_schedule_loss_probe() in
            // net/ipv4/tcp_output.c), and one RTO later the first timeout. The timer that runs may be either's.
            let in_flight = outstanding.packets_out > 0;
            let first = if in_flight {
                left(connection, rto)
            } else {
                rto
            };
            return Self {
                next: first.saturating_add(rto),
                timeouts: 0,
                elapsed: Duration::ZERO,
                retransmitted: false,
            };
        }
        let next = left(connection, rto);
        let first = rto / 2_u32.saturating_pow(backoff);
        let before = (1..backoff.min(64))
            .map(|times| backed_off(first, times, settings.rto_max))
            .fold(Duration::ZERO, Duration::saturating_add);
        let reckoned = before.saturating_add(rto.saturating_sub(next));
        Self {
            next,
            timeouts,
            elapsed: spent(stamp, reckoned, timeouts.max(backoff), rto).saturating_add(next),
            retransmitted: true,
        }
    }

    /// tcp_retransmit_timer() and tcp_write_timeout(). The connection dies at the first timeout that finds the limit
    /// reached, counted from the timeout that first retransmitted: retransmits_timed_out(). TCP_USER_TIMEOUT is that
    /// limit, if set, and makes the timer fire when it is (tcp_clamp_rto_to_user_timeout()).
    pub(super) fn retransmission(
        self,
        connection: &Connection,
        settings: &Settings,
    ) -> Known<Duration> {
        let Self {
            next: mut after,
            mut timeouts,
            mut elapsed,
            ..
        } = self;
        let mut rto = settings.rto;
        if let Some(user_timeout) = settings.user_timeout {
            // The first timeout finds nothing retransmitted, and no limit applies.
            let least = if timeouts == 0 {
                TIMEOUT_MIN
            } else {
                Duration::ZERO
            };
            let rest = user_timeout.saturating_sub(elapsed).max(least);
            return Ok(after.saturating_add(rest));
        }
        let policy = policy(connection)?;
        loop {
            let boundary = if is_orphan(connection) {
                orphan_retries(policy, rto < settings.rto_max)
            } else {
                policy.retries2
            };
            if timeouts > 0 && elapsed >= model_timeout(boundary, RTO_MIN, settings.rto_max) {
                return Ok(after);
            }
            timeouts = timeouts.saturating_add(1);
            rto = backed_off(rto, 1, settings.rto_max);
            after = after.saturating_add(rto);
            elapsed = elapsed.saturating_add(rto);
        }
    }

    /// tcp_rtx_probe0_timed_out(): the peer has closed its window on data in flight. Dead at the first timeout more
    /// than twice the longest RTO after both the first retransmission and the last that was heard of the peer; with a
    /// TCP_USER_TIMEOUT, when that has passed since the first retransmission (the branch `!tp->snd_wnd` of
    /// tcp_retransmit_timer(); stable kernels since July 2024).
    pub(super) fn closed_window(self, connection: &Connection, settings: &Settings) -> Duration {
        let (mut after, mut elapsed, mut rto) = (self.next, self.elapsed, settings.rto);
        let mut retransmitted = self.retransmitted;
        let heard = connection.last_ack.unwrap_or_default();
        let longest = settings.rto_max.saturating_mul(2);
        let is_dead = |after: Duration, elapsed: Duration| {
            settings.user_timeout.is_some_and(|it| elapsed >= it)
                || (elapsed > longest && heard.saturating_add(after) > longest)
        };
        while !retransmitted || !is_dead(after, elapsed) {
            retransmitted = true;
            rto = backed_off(rto, 1, settings.rto_max);
            let pause = until(settings.user_timeout, elapsed, rto);
            after = after.saturating_add(pause);
            elapsed = elapsed.saturating_add(pause);
        }
        after
    }
}

/// Until the retransmit timer fires: as long as it may be, where it is not known.
pub(super) fn left(connection: &Connection, longest: Duration) -> Duration {
    match connection.timer {
        Ok(Some(timer)) if timer.kind == TimerKind::Retransmission => timer.left,
        _ => longest,
    }
}

/// This RTO, cut short where TCP_USER_TIMEOUT ends before: tcp_clamp_rto_to_user_timeout().
pub(super) fn until(user_timeout: Option<Duration>, elapsed: Duration, rto: Duration) -> Duration {
    user_timeout.map_or(rto, |it| {
        rto.min(it.saturating_sub(elapsed).max(TIMEOUT_MIN))
    })
}

/// The time that counts against a limit: as it was read, or as back-off and timer have it, which is less where the RTO
/// has long been the longest. What was read has the clock's grain, so that the reckoned is taken where they all but
/// agree. It has no meaning on a route with the feature tcp_usec_ts, where the stamp is in µs: it is then ahead of the
/// clock or, but for one in some thousand, further behind it than this many timers of this RTO last.
pub(super) fn spent(
    read: Option<Duration>,
    reckoned: Duration,
    timers: u32,
    rto: Duration,
) -> Duration {
    let most = rto.saturating_mul(timers.saturating_add(1).saturating_mul(2));
    let is_plausible = |read: &Duration| {
        (!read.is_zero() || reckoned <= READING) && *read <= most.max(Duration::from_secs(1))
    };
    match read.filter(is_plausible) {
        Some(read) if read.saturating_add(READING) < reckoned => read,
        Some(read) => read.max(reckoned),
        None => reckoned,
    }
}
