//! `void tcp_retransmit_timer(struct sock *sk)`, net/ipv4/tcp_timer.c: counts retransmission
//! timeouts, and frames those that ICMP handling causes outside the write timer.

use halfopen_common::{Loss, timer_kind};

use super::hook::timer_hook;
use crate::{death::ending, fields, maps, record, sock::Sock, timer_context};

#[inline(always)]
fn enter(sock: u64) {
    if !maps::is_active() {
        return;
    }
    let sock = Sock(sock);
    if timer_context::around(sock).is_none() {
        timer_context::open(timer_kind::RETRANSMIT, sock, 0);
    }
    if count(sock).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

/// A firing with nothing outstanding is no timeout; a Fast Open child's SYN-ACK is in no queue.
#[inline(always)]
fn count(sock: Sock) -> Option<()> {
    let sent_syn_ack = sock.get(fields::fastopen_rsk())? != 0;
    if !sent_syn_ack && sock.get(fields::packets_out())? == 0 {
        return Some(());
    }
    let state = sock.get(fields::state())?;
    let is_counted = sent_syn_ack || ending::is_counted(sock, state, sock.is_dead()?)?;
    // Here, since `timed_out` has no stack to spare.
    record::settle_known(sock);
    record::timed_out(sock, is_counted, 1)
}

timer_hook!(
    "tcp_retransmit_timer",
    enter,
    timer_context::close(timer_kind::RETRANSMIT),
    fentry_retransmit_timer,
    fexit_retransmit_timer,
    kprobe_retransmit_timer,
    kretprobe_retransmit_timer,
);
