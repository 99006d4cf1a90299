//! `void sk_error_report(struct sock *sk)`, net/core/sock.c, and the tracepoint at its end,
//! `sock:inet_sk_error_report(const struct sock *sk)`, both since 5.15: a second look at a connect that ICMP
//! has ended. `tcp_done_with_error` calls it next after the change to CLOSE, which is missed where it
//! interrupts the program that sees such changes, and no timer's run is there to show it.

use aya_ebpf::{
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use halfopen_common::{Loss, state};

use super::set_state::{self, ECONNABORTED};
use crate::{
    death::{self, ending::ETIMEDOUT},
    fields, maps,
    sock::Sock,
    timer_context,
};

/// A value of `sk_err` (include/uapi/asm-generic/errno.h), which `tcp_disconnect` sets.
const ECONNRESET: u32 = 104;

/// Errors of sockets of every protocol pass here.
#[inline(always)]
fn reported(sock: u64) {
    if maps::is_active() && try_reported(Sock(sock)).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_reported(sock: Sock) -> Option<()> {
    if sock.get(fields::state())? != state::CLOSE || !sock.is_tcp() {
        return Some(());
    }
    let error = sock.get(fields::err())?;
    let is_by_icmp =
        error != 0 && error != ETIMEDOUT && error != ECONNABORTED && error != ECONNRESET;
    // The peer's first segment sets `rcv_nxt`: without one this was SYN_SENT.
    if !is_by_icmp || sock.get(fields::rcv_nxt())? != 0 || timer_context::around(sock).is_some() {
        return Some(());
    }
    let context = maps::timer_context()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let context = unsafe { &mut *context };
    // The change was seen, in this run; or it was that of an earlier socket with this address.
    let may_be_seen = context.closing == sock.0;
    if may_be_seen {
        context.closing = 0;
    }
    if death::has_ended(sock) || may_be_seen && maps::record(sock.0).is_none() {
        return Some(());
    }
    timer_context::end_missed(context, sock, state::SYN_SENT, |context| {
        context.ending = set_state::by_icmp(error) as u8;
        Some(())
    })
}

#[raw_tracepoint(tracepoint = "inet_sk_error_report")]
fn tp_error_report(ctx: RawTracePointContext) -> i32 {
    reported(ctx.arg(0));
    0
}

#[fentry(function = "sk_error_report")]
fn fentry_error_report(ctx: FEntryContext) -> i32 {
    reported(ctx.arg(0));
    0
}

#[kprobe(function = "sk_error_report")]
fn kprobe_error_report(ctx: ProbeContext) -> u32 {
    if let Some(sock) = ctx.arg(0) {
        reported(sock);
    }
    0
}
