//! Reads a socket to which something happened, since no hook sees an answer come: marks the record,
//! which the next hook counts, and hands out the socket as it is now.

use halfopen_common::Record;

use super::{output::hand_out, program::test_run_program, socket};
use crate::{event_record, identity, maps, record, sock::Sock};

test_run_program! {
    /// One socket, by its address: [`at`].
    fn suspect(ctx) -> u32 {
        let sock: u64 = ctx.arg(0);
        at(sock, maps::record(sock));
        0
    }
}

/// Hands out, one after another: the address; the record, if there is one; the socket, if it could be
/// read.
#[inline(always)]
pub fn at(sock: u64, known: Option<*mut Record>) {
    hand_out(&sock);
    let sock = Sock(sock);
    if let Some(known) = known {
        // SAFETY: points into a live map value.
        let record = unsafe { &mut *known };
        let probed = record.probe_jiffies;
        if record.is_waiting()
            && identity::is_same(record, sock) == Some(true)
            && record::is_answered(sock, record) == Some(true)
        {
            event_record::answer(sock, known);
            // A probe sent meanwhile has not been answered by what was heard before it.
            record.heard = u8::from(record.probe_jiffies == probed);
        }
        // SAFETY: as above.
        hand_out(unsafe { &*known });
    }
    socket::report(sock.0);
}
