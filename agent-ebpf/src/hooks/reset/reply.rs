//! `void tcp_v4_send_reset(const struct sock *sk, struct sk_buff *skb, [enum sk_rst_reason reason])`
//! and `tcp_v6_send_reset`, net/ipv4/tcp_ipv4.c and net/ipv6/tcp_ipv6.c: counts resets that answer a
//! segment, most of which belong to no connection.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use halfopen_common::{Ending, GroupKey, Loss, NetKey, ResetReason, Tally, state};
use zerocopy::FromZeros as _;

use crate::{
    death,
    event_record::{self, End},
    fields, identity,
    kernel::kernel,
    maps, record, request,
    segment::Segment,
    sock::Sock,
};

/// Counts a reply that is certain to be sent.
#[inline(always)]
pub fn sent(sock: u64, segment: u64, reported: u32) {
    if try_sent(sock, segment, reported).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_sent(sock: u64, segment: u64, reported: u32) -> Option<()> {
    // NOT_REPORTED is above every reason too.
    let reason = if reported < ResetReason::REPORTED {
        reported
    } else {
        ResetReason::UNKNOWN
    };
    if let Some(sock) = Sock::new(sock) {
        if sock.get(fields::state())? == state::CLOSE {
            return closed(sock, reason);
        }
        if sock.is_connection() {
            let touched = record::touch(sock)?;
            record::reset_sent(sock, &touched, reason);
            maps::tally(&touched.net, Tally::OutRsts, 1);
            return Some(());
        }
        if is_overflow(sock, segment, reported)? {
            return request::overflowed(sock, Segment(segment));
        }
        stray(Segment(segment), &sock.net()?, reason)
    } else {
        stray(Segment(segment), &Segment(segment).net()?, reason)
    }
}

/// It answers data that came after our close (`tcp_rcv_state_process`): the connection is gone by now, by
/// `tcp_reset`, or, where the segment acknowledged our FIN, by `tcp_done` alone.
#[inline(always)]
fn closed(sock: Sock, reason: u32) -> Option<()> {
    let context = maps::timer_context()?;
    // SAFETY: per-CPU value; the borrow ends with the program.
    let context = unsafe { &mut *context };
    let touched = death::closed(sock)?;
    let reason = if reason == ResetReason::UNKNOWN {
        ResetReason::ABORT_ON_DATA
    } else {
        reason
    };
    record::reset_sent(sock, &touched, reason);
    maps::tally(&touched.net, Tally::OutRsts, 1);
    let before = if context.undecided == sock.0 {
        death::withdraw_reset(&touched);
        context.undecided_state
    } else if context.closing == sock.0 && context.ending == Ending::None as u8 {
        context.closing_state
    } else {
        return Some(());
    };
    // With TCP_LINGER2 below 0 no data is needed.
    let is_data = context.undecided == sock.0 || sock.get(fields::linger2())? >= 0;
    let ending = if is_data {
        Ending::ClosedWhilePeerSent
    } else {
        Ending::ResetSent
    };
    context.undecided = 0;
    context.closing = 0;
    death::ended(sock, &touched, End::new(ending), before);
    // In FIN_WAIT2 the client's kernel has the FIN: mostly its application answers it.
    if is_data
        && before == state::FIN_WAIT1
        && let Some(start) = maps::start(sock.0)
        && let Some(idle) = event_record::idle_before_close_ns(start)
    {
        maps::idle_before_close(&touched.group, idle);
    }
    Some(())
}

/// Whether a listener resets a client whose ACK found its accept queue full. `tcp_check_req` gives that the
/// reason of a bad SYN, which no segment without a SYN can be. Kernels that report no reason (up to 6.9)
/// do not let it be told from the answer to a stray ACK: there it stays one of no connection.
#[inline(always)]
fn is_overflow(sock: Sock, segment: u64, reported: u32) -> Option<bool> {
    Some(
        reported == kernel!(reason_invalid_syn)
            && reported != ResetReason::NOT_REPORTED
            && sock.get(fields::state())? == state::LISTEN
            && !Segment(segment).is_syn()?,
    )
}

/// It answers for no connection: that of the listener's owner where somebody listens there, as after a close
/// of which the client has not heard; else nobody's.
#[inline(always)]
fn stray(segment: Segment, net: &NetKey, reason: u32) -> Option<()> {
    let (local, port) = segment.local()?;
    let group = identity::listeners_group(net.inum, &local, port);
    let group = group.unwrap_or_else(GroupKey::new_zeroed);
    maps::tally(net, Tally::OutRsts, 1);
    record::count_reset(&group, reason);
    event_record::stray_reset(segment, net, &group, reason);
    Some(())
}

/// The functions give up early in cases the tracepoint of 6.11+ comes after: an answer to a reset,
/// and, without a socket, to a segment that was not for this host.
#[inline(always)]
fn called(sock: u64, segment: u64, reported: u32, v4: bool) {
    if !maps::is_active() {
        return;
    }
    let facts = Segment(segment);
    let local = match (sock, v4) {
        (0, true) => facts.is_local4(),
        (0, false) => facts.is_local6(),
        _ => Some(true),
    };
    match (facts.is_reset(), local) {
        (Some(false), Some(true)) => sent(sock, segment, reported),
        (None, _) | (_, None) => maps::lose(Loss::Unreadable),
        _ => {}
    }
}

/// The reason where the functions have one: never read where they have not.
#[inline(always)]
fn reported(ctx: &FEntryContext) -> u32 {
    if kernel!(reply_reset_reason_arg) == 2 {
        ctx.arg(2)
    } else {
        ResetReason::NOT_REPORTED
    }
}

#[fentry(function = "tcp_v4_send_reset")]
fn fentry_v4_send_reset(ctx: FEntryContext) -> i32 {
    called(ctx.arg(0), ctx.arg(1), reported(&ctx), true);
    0
}

#[fentry(function = "tcp_v6_send_reset")]
fn fentry_v6_send_reset(ctx: FEntryContext) -> i32 {
    called(ctx.arg(0), ctx.arg(1), reported(&ctx), false);
    0
}

#[inline(always)]
fn probed(ctx: &ProbeContext, v4: bool) {
    if let (Some(sock), Some(segment), Some(third)) = (ctx.arg(0), ctx.arg(1), ctx.arg(2)) {
        let reported = if kernel!(reply_reset_reason_arg) == 2 {
            third
        } else {
            ResetReason::NOT_REPORTED
        };
        called(sock, segment, reported, v4);
    }
}

#[kprobe(function = "tcp_v4_send_reset")]
fn kprobe_v4_send_reset(ctx: ProbeContext) -> u32 {
    probed(&ctx, true);
    0
}

#[kprobe(function = "tcp_v6_send_reset")]
fn kprobe_v6_send_reset(ctx: ProbeContext) -> u32 {
    probed(&ctx, false);
    0
}
