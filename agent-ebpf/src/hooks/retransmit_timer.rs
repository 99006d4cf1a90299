//! `void tcp_retransmit_timer(struct sock *sk)`, net/ipv4/tcp_timer.c: counts retransmission
//! timeouts, and frames those that ICMP handling causes outside the write timer.

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use halfopen_common::Loss;

use crate::{
    bracket::{self, kind},
    maps, record,
    sock::Sock,
};

#[inline(always)]
fn enter(sock: u64) {
    if !maps::is_active() {
        return;
    }
    let sock = Sock(sock);
    if bracket::around(sock).is_none() {
        bracket::open(kind::RETRANSMIT, sock, 0);
    }
    if count(sock).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

/// A Fast Open child's SYN-ACK timer and a firing with nothing outstanding are no timeouts of a
/// connection.
#[inline(always)]
fn count(sock: Sock) -> Option<()> {
    if sock.fastopen_rsk()? != 0 || sock.packets_out()? == 0 {
        return Some(());
    }
    record::timed_out(sock)
}

#[fentry(function = "tcp_retransmit_timer")]
fn fentry_retransmit_timer(ctx: FEntryContext) -> i32 {
    enter(ctx.arg(0));
    0
}

#[fexit(function = "tcp_retransmit_timer")]
fn fexit_retransmit_timer(_ctx: FExitContext) -> i32 {
    bracket::clear(kind::RETRANSMIT);
    0
}

#[kprobe(function = "tcp_retransmit_timer")]
fn kprobe_retransmit_timer(ctx: ProbeContext) -> u32 {
    if let Some(sock) = ctx.arg(0) {
        enter(sock);
    }
    0
}

#[kretprobe(function = "tcp_retransmit_timer")]
fn kretprobe_retransmit_timer(_ctx: RetProbeContext) -> u32 {
    bracket::clear(kind::RETRANSMIT);
    0
}
