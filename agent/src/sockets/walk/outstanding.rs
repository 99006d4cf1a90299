//! What a socket has outstanding, and the timer that runs.

use std::time::Duration;

use halfopen_common::{
    Socket, flag,
    icsk_pending::{LOSS_PROBE, PROBE0, REO_TIMEOUT, RETRANS},
};

use super::convert::Converter;
use halfopen_core::model::{
    connection::{Keepalive, Known, Outstanding, Timer, TimerKind},
    detection::window_probe_pause,
};

impl Converter {
    pub(super) fn outstanding(&self, socket: &Socket, keepalive: Known<Keepalive>) -> Outstanding {
        let unsent = socket.write_seq.wrapping_sub(socket.snd_nxt);
        let latest_probe = if socket.probes_out == 0 {
            None
        } else if socket.pending == PROBE0 {
            let rto = self.span(u64::from(socket.rto));
            let pause = window_probe_pause(rto, socket.backoff.into(), self.limits(socket).rto_max);
            pause.checked_sub(self.left(socket, socket.timer_expires))
        } else if socket.flags & flag::KEEPALIVE_TIMER != 0 && socket.packets_out | unsent == 0 {
            let left = self.left(socket, socket.keepalive_expires);
            keepalive
                .ok()
                .and_then(|keepalive| keepalive.interval.checked_sub(left))
        } else {
            None
        };
        // Data taken by header prediction leaves icsk_probes_out as it was (tcp_rcv_established).
        let heard = self
            .age(socket, socket.lrcvtime)
            .min(self.age(socket, socket.rcv_tstamp));
        // The two have one clock: heard in the jiffy of the probe is heard after it, which was due since none came.
        let answered = latest_probe.is_some_and(|probe| heard <= probe);
        let probes = socket.probes_out.into();
        Outstanding {
            packets_out: socket.packets_out,
            retransmits: socket.retransmits.into(),
            probes: match (answered, keepalive, latest_probe) {
                (true, ..) => 0,
                (false, Ok(keepalive), Some(latest)) if socket.pending != PROBE0 => {
                    let first_due = heard.saturating_sub(latest + keepalive.idle);
                    probes_since(first_due, &keepalive).min(probes)
                }
                _ => probes,
            },
            latest_probe: latest_probe.filter(|_| !answered),
            backoff: socket.backoff.into(),
            retransmitting_for: since_ms(socket.clock_ms, socket.retrans_stamp),
            probing_for: self.age_if_set(socket, socket.probes_tstamp),
            unacknowledged: socket.write_seq.wrapping_sub(socket.snd_una).into(),
            unsent: unsent.into(),
            unread: socket.rcv_nxt.wrapping_sub(socket.copied_seq).into(),
            send_window: socket.snd_wnd.into(),
        }
    }

    pub(super) fn timer(&self, socket: &Socket) -> Option<Timer> {
        let timer = |kind, expires| Timer {
            kind,
            left: self.left(socket, expires),
        };
        match socket.pending {
            RETRANS | LOSS_PROBE | REO_TIMEOUT => {
                Some(timer(TimerKind::Retransmission, socket.timer_expires))
            }
            PROBE0 => Some(timer(TimerKind::Persist, socket.timer_expires)),
            _ if socket.flags & flag::KEEPALIVE_TIMER != 0 => {
                Some(timer(TimerKind::Keepalive, socket.keepalive_expires))
            }
            _ => None,
        }
    }
}

/// Keepalive probes sent since the first was due, which is so long before the latest: one at each interval.
fn probes_since(first_due: Duration, keepalive: &Keepalive) -> u32 {
    let intervals = (first_due + keepalive.interval / 2)
        .as_nanos()
        .checked_div(keepalive.interval.as_nanos());
    intervals
        .and_then(|intervals| u32::try_from(intervals).ok())
        .map_or(u32::MAX, |intervals| intervals.saturating_add(1))
}

/// Since a moment of a clock of milliseconds, which wraps; 0 is no moment.
fn since_ms(now: u32, then: u32) -> Option<Duration> {
    let age = now.wrapping_sub(then);
    // A moment that seems to be ahead came after the clock was read.
    let age = if age > u32::MAX / 2 { 0 } else { age };
    (then != 0).then(|| Duration::from_millis(age.into()))
}
