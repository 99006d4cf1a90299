//! `int tcp_xmit_probe_skb(struct sock *sk, int urgent, int mib)`, net/ipv4/tcp_output.c: the point
//! of exact parity with the kernel's probe counters; `int tcp_write_wakeup(struct sock *sk, int mib)`
//! stands in where that function cannot be hooked. Counts probes, at exit.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use aya_log_ebpf::debug;
use halfopen_common::{Loss, Outstanding, TimerContext};

use crate::{fields, kernel::kernel, maps, record, sock::Sock};

/// What `tcp_xmit_probe_skb` returns when it has no memory for the segment, and `tcp_write_wakeup`
/// for a closed socket: nothing was counted then, if nothing was sent.
const NOTHING_SENT: i32 = -1;

#[inline(always)]
fn enter(sock: u64, mib: u32) {
    if maps::is_active() && try_enter(sock, mib).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_enter(sock: u64, mib: u32) -> Option<()> {
    let context = maps::timer_context()?;
    // SAFETY: per-CPU value; the socket is locked with bottom halves off, so nothing nests.
    let context: &mut TimerContext = unsafe { &mut *context };
    context.probing_segs_out = Sock(sock).get(fields::segs_out())?;
    context.probing_mib = mib;
    context.probing = sock;
    Some(())
}

/// `tcp_write_wakeup` may send data instead of a probe.
#[inline(always)]
fn enter_wakeup(sock: u64, mib: u32) {
    match Sock(sock).would_send_data() {
        Some(true) => {}
        Some(false) => enter(sock, mib),
        None if maps::is_active() => maps::lose(Loss::Unreadable),
        None => {}
    }
}

#[inline(always)]
fn exit(ctx: &impl EbpfContext, ret: i32) {
    if maps::is_active() && try_exit(ctx, ret).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_exit(ctx: &impl EbpfContext, ret: i32) -> Option<()> {
    let context = maps::timer_context()?;
    // SAFETY: as in `enter`.
    let context: &mut TimerContext = unsafe { &mut *context };
    let sock = Sock(context.probing);
    if sock.0 == 0 {
        return Some(());
    }
    context.probing = 0;
    if ret == NOTHING_SENT && sock.get(fields::segs_out())? == context.probing_segs_out {
        return Some(());
    }
    let outstanding = if context.probing_mib == kernel!(mib_keepalive) {
        Outstanding::KEEPALIVE
    } else if context.probing_mib == kernel!(mib_winprobe) {
        Outstanding::WINDOW
    } else {
        return None;
    };
    debug!(ctx, "probe: kind {}, sock {:x}", outstanding, sock.0);
    record::probed(sock, outstanding, 1, 1)
}

#[fentry(function = "tcp_xmit_probe_skb")]
fn fentry_xmit_probe(ctx: FEntryContext) -> i32 {
    enter(ctx.arg(0), ctx.arg(2));
    0
}

#[fexit(function = "tcp_xmit_probe_skb")]
fn fexit_xmit_probe(ctx: FExitContext) -> i32 {
    exit(&ctx, ctx.arg(3));
    0
}

#[kprobe(function = "tcp_xmit_probe_skb")]
fn kprobe_xmit_probe(ctx: ProbeContext) -> u32 {
    if let (Some(sock), Some(mib)) = (ctx.arg(0), ctx.arg(2)) {
        enter(sock, mib);
    }
    0
}

#[kretprobe(function = "tcp_xmit_probe_skb")]
fn kretprobe_xmit_probe(ctx: RetProbeContext) -> u32 {
    exit(&ctx, ctx.ret());
    0
}

#[fentry(function = "tcp_write_wakeup")]
fn fentry_write_wakeup(ctx: FEntryContext) -> i32 {
    enter_wakeup(ctx.arg(0), ctx.arg(1));
    0
}

#[fexit(function = "tcp_write_wakeup")]
fn fexit_write_wakeup(ctx: FExitContext) -> i32 {
    exit(&ctx, ctx.arg(2));
    0
}

#[kprobe(function = "tcp_write_wakeup")]
fn kprobe_write_wakeup(ctx: ProbeContext) -> u32 {
    if let (Some(sock), Some(mib)) = (ctx.arg(0), ctx.arg(1)) {
        enter_wakeup(sock, mib);
    }
    0
}

#[kretprobe(function = "tcp_write_wakeup")]
fn kretprobe_write_wakeup(ctx: RetProbeContext) -> u32 {
    exit(&ctx, ctx.ret());
    0
}
