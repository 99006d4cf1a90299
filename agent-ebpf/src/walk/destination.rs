//! How many local ports each destination takes of those that connect() chooses from.
//!
//! # Invariants
//! A socket is counted once: connections differ in their local port, or they go elsewhere.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_NOEXIST, macros::map, maps::HashMap};
use halfopen_common::{Destination, PortsInUse, WalkProgress, direction, flag};

use super::scratch::{Cursor, Scratch};
use crate::{
    fields,
    read::{Offset, read},
};

#[map]
static DESTINATIONS: HashMap<Destination, PortsInUse> = HashMap::with_max_entries(16_384, 0);

/// The destinations, as helpers that go through a whole map want them.
#[inline(always)]
pub fn destinations() -> *const c_void {
    (&raw const DESTINATIONS).cast()
}

/// Removes a destination.
#[inline(always)]
pub fn remove(destination: &Destination) {
    let _ = DESTINATIONS.remove(destination);
}

/// The ports of a namespace that connect() chooses from, the last in the upper half; 0 if unknown.
#[inline(always)]
pub fn port_range(net: u64) -> u32 {
    let offset = fields::sysctl_port_range();
    let Some(first) = read(net, Offset::<u32>::new(offset.bytes())) else {
        return 0;
    };
    // Since Linux 6.8 both stand in one word.
    if first >> 16 != 0 {
        return first;
    }
    let last = read(net, Offset::<u32>::new(offset.bytes().wrapping_add(4)));
    last.map_or(0, |last| first | last << 16)
}

/// Counts the port of a socket that was read, if connect() may have chosen it.
#[inline(always)]
pub fn note(
    sock: u64,
    scratch: &mut Scratch,
    cursor: &Cursor,
    walk: &mut WalkProgress,
    is_summed: bool,
) {
    let port = scratch.common(fields::local_port());
    let range = cursor.port_range;
    if u32::from(port) < range & 0xffff || u32::from(port) > range >> 16 {
        return;
    }
    let (direction, cgroup, flags) = if is_summed {
        (scratch.class.direction, scratch.class.cgroup, 0)
    } else {
        let socket = &scratch.socket;
        (socket.direction, socket.cgroup, socket.flags)
    };
    let is_time_wait = flags & flag::TIME_WAIT != 0;
    if direction == direction::INBOUND || is_time_wait && is_bound(sock) {
        return;
    }
    scratch.locate(cursor.inum);
    let destination = &scratch.destination;
    let known = DESTINATIONS.get_ptr_mut(destination).or_else(|| {
        let _ = DESTINATIONS.insert(destination, PortsInUse::default(), u64::from(BPF_NOEXIST));
        DESTINATIONS.get_ptr_mut(destination)
    });
    let Some(known) = known else {
        walk.unplaced_ports += 1;
        return;
    };
    // SAFETY: points into a live map value; the agent waits while the program runs.
    let known = unsafe { &mut *known };
    known.ports += 1;
    known.range = range;
    if !is_time_wait && known.is_owned == 0 {
        known.is_owned = 1;
        known.cgroup = cgroup;
    }
}

/// Whether an application has bound the port of a TIME_WAIT socket, as every listener does: connect()
/// chooses none of these (`__inet_hash_connect`).
#[inline(always)]
fn is_bound(time_wait: u64) -> bool {
    let bucket = read(time_wait, fields::tw_bucket());
    let reuse = bucket.and_then(|bucket| read(bucket, fields::bucket_fastreuse()));
    reuse.is_some_and(|reuse| reuse >= 0)
}
