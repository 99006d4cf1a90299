//! `void tcp_send_active_reset(struct sock *sk, [gfp_t priority,] [enum sk_rst_reason reason])`,
//! net/ipv4/tcp_output.c: counts resets we send of our own accord, with the reason.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use aya_log_ebpf::debug;
use halfopen_common::{Ending, Loss, ResetReason, Tally, state};

use crate::{
    bracket::{self, kind},
    maps::{self, kernel},
    record,
    sock::{SHUTDOWN_MASK, Sock},
};

/// Counts an active reset; `told` is the kernel's reason, or [`ResetReason::NOT_TOLD`].
#[inline(always)]
pub fn sent(ctx: &impl EbpfContext, sock: u64, told: u32) {
    if maps::is_active() && try_sent(ctx, Sock(sock), told).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_sent(ctx: &impl EbpfContext, sock: Sock, told: u32) -> Option<()> {
    let touched = record::touch(sock)?;
    maps::tally(&touched.net, Tally::OutRsts, 1);
    let state = sock.state()?;
    let inside = bracket::around(sock);
    let reason = match told {
        ResetReason::NOT_TOLD => infer(sock, state, inside.as_ref().map(|b| b.kind))?,
        told if told < ResetReason::TOLD => told,
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
    record::was_in(&touched, before);
    record::reset_sent(sock, &touched, reason);
    if let Some(bracket) = inside {
        // What it means is told by the change to CLOSE that follows.
        bracket.resets = bracket.resets.saturating_add(1);
        return Some(());
    }
    if state == state::CLOSE {
        record::ended(sock, &touched, Ending::ResetSent as u8, before);
        return Some(());
    }
    let ending = if reason == ResetReason::STATE || reason == kernel!(reason_state) {
        Ending::Abort
    } else {
        Ending::ResetSentLive
    };
    record::ended(sock, &touched, ending as u8, state);
    // SAFETY: per-CPU value; the change to CLOSE follows at once.
    unsafe { (*maps::bracket()?).reset = sock.0 };
    Some(())
}

/// The state `inet_sock_set_state` reported just before, if it was on this processor.
#[inline(always)]
fn state_before_close(sock: Sock) -> u8 {
    let Some(bracket) = maps::bracket() else {
        return state::CLOSE;
    };
    // SAFETY: per-CPU value, only read.
    let bracket = unsafe { &*bracket };
    if bracket.closing == sock.0 {
        bracket.closing_state
    } else {
        state::CLOSE
    }
}

/// Why, on kernels that do not tell (before 6.11). `__tcp_close` has set `sk_shutdown` and has not
/// moved `copied_seq` past the data it threw away; `tcp_disconnect` alone is left otherwise.
#[inline(always)]
fn infer(sock: Sock, state: u8, inside: Option<u8>) -> Option<u32> {
    match inside {
        Some(kind::KEEPALIVE) if state == state::FIN_WAIT2 && sock.is_dead()? => {
            return Some(ResetReason::STATE);
        }
        Some(kind::KEEPALIVE) => return Some(ResetReason::KEEPALIVE_TIMEOUT),
        Some(_) => return Some(ResetReason::ABORT_ON_MEMORY),
        None if state != state::CLOSE => return Some(ResetReason::STATE),
        None => {}
    }
    if sock.is_dead()? {
        return Some(if sock.linger2()? < 0 {
            ResetReason::ABORT_ON_LINGER
        } else {
            ResetReason::ABORT_ON_MEMORY
        });
    }
    let unread = sock.rcv_nxt()?.wrapping_sub(sock.copied_seq()?);
    if sock.shutdown()? == SHUTDOWN_MASK && unread != 0 {
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
    let told = match kernel!(active_reset_reason_arg) {
        1 => second(&ctx),
        2 => third(&ctx),
        _ => ResetReason::NOT_TOLD,
    };
    sent(&ctx, ctx.arg(0), told);
    0
}

/// Both at once, likewise: a register can be read whether it holds an argument or not.
#[inline(never)]
fn pick(second: u32, third: u32) -> u32 {
    match kernel!(active_reset_reason_arg) {
        1 => second,
        2 => third,
        _ => ResetReason::NOT_TOLD,
    }
}

#[kprobe(function = "tcp_send_active_reset")]
fn kprobe_send_active_reset(ctx: ProbeContext) -> u32 {
    if let (Some(sock), Some(second), Some(third)) = (ctx.arg(0), ctx.arg(1), ctx.arg(2)) {
        sent(&ctx, sock, pick(second, third));
    }
    0
}
