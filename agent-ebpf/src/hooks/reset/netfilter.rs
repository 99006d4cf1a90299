//! `void nf_ct_attach(struct sk_buff *new, const struct sk_buff *skb)`, net/netfilter/core.c: counts the resets
//! that netfilter makes for a segment that a rule rejects (`nf_send_reset`, `nf_send_reset6`).
//!
//! Both give up early: on a reset, a bad checksum, a broadcast, without memory or a route. They call this
//! when nothing is left to do but to send, and it is in the kernel's image, while they may be in a module that
//! is loaded later. ICMP errors pass here too (`icmp_glue_bits`, `icmpv6_getfrag`), while they are made.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use halfopen_common::{GroupKey, Loss, NetKey, ResetReason, state};
use zerocopy::FromZeros as _;

use crate::{event_record, fields, identity, maps, record, segment::Segment, sock::Sock};

#[inline(always)]
fn attached(new: u64, rejected: u64) {
    if maps::is_active() && try_attached(Segment(new), Segment(rejected)).is_none() {
        maps::lose(Loss::Unreadable);
    }
}

#[inline(always)]
fn try_attached(new: Segment, rejected: Segment) -> Option<()> {
    // An ICMP error has its namespace's ICMP socket by now, and headers that are not written yet.
    if new.sock()? != 0 || !new.is_tcp_reset()? {
        return Some(());
    }
    let net = new.net_of_route()?;
    let is_received = rejected.is_received()?;
    // The one that was sent to our end.
    let to_us = if is_received { rejected } else { new };
    let group = owner(rejected, to_us, is_received, &net);
    let group = group.unwrap_or_else(GroupKey::new_zeroed);
    // The kernel does not count it in OutRsts.
    record::count_reset(&group, ResetReason::NETFILTER);
    event_record::stray_reset(to_us, &net, &group, ResetReason::NETFILTER);
    Some(())
}

/// The group of the connection whose segment was rejected, or of the listener at our end. `None` if there is
/// neither, and for what is forwarded: it is for no socket of this host.
#[inline(always)]
fn owner(rejected: Segment, to_us: Segment, is_received: bool, net: &NetKey) -> Option<GroupKey> {
    if let Some(sock) = Sock::new(rejected.sock()?)
        && sock.is_tcp()
        && sock.is_connection()
        // Those by which the kernel answers for no connection are never in another state.
        && sock.get(fields::state())? != state::CLOSE
    {
        return identity::group(sock);
    }
    if is_received && !rejected.is_local()? {
        return None;
    }
    let (local, port) = to_us.local()?;
    identity::listeners_group(net.inum, &local, port)
}

#[fentry(function = "nf_ct_attach")]
fn fentry_ct_attach(ctx: FEntryContext) -> i32 {
    attached(ctx.arg(0), ctx.arg(1));
    0
}

#[kprobe(function = "nf_ct_attach")]
fn kprobe_ct_attach(ctx: ProbeContext) -> u32 {
    if let (Some(new), Some(rejected)) = (ctx.arg(0), ctx.arg(1)) {
        attached(new, rejected);
    }
    0
}
