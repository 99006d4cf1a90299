//! `void tcp_reset(struct sock *sk, struct sk_buff *skb)`, net/ipv4/tcp_input.c, and the tracepoint
//! at its head, `tcp:tcp_receive_reset(struct sock *sk)`: counts resets accepted from the peer. The kernel
//! calls it for data after our close too; that is taken back where our reset answers it.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use aya_log_ebpf::debug;
use halfopen_common::{Ending, Event, Loss, Outstanding, Record, event_flags, event_kind, state};

use crate::{
    death,
    event_record::{self, End, What},
    fields, maps, record,
    sock::{RCV_SHUTDOWN, Sock},
};

#[inline(always)]
fn received(ctx: &impl EbpfContext, sock: u64) {
    if maps::is_active() && try_received(ctx, Sock(sock)).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_received(ctx: &impl EbpfContext, sock: Sock) -> Option<()> {
    let state = sock.get(fields::state())?;
    // tcp_reset() ignores a closed socket; a listener's child does not exist yet.
    if state == state::CLOSE || state == state::LISTEN {
        return Some(());
    }
    let touched = record::touch(sock)?;
    record::settle_known(sock);
    if let Some(record) = touched.record {
        // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
        unsafe { (*record).resets_received += 1 };
    }
    record::count(&touched.group, Event::ResetReceived, 1);
    let ending = if state == state::SYN_SENT {
        Ending::Refused
    } else if touched.record.is_some_and(is_probed) {
        Ending::PeerForgot
    } else {
        Ending::ResetReceived
    };
    let context = maps::timer_context()?;
    // SAFETY: per-CPU value; the change to CLOSE follows at once.
    let context = unsafe { &mut *context };
    context.reset = sock.0;
    let (mut what, mut end) = (What::new(event_kind::RESET_RECEIVED), End::new(ending));
    if may_be_data(sock, state)? {
        context.undecided = sock.0;
        context.undecided_state = state;
        what = What::with(event_kind::RESET_RECEIVED, event_flags::UNDECIDED);
        end.flags = event_flags::UNDECIDED;
    }
    event_record::report(what, sock, touched.record, Outstanding::NONE);
    death::ended(sock, &touched, end, state);
    debug!(ctx, "reset received: state {}, sock {:x}", state, sock.0);
    Some(())
}

/// Whether `tcp_rcv_state_process` may have called `tcp_reset` for data that arrived after our close: then a
/// reset of ours answers it at once ([`super::reply`]).
#[inline(always)]
fn may_be_data(sock: Sock, state: u8) -> Option<bool> {
    let was_closed = state == state::FIN_WAIT1 || state == state::FIN_WAIT2;
    Some(was_closed && sock.get(fields::shutdown())? & RCV_SHUTDOWN != 0)
}

/// Whether a probe is unanswered. A reset leaves the times at which the peer was heard as they were.
#[inline(always)]
fn is_probed(record: *mut Record) -> bool {
    // SAFETY: points into a live map value; only this socket's hooks write, under its lock.
    let outstanding = unsafe { (*record).outstanding };
    outstanding == Outstanding::KEEPALIVE || outstanding == Outstanding::WINDOW
}

#[fentry(function = "tcp_reset")]
fn fentry_reset(ctx: FEntryContext) -> i32 {
    received(&ctx, ctx.arg(0));
    0
}

#[kprobe(function = "tcp_reset")]
fn kprobe_reset(ctx: ProbeContext) -> u32 {
    if let Some(sock) = ctx.arg(0) {
        received(&ctx, sock);
    }
    0
}

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
fn tp_receive_reset(ctx: RawTracePointContext) -> i32 {
    received(&ctx, ctx.arg(0));
    0
}
