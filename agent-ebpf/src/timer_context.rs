//! The timer context: opened when one of TCP's timers begins to run, closed when it has run. Opening
//! overwrites what was left open.

use halfopen_common::{
    Ending, Loss, ResetReason, Tally, TimerContext, event_flags, state, switch, timer_kind,
};

use crate::{
    clock::now_ns,
    death::{self, ending},
    event_record::End,
    fields, maps, record,
    sock::Sock,
};

/// A context this old was left open: the kernel did not let the program run that closes it. A timer
/// runs for microseconds, if nothing keeps the processor from it.
const STALE_NS: u64 = 1_000_000_000;
/// The same where only the socket shows that it has ended: it must not have had time for another
/// timer's run, on another processor (TCP_RTO_MIN, 200 ms).
const MISSED_CLOSE_NS: u64 = 100_000_000;

/// Notes that the program that sees changes of state begins or ends on this processor.
#[inline(always)]
pub fn set_changing(changing: bool) {
    if let Some(context) = maps::timer_context() {
        // SAFETY: points into a live map value; no reference is made.
        let noted = unsafe { &raw mut (*context).changing };
        // SAFETY: as above; volatile, for whoever interrupts.
        unsafe { noted.write_volatile(u8::from(changing)) };
    }
}

/// Opens the context of a timer's run.
#[inline(always)]
pub fn open(kind: u8, sock: Sock, timer: u64) {
    if maps::is_active() && try_open(kind, sock, timer).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(never)]
fn try_open(kind: u8, sock: Sock, timer: u64) -> Option<()> {
    let context = maps::timer_context()?;
    // SAFETY: per-CPU value; timers of one processor do not nest.
    let context = unsafe { &mut *context };
    context.sock = 0;
    context.state = sock.get(fields::state())?;
    context.dead = sock.is_dead()?;
    context.pending = sock.get(fields::pending())?;
    // A Fast Open child's SYN-ACK is in no queue.
    context.in_flight =
        sock.get(fields::packets_out())? != 0 || sock.get(fields::fastopen_rsk())? != 0;
    context.owned = sock.get(fields::owned())? != 0;
    context.resets = 0;
    context.closed = false;
    context.timed_out = false;
    if timer != 0 {
        context.segs_out = sock.get(fields::segs_out())?;
        context.write_seq = sock.get(fields::write_seq())?;
        context.rcv_nxt = sock.get(fields::rcv_nxt())?;
        context.retransmits = sock.get(fields::retransmits())?;
        context.backoff = sock.get(fields::backoff())?;
        context.rto = sock.get(fields::rto())?;
        context.is_counted = ending::is_counted(sock, context.state, context.dead)?;
        context.probes_out = sock.get(fields::probes_out())?;
        context.sends_data = sock.would_send_data()?;
    }
    context.timer = timer;
    context.opened_ns = now_ns();
    context.kind = kind;
    context.sock = sock.0;
    record::settle_known(sock);
    Some(())
}

/// The context that this socket is in on this processor.
#[inline(always)]
pub fn around(sock: Sock) -> Option<&'static mut TimerContext> {
    let context = maps::timer_context()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let context = unsafe { &mut *context };
    (context.sock == sock.0 && is_open(context, sock)).then_some(context)
}

/// The context that `timer` has opened (0: a function hook); whoever gets it closes it.
#[inline(always)]
pub fn opened_by(timer: u64) -> Option<&'static mut TimerContext> {
    let context = maps::timer_context()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let context = unsafe { &mut *context };
    if context.sock == 0 || context.timer != timer {
        return None;
    }
    Some(context)
}

/// Closes the context of a function hook.
#[inline(always)]
pub fn close(kind: u8) {
    if maps::is_active()
        && let Some(context) = opened_by(0)
        && context.kind == kind
    {
        if recover_missed_close(context).is_none() {
            maps::lose(Loss::Unreadable);
        }
        context.sock = 0;
    }
}

