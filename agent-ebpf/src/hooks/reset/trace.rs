//! `tcp:tcp_send_reset(const struct sock *sk, const struct sk_buff *skb, [enum sk_rst_reason])`:
//! both kinds of resets where functions cannot be hooked, or where it knows more than they do.
//! A plain raw tracepoint: a typed one would let the verifier assume `skb` is never NULL.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use halfopen_common::{ResetReason, switch};

use super::{active, reply};
use crate::{kernel::kernel, maps};

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
fn tp_send_reset(ctx: RawTracePointContext) -> i32 {
    let reported = if kernel!(trace_reset_reason_arg) == 2 {
        ctx.arg(2)
    } else {
        ResetReason::NOT_REPORTED
    };
    let (sock, segment): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    if !maps::is_active() {
        return 0;
    }
    if segment == 0 {
        if maps::switched(switch::TRACE_ACTIVE_RESETS) {
            active::sent(&ctx, sock, reported);
        }
    } else if maps::switched(switch::TRACE_REPLY_RESETS) {
        reply::sent(sock, segment, reported);
    }
    0
}
