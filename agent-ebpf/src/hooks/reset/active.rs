//! `void tcp_send_active_reset(struct sock *sk, [gfp_t priority,] [enum sk_rst_reason reason])`,
//! net/ipv4/tcp_output.c: counts resets we send of our own accord, with the reason.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use aya_log_ebpf::debug;
use halfopen_common::{Ending, Loss, ResetReason, Tally, state, timer_kind};

use crate::{
    death,
    event_record::End,
    fields,
    kernel::kernel,
    maps, record,
    sock::{SHUTDOWN_MASK, Sock},
    timer_context,
};

/// Counts an active reset; `reported` is the kernel's reason, or [`ResetReason::NOT_REPORTED`].
#[inline(always)]
pub fn sent(ctx: &impl EbpfContext, sock: u64, reported: u32) {
    if maps::is_active() && try_sent(ctx, Sock(sock), reported).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_sent(ctx: &impl EbpfContext, sock: Sock, reported: u32) -> Option<()> {
    let touched = record::touch(sock)?;
    maps::tally(&touched.net, Tally::OutRsts, 1);
    let state = sock.get(fields::state())?;
    let inside = timer_context::around(sock);
    let reason = match reported {
        ResetReason::NOT_REPORTED => {
            infer(sock, state, inside.as_ref().map(|context| context.kind))?
        }
        reported if reported < ResetReason::REPORTED => reported,
        _ => ResetReason::UNKNOWN,
    };
    debug!(
        ctx,
        "reset sent: reason {}, state {}, sock {:x}", reason, state, sock.0
    );
    let before = if state == state::CLOSE {
        state_before_close(sock)
    } else {
        state
    };
    death::was_in(&touched, before);
    record::reset_sent(sock, &touched, reason);
    if let Some(context) = inside {
        // What it means shows in the change to CLOSE that follows.
        context.resets = context.resets.saturating_add(1);
        return Some(());
    }
    if state == state::CLOSE {
        death::ended(sock, &touched, End::new(Ending::ResetSent), before);
        return Some(());
    }
    let ending = if reason == ResetReason::STATE || reason == kernel!(reason_state) {
        Ending::Abort
    } else {
        Ending::ResetSentLive
    };
    death::ended(sock, &touched, End::new(ending), state);
    // SAFETY: per-CPU value; the change to CLOSE follows at once.
    unsafe { (*maps::timer_context()?).reset = sock.0 };
    Some(())
}

/// The state `inet_sock_set_state` reported just before, if it was on this processor.
#[inline(always)]
fn state_before_close(sock: Sock) -> u8 {
    let Some(context) = maps::timer_context() else {
        return state::CLOSE;
    };
    // SAFETY: per-CPU value, only read.
    let context = unsafe { &*context };
    if context.closing == sock.0 {
        context.closing_state
    } else {
        state::CLOSE
    }
}

/// Why, on kernels that report none (before 6.11). `__tcp_close` has set `sk_shutdown` and has not
/// moved `copied_seq` past the data it threw away; `tcp_disconnect` alone is left otherwise.
#[inline(always)]
fn infer(sock: Sock, state: u8, inside: Option<u8>) -> Option<u32> {
    match inside {
        Some(timer_kind::KEEPALIVE) if state == state::FIN_WAIT2 && sock.is_dead()? => {
            return Some(ResetReason::STATE);
        }
        Some(timer_kind::KEEPALIVE) => return Some(ResetReason::KEEPALIVE_TIMEOUT),
        Some(_) => return Some(ResetReason::ABORT_ON_MEMORY),
        None if state != state::CLOSE => return Some(ResetReason::STATE),
        None => {}
    }
    if sock.is_dead()? {
        return Some(if sock.get(fields::linger2())? < 0 {
            ResetReason::ABORT_ON_LINGER
        } else {
            ResetReason::ABORT_ON_MEMORY
        });
    }
    let unread = sock
        .get(fields::rcv_nxt())?
        .wrapping_sub(sock.get(fields::copied_seq())?);
    if sock.get(fields::shutdown())? == SHUTDOWN_MASK && unread != 0 {
        return Some(ResetReason::ABORT_ON_CLOSE);
    }
    Some(ResetReason::STATE)
}

/// Apart from each other, or the compiler computes one address from both positions, which the
/// verifier forbids for a context. The position is a constant to the verifier, which so never sees
/// an argument the function does not have.
#[inline(never)]
fn second(ctx: &FEntryContext) -> u32 {
    ctx.arg(1)
}

#[inline(never)]
fn third(ctx: &FEntryContext) -> u32 {
    ctx.arg(2)
}

#[fentry(function = "tcp_send_active_reset")]
fn fentry_send_active_reset(ctx: FEntryContext) -> i32 {
    let reported = match kernel!(active_reset_reason_arg) {
        1 => second(&ctx),
        2 => third(&ctx),
        _ => ResetReason::NOT_REPORTED,
    };
    sent(&ctx, ctx.arg(0), reported);
    0
}

/// Both at once: a register can be read whether it holds an argument or not.
#[inline(never)]
fn pick(second: u32, third: u32) -> u32 {
    match kernel!(active_reset_reason_arg) {
        1 => second,
        2 => third,
        _ => ResetReason::NOT_REPORTED,
    }
}

#[kprobe(function = "tcp_send_active_reset")]
fn kprobe_send_active_reset(ctx: ProbeContext) -> u32 {
    if let (Some(sock), Some(second), Some(third)) = (ctx.arg(0), ctx.arg(1), ctx.arg(2)) {
        sent(&ctx, sock, pick(second, third));
    }
    0
}