/// Counts and reports the end that was noted in the running processor's context; `state` is the one
/// that the socket was in.
#[inline(never)]
pub fn end(sock: Sock, state: u8) -> Option<()> {
    let current = maps::timer_context()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let current = unsafe { &mut *current };
    // SAFETY: a field of a live map value.
    let ending = unsafe { core::ptr::read_volatile(&raw const current.ending) };
    if ending == Ending::None as u8 {
        return Some(());
    }
    // SAFETY: as above.
    if unsafe { core::ptr::read_volatile(&raw const current.uncounted_timeout) } != 0 {
        // Before the end, of which it is a part.
        record::settle_known(sock);
        record::timed_out(sock, ending::was_counted(current, sock)?, 1)?;
    }
    let touched = record::touch(sock)?;
    // SAFETY: as above.
    let inferred = unsafe { core::ptr::read_volatile(&raw const current.inferred) };
    let end = End {
        ending,
        flags: u16::from(inferred) * event_flags::INFERRED,
    };
    // SAFETY: as above.
    if unsafe { core::ptr::read_volatile(&raw const current.uncounted_reset) } != 0 {
        maps::tally(&touched.net, Tally::OutRsts, 1);
        record::reset_sent(sock, &touched, ResetReason::KEEPALIVE_TIMEOUT);
    }
    death::ended(sock, &touched, end, state);
    Some(())
}

/// Notes what a change to CLOSE inside this context means.
#[inline(always)]
pub fn note_ending(context: &mut TimerContext, sock: Sock) -> Option<()> {
    clear_ending(context);
    if let Some(ending) = ending::of_timer(context, sock) {
        let timed_out =
            maps::switched(switch::TIMER_RETRANSMISSIONS) && ending::retransmitted(context, sock)?;
        context.uncounted_timeout = u8::from(timed_out);
        // Before tcp_write_err() the keepalive timer always sends a reset.
        let reset =
            context.kind == timer_kind::KEEPALIVE && context.timed_out && context.resets == 0;
        context.uncounted_reset = u8::from(reset);
        context.ending = ending as u8;
    }
    Some(())
}

/// Forgets what an earlier change to CLOSE was found to be.
#[inline(always)]
pub fn clear_ending(context: &mut TimerContext) {
    context.ending = Ending::None as u8;
    context.inferred = 0;
    context.uncounted_timeout = 0;
    context.uncounted_reset = 0;
}

/// Counts and reports the end of a socket that has closed inside this context while the kernel did not
/// run the program that sees changes of state: the timer interrupted that very program, run for a
/// process. At any other time that program has counted it, or another processor's has: it may close a
/// socket for whose lock the timer's run waits.
#[inline(always)]
pub fn recover_missed_close(context: &mut TimerContext) -> Option<()> {
    let sock = Sock(context.sock);
    if context.closed
        || context.state == state::CLOSE
        || sock.get(fields::state())? != state::CLOSE
        || !is_younger(context, MISSED_CLOSE_NS)
        || !was_missed(context, sock)?
    {
        return Some(());
    }
    let state = context.state;
    end_missed(context, sock, state, |context| note_ending(context, sock))
}

/// Counts and reports the end of a socket whose change to CLOSE was missed, as `note` says. What the
/// interrupted program has noted is still to be read by it.
#[inline(always)]
pub fn end_missed(
    context: &mut TimerContext,
    sock: Sock,
    state: u8,
    note: impl FnOnce(&mut TimerContext) -> Option<()>,
) -> Option<()> {
    maps::close(sock.0);
    let interrupted = [
        context.ending,
        context.uncounted_timeout,
        context.uncounted_reset,
        context.inferred,
    ];
    clear_ending(context);
    let ended = note(context).and_then(|()| end(sock, state));
    [
        context.ending,
        context.uncounted_timeout,
        context.uncounted_reset,
        context.inferred,
    ] = interrupted;
    ended
}

/// Whether the change to CLOSE was not seen. Where the connection's start was not seen either, the
/// change was missed when the program that sees it was interrupted for sure, or when the error is the
/// one that tcp_write_err() alone sets and no end was recorded.
#[inline(always)]
fn was_missed(context: &TimerContext, sock: Sock) -> Option<bool> {
    if let Some(seen) = maps::was_closed(sock.0) {
        return Some(!seen);
    }
    // SAFETY: a field of a live map value.
    let changing = unsafe { core::ptr::read_volatile(&raw const context.changing) };
    Some(changing != 0 || sock.get(fields::err())? == ending::ETIMEDOUT && !death::has_ended(sock))
}

/// Whether this is still the timer's run. A process that holds its socket now cannot have taken it
/// from a timer that had it: that one holds the socket's spin lock.
#[inline(always)]
fn is_open(context: &TimerContext, sock: Sock) -> bool {
    is_younger(context, STALE_NS)
        && sock
            .get(fields::owned())
            .is_some_and(|owned| (owned != 0) == context.owned)
}

/// Whether the timer's run began less than this long ago.
#[inline(always)]
fn is_younger(context: &TimerContext, age_ns: u64) -> bool {
    now_ns().wrapping_sub(context.opened_ns) < age_ns
}
