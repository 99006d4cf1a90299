//! Classifies what the running timer has done: how a change to CLOSE inside its run ended the connection,
//! and, where only timers can be watched, whether it probed or retransmitted.

use halfopen_common::{Ending, TimerContext, icsk_pending, state, timer_kind};

use crate::{fields, sock::Sock};

/// An errno, as `tcp_write_err` sets it (include/uapi/asm-generic/errno.h).
pub const ETIMEDOUT: u32 = 110;

/// Which path a change to CLOSE inside this context is; the context keeps that it closed.
#[inline(always)]
pub fn of_timer(context: &mut TimerContext, sock: Sock) -> Option<Ending> {
    context.closed = true;
    let user_timeout = sock.get(fields::user_timeout())? != 0;
    if context.kind == timer_kind::KEEPALIVE {
        if context.state == state::FIN_WAIT2 && context.dead {
            // tcp_time_wait() is orderly; only tcp_send_active_reset() + tcp_done() is an end.
            return (context.resets != 0).then_some(Ending::OrphanFinWait2);
        }
        context.timed_out = true;
        return Some(match (context.dead, user_timeout) {
            (true, _) => Ending::Orphan,
            (false, true) => Ending::KeepaliveUserTimeout,
            (false, false) => Ending::Keepalive,
        });
    }
    // tcp_write_err() sets sk_err before the state; tcp_out_of_resources(), of orphans alone, sets
    // none. Whoever holds the socket may have read it meanwhile.
    if context.dead && sock.get(fields::err())? == 0 {
        return Some(Ending::OrphanMemory);
    }
    context.timed_out = true;
    if context.dead {
        return Some(Ending::Orphan);
    }
    let is_open = sock.get(fields::snd_wnd())? != 0;
    Some(match (context.state, context.pending, user_timeout) {
        (state::SYN_SENT, ..) => Ending::Connect,
        (state::SYN_RECV, ..) => Ending::Accept,
        (_, icsk_pending::PROBE0, _) => of_probes(is_open, user_timeout),
        (_, icsk_pending::RETRANS, true) => Ending::RetransmissionUserTimeout,
        (_, icsk_pending::RETRANS, false) => Ending::Retransmission,
        _ if context.kind == timer_kind::RETRANSMIT => Ending::Retransmission,
        _ => Ending::Timer,
    })
}

/// What the zero-window probe timer gave up for: `tcp_write_wakeup` sends data into an open window, where
/// nothing is to be probed.
#[inline(always)]
fn of_probes(is_open: bool, user_timeout: bool) -> Ending {
    match (is_open, user_timeout) {
        (true, true) => Ending::LocalSendUserTimeout,
        (true, false) => Ending::LocalSend,
        (false, true) => Ending::WindowProbeUserTimeout,
        (false, false) => Ending::WindowProbe,
    }
}

/// What `tcp_write_err` gave up for, where no timer's run was seen around it: ICMP handling
/// (`tcp_ld_RTO_revert`) and a timer deferred to `tcp_release_cb` reach it too. By `sk_err` and what is still
/// outstanding: the queue itself is purged before the state changes.
#[inline(always)]
pub fn of_outstanding(sock: Sock, error: u32, old: u8, dead: bool) -> Option<Option<Ending>> {
    let soft = sock.get(fields::err_soft())?;
    if error != if soft != 0 { soft } else { ETIMEDOUT } {
        return Some(None);
    }
    let next = sock.get(fields::snd_nxt())?;
    let in_flight = sock.get(fields::snd_una())? != next;
    let user_timeout = sock.get(fields::user_timeout())? != 0;
    if in_flight && sock.get(fields::retransmits())? != 0 {
        return Some(Some(match (dead, old, user_timeout) {
            (true, ..) => Ending::Orphan,
            (false, state::SYN_RECV, _) => Ending::Accept,
            (false, _, true) => Ending::RetransmissionUserTimeout,
            (false, _, false) => Ending::Retransmission,
        }));
    }
    let is_unsent = sock.get(fields::write_seq())? != next;
    if in_flight || !is_unsent || sock.get(fields::probes_out())? == 0 {
        return Some(None);
    }
    let is_open = sock.get(fields::snd_wnd())? != 0;
    Some(Some(if dead {
        Ending::Orphan
    } else {
        of_probes(is_open, user_timeout)
    }))
}

/// Keepalive or window probes sent inside, by the change of `segs_out`, for kernels where only the
/// timer can be watched: (keepalive, window).
#[inline(always)]
pub fn probes(context: &TimerContext, sock: Sock) -> Option<(u32, u32)> {
    let sent = sock.get(fields::segs_out())?.wrapping_sub(context.segs_out);
    let counted = sock.get(fields::probes_out())?;
    if context.kind == timer_kind::KEEPALIVE {
        // The socket is unlocked again here: a segment sent since must not pass for a probe.
        let quiet = sock.get(fields::write_seq())? == context.write_seq
            && sock.get(fields::rcv_nxt())? == context.rcv_nxt;
        let sure = sent != 0 && (quiet || counted > context.probes_out);
        return Some((if quiet { sent } else { u32::from(sure) }, 0));
    }
    // tcp_send_probe0() counts every probe, and starts over when data went out instead.
    let probed = context.pending == icsk_pending::PROBE0
        && !context.owned
        && !context.sends_data
        && sent != 0
        && counted == context.probes_out.wrapping_add(1);
    Some((0, u32::from(probed)))
}

/// Whether the retransmission timer fired inside with data outstanding, for such kernels.
#[inline(always)]
pub fn retransmitted(context: &TimerContext, sock: Sock) -> Option<bool> {
    if context.kind != timer_kind::WRITE
        || context.pending != icsk_pending::RETRANS
        || context.owned
        || !context.in_flight
    {
        return Some(false);
    }
    // Against a closed window only the back-off tells, before Linux 6.5 only the RTO itself.
    let backed_off = sock.get(fields::snd_wnd())? == 0
        && (sock.get(fields::backoff())? > context.backoff
            || sock.get(fields::rto())? > context.rto);
    Some(context.closed || backed_off || sock.get(fields::retransmits())? > context.retransmits)
}

/// Whether `TCPTimeouts` counts a retransmission timeout of a socket in this state. Against a closed window the
/// kernel takes it for a window probe, unless nobody holds the socket (`tcp_retransmit_timer`).
#[inline(always)]
pub fn is_counted(sock: Sock, state: u8, dead: bool) -> Option<bool> {
    let in_handshake = state == state::SYN_SENT || state == state::SYN_RECV;
    Some(in_handshake || dead || sock.get(fields::snd_wnd())? != 0)
}

/// The same of the timeout inside this context: the window may have changed just before the timer had the socket.
#[inline(always)]
pub fn was_counted(context: &TimerContext, sock: Sock) -> Option<bool> {
    Some(context.is_counted && is_counted(sock, context.state, context.dead)?)
}
