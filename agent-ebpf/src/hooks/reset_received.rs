//! `void tcp_reset(struct sock *sk, struct sk_buff *skb)`, net/ipv4/tcp_input.c, and the tracepoint
//! at its head, `tcp:tcp_receive_reset(struct sock *sk)`: counts resets accepted from the peer.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use aya_log_ebpf::debug;
use halfopen_common::{Ending, Event, Loss, Outstanding, Record, event_kind, state};

use crate::{event_record, fields, maps, record, sock::Sock};

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
    event_record::report(
        event_kind::RESET_RECEIVED,
        sock,
        touched.record,
        Outstanding::NONE,
    );
    record::ended(sock, &touched, ending as u8, state);
    let context = maps::timer_context()?;
    // SAFETY: per-CPU value; the change to CLOSE follows at once.
    unsafe { (*context).reset = sock.0 };
    debug!(ctx, "reset received: state {}, sock {:x}", state, sock.0);
    Some(())
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
