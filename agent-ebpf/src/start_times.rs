//! The beginnings of connections: when they were established, and where they were accepted.

use aya_ebpf::bindings::BPF_NOEXIST;
use halfopen_common::{Loss, Start};

use crate::{
    clock::now_ns,
    maps::{START_TIMES, lose},
};

/// Notes that a connection is established.
#[inline(always)]
pub fn establish(sock: u64) {
    let Some(start) = begin(sock, now_ns(), 0) else {
        return;
    };
    // SAFETY: points into a live map value; the socket is locked.
    let start = unsafe { &mut *start };
    if start.established_ns != 0 {
        // Of another connection, whose socket this was (`tcp_disconnect`), or whose end was missed.
        start.accepted_by = 0;
    }
    start.established_ns = now_ns();
    start.idle_jiffies = 0;
    start.flags = 0;
}

/// Notes in which cgroup a process accepts a connection. A child stands in the queue before it is
/// established (`tcp_check_req`), so that either may come first.
#[inline(always)]
pub fn accept(sock: u64, cgroup: u64) {
    if let Some(start) = START_TIMES
        .get_ptr_mut(sock)
        .or_else(|| begin(sock, 0, cgroup))
    {
        // SAFETY: points into a live map value, which no other program writes this field of meanwhile.
        unsafe { (*start).accepted_by = cgroup };
    }
}

/// Makes what is known of a connection's start; where there was something already, that is returned.
#[inline(always)]
fn begin(sock: u64, established_ns: u64, accepted_by: u64) -> Option<*mut Start> {
    let start = Start {
        established_ns,
        accepted_by,
        idle_jiffies: 0,
        flags: 0,
    };
    if START_TIMES
        .insert(sock, start, u64::from(BPF_NOEXIST))
        .is_ok()
    {
        return None;
    }
    let known = START_TIMES.get_ptr_mut(sock);
    if known.is_none() {
        lose(Loss::StartTimesFull);
    }
    known
}
