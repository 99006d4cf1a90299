//! Never attached: the agent runs it (BPF_PROG_TEST_RUN) for a socket whose probe waits for an
//! answer, since no hook sees the answer come. Marks the record; the next hook counts it.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use halfopen_common::Outstanding;

use crate::{maps, sock::Sock};

#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
fn refresh(ctx: RawTracePointContext) -> i32 {
    let sock = Sock(ctx.arg(0));
    if let Some(record) = maps::record(sock.0) {
        // SAFETY: points into a live map value.
        let record = unsafe { &mut *record };
        let probed = record.probe_jiffies;
        if record.outstanding != Outstanding::NONE && sock.heard_since(probed) == Some(true) {
            // A probe sent meanwhile has not been answered by what was heard before it.
            record.heard = u8::from(record.probe_jiffies == probed);
        }
    }
    0
}
