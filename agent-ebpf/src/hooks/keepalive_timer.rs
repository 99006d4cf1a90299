//! `void tcp_keepalive_timer(struct timer_list *t)`, net/ipv4/tcp_timer.c.
//! A firing is not a probe: this only frames what happens inside.

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    bracket::{self, kind},
    sock::Sock,
};

#[inline(always)]
fn enter(timer: u64) {
    bracket::open(kind::KEEPALIVE, Sock::of_keepalive_timer(timer), 0);
}

#[fentry(function = "tcp_keepalive_timer")]
fn fentry_keepalive_timer(ctx: FEntryContext) -> i32 {
    enter(ctx.arg(0));
    0
}

#[fexit(function = "tcp_keepalive_timer")]
fn fexit_keepalive_timer(_ctx: FExitContext) -> i32 {
    bracket::clear(kind::KEEPALIVE);
    0
}

#[kprobe(function = "tcp_keepalive_timer")]
fn kprobe_keepalive_timer(ctx: ProbeContext) -> u32 {
    if let Some(timer) = ctx.arg(0) {
        enter(timer);
    }
    0
}

#[kretprobe(function = "tcp_keepalive_timer")]
fn kretprobe_keepalive_timer(_ctx: RetProbeContext) -> u32 {
    bracket::clear(kind::KEEPALIVE);
    0
}
