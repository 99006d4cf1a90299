//! `struct sk_buff *tcp_make_synack(const struct sock *sk, …, enum tcp_synack_type synack_type, …)`,
//! net/ipv4/tcp_output.c, and `struct sock *tcp_get_cookie_sock(struct sock *sk, …)`, net/ipv4/syncookies.c:
//! counts SYN cookies by listener. The first runs for every SYN-ACK: most are left after one comparison.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use halfopen_common::{Event, Loss};

use crate::{identity, kernel::kernel, maps, record, sock::Sock};

/// A SYN-ACK is made, with a cookie or without.
#[inline(always)]
fn answered(listener: u64, kind: u32) {
    if kind == kernel!(synack_cookie) {
        counted(listener, Event::CookieSent);
    }
}

#[inline(always)]
fn counted(listener: u64, event: Event) {
    if !maps::is_active() {
        return;
    }
    match identity::listener_group(Sock(listener)) {
        Some(group) => record::count(&group, event, 1),
        None => maps::lose(Loss::Unreadable),
    }
}

#[fentry(function = "tcp_make_synack")]
fn fentry_synack(ctx: FEntryContext) -> i32 {
    answered(ctx.arg(0), ctx.arg(4));
    0
}

#[fentry(function = "tcp_get_cookie_sock")]
fn fentry_cookie_validated(ctx: FEntryContext) -> i32 {
    counted(ctx.arg(0), Event::CookieValidated);
    0
}

#[kprobe(function = "tcp_make_synack")]
fn kprobe_synack(ctx: ProbeContext) -> u32 {
    if let (Some(listener), Some(kind)) = (ctx.arg(0), ctx.arg(4)) {
        answered(listener, kind);
    }
    0
}

#[kprobe(function = "tcp_get_cookie_sock")]
fn kprobe_cookie_validated(ctx: ProbeContext) -> u32 {
    if let Some(listener) = ctx.arg(0) {
        counted(listener, Event::CookieValidated);
    }
    0
}
