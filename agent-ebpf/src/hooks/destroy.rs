//! `tcp:tcp_destroy_sock(struct sock *sk)`, and the function it stands in,
//! `void tcp_v4_destroy_sock(struct sock *sk)`, net/ipv4/tcp_ipv4.c (IPv6 sockets pass it too):
//! forgets what is known of a socket. Every socket's end passes here: two look-ups, no more.

use aya_ebpf::{
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};

use halfopen_common::Loss;

use crate::{maps, record, sock::Sock, timer_context};

#[inline(always)]
fn destroyed(sock: u64) {
    if !maps::is_active() {
        return;
    }
    // An orphan is destroyed in the same run of a timer that ended its connection.
    if let Some(context) = timer_context::around(Sock(sock)) {
        if timer_context::recover_missed_close(context).is_none() {
            maps::lose(Loss::Unreadable);
        }
        context.closed = true;
    }
    if let Some(known) = maps::record(sock) {
        // SAFETY: points into a live map value; nobody else holds the socket any more.
        record::settle(Sock(sock), unsafe { &mut *known });
        maps::forget(sock);
    }
    maps::forget_start(sock);
}

#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
fn tp_destroy_sock(ctx: RawTracePointContext) -> i32 {
    destroyed(ctx.arg(0));
    0
}

#[fentry(function = "tcp_v4_destroy_sock")]
fn fentry_destroy_sock(ctx: FEntryContext) -> i32 {
    destroyed(ctx.arg(0));
    0
}

#[kprobe(function = "tcp_v4_destroy_sock")]
fn kprobe_destroy_sock(ctx: ProbeContext) -> u32 {
    if let Some(sock) = ctx.arg(0) {
        destroyed(sock);
    }
    0
}
