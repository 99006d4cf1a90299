//! `void tcp_keepalive_timer(struct timer_list *t)`, net/ipv4/tcp_timer.c.
//! A firing is not a probe: the context only frames what happens inside.

use halfopen_common::timer_kind;

use super::hook::timer_hook;
use crate::{sock::Sock, timer_context};

#[inline(always)]
fn enter(timer: u64) {
    timer_context::open(timer_kind::KEEPALIVE, Sock::of_keepalive_timer(timer), 0);
}

timer_hook!(
    "tcp_keepalive_timer",
    enter,
    timer_context::close(timer_kind::KEEPALIVE),
    fentry_keepalive_timer,
    fexit_keepalive_timer,
    kprobe_keepalive_timer,
    kretprobe_keepalive_timer,
);
