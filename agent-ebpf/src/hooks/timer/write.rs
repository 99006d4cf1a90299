//! `void tcp_write_timer_handler(struct sock *sk)`, net/ipv4/tcp_timer.c: retransmission and
//! zero-window timers, also when deferred to `tcp_release_cb`. The context only frames what happens
//! inside.

use halfopen_common::timer_kind;

use super::hook::timer_hook;
use crate::{sock::Sock, timer_context};

#[inline(always)]
fn enter(sock: u64) {
    timer_context::open(timer_kind::WRITE, Sock(sock), 0);
}

timer_hook!(
    "tcp_write_timer_handler",
    enter,
    timer_context::close(timer_kind::WRITE),
    fentry_write_timer,
    fexit_write_timer,
    kprobe_write_timer,
    kretprobe_write_timer,
);
