//! Never attached: the agent runs it (BPF_PROG_TEST_RUN) for one socket to which something happened,
//! since no hook sees an answer come: marks the record, which the next hook counts, and hands out
//! what the socket looks like now.

use super::facts;
use crate::{maps, notice, record, sock::Sock};
use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

/// Returns 0 when the socket was handed out.
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
fn look(ctx: RawTracePointContext) -> i32 {
    let sock = Sock(ctx.arg(0));
    if let Some(known) = maps::record(sock.0) {
        // SAFETY: points into a live map value.
        let record = unsafe { &mut *known };
        let probed = record.probe_jiffies;
        if record.is_waiting()
            && record::is_same(record, sock) == Some(true)
            && sock.heard_since(probed) == Some(true)
        {
            notice::answer(sock, known);
            // A probe sent meanwhile has not been answered by what was heard before it.
            record.heard = u8::from(record.probe_jiffies == probed);
        }
    }
    i32::from(!facts::tell(sock.0))
}
