//! `void tcp_write_timer_handler(struct sock *sk)`, net/ipv4/tcp_timer.c: retransmission and
//! zero-window timers, also when deferred to `tcp_release_cb`. Only frames what happens inside.

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    bracket::{self, kind},
    sock::Sock,
};

#[inline(always)]
fn enter(sock: u64) {
    bracket::open(kind::WRITE, Sock(sock), 0);
}

#[fentry(function = "tcp_write_timer_handler")]
fn fentry_write_timer(ctx: FEntryContext) -> i32 {
    enter(ctx.arg(0));
    0
}

#[fexit(function = "tcp_write_timer_handler")]
fn fexit_write_timer(_ctx: FExitContext) -> i32 {
    bracket::clear(kind::WRITE);
    0
}

#[kprobe(function = "tcp_write_timer_handler")]
fn kprobe_write_timer(ctx: ProbeContext) -> u32 {
    if let Some(sock) = ctx.arg(0) {
        enter(sock);
    }
    0
}

#[kretprobe(function = "tcp_write_timer_handler")]
fn kretprobe_write_timer(_ctx: RetProbeContext) -> u32 {
    bracket::clear(kind::WRITE);
    0
}
