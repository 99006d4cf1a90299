//! `sock:inet_sock_set_state(const struct sock *sk, int oldstate, int newstate)`, and the function it
//! stands in, `void tcp_set_state(struct sock *sk, int state)`, net/ipv4/tcp.c: what a change to
//! CLOSE means where it happens.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use aya_log_ebpf::debug;
use halfopen_common::{Ending, Loss, state};

use crate::{bracket, maps, record, sock::Sock};

#[inline(always)]
fn changed(ctx: &impl EbpfContext, sock: u64, old: Option<u8>, new: i32) {
    // Every connection passes here several times: nothing else is looked at for most.
    if new != i32::from(state::CLOSE) {
        return;
    }
    let sock = Sock(sock);
    let Some(old) = old.or_else(|| sock.state()) else {
        maps::lose(Loss::Unreadable);
        return;
    };
    if old == state::LISTEN || old == state::CLOSE || !sock.is_tcp() {
        return;
    }
    if closed(ctx, sock, old).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn closed(ctx: &impl EbpfContext, sock: Sock, old: u8) -> Option<()> {
    let current = maps::bracket()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let current = unsafe { &mut *current };
    if let Some(bracket) = bracket::around(sock) {
        if let Some(ending) = bracket.ending(sock) {
            let touched = record::touch(sock)?;
            record::ended(&touched, ending, old);
            debug!(
                ctx,
                "ended: path {}, state {}, sock {:x}", ending as u8, old, sock.0
            );
        }
        return Some(());
    }
    if current.reset == sock.0 {
        current.reset = 0;
        return Some(());
    }
    current.closing = sock.0;
    current.closing_state = old;
    // A reset handled on another processor has told its own end already.
    if old == state::SYN_SENT && !has_ended(sock) && sock.err()? != 0 {
        let touched = record::touch(sock)?;
        record::ended(&touched, Ending::ConnectError, old);
    }
    Some(())
}

#[inline(always)]
fn has_ended(sock: Sock) -> bool {
    maps::record(sock.0).is_some_and(|record| {
        // SAFETY: points into a live map value.
        unsafe { (*record).ending != Ending::None as u8 }
    })
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn tp_set_state(ctx: RawTracePointContext) -> i32 {
    let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    changed(&ctx, ctx.arg(0), Some(old as u8), new);
    0
}

#[fentry(function = "tcp_set_state")]
fn fentry_set_state(ctx: FEntryContext) -> i32 {
    changed(&ctx, ctx.arg(0), None, ctx.arg(1));
    0
}

#[kprobe(function = "tcp_set_state")]
fn kprobe_set_state(ctx: ProbeContext) -> u32 {
    if let (Some(sock), Some(new)) = (ctx.arg(0), ctx.arg(1)) {
        changed(&ctx, sock, None, new);
    }
    0
}
