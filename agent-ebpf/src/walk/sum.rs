//! Established sockets with nothing outstanding are added up by what they have in common.
//!
//! # Invariants
//! Only sockets that the model would assess alike are in one class.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_jiffies64, macros::map, maps::HashMap};
use halfopen_common::{
    ABSENT, AHEAD, Class, ClassSum, EPHEMERAL, FastPathLayout, WalkProgress, direction, flag,
    round_up_rto,
};

use super::{
    fast_path::{copied, copy_ranges, fast_path},
    scratch::{Cursor, Scratch, bit, charged, flags, object_size},
};
use crate::{fields, maps, read::FieldReader, sock::Sock};

#[map]
static CLASSES: HashMap<Class, ClassSum> = HashMap::with_max_entries(16_384, 0);

/// The classes, as helpers that go through a whole map want them.
#[inline(always)]
pub fn classes() -> *const c_void {
    (&raw const CLASSES).cast()
}

/// Removes a class.
#[inline(always)]
pub fn remove(class: &Class) {
    let _ = CLASSES.remove(class);
}

/// Adds an established socket with nothing outstanding, whose ranges were copied, to its class;
/// `false` for any other.
#[inline(always)]
pub fn sum(sock: u64, scratch: &mut Scratch, cursor: &mut Cursor, walk: &WalkProgress) -> bool {
    if fast_path!(usable) == 0 {
        return false;
    }
    let flags = flags(scratch);
    let mut reader = FieldReader::of(sock);
    if flags & flag::KEEPALIVE != 0 {
        copy_ranges!(
            reader,
            scratch,
            keepalive,
            FastPathLayout::ALWAYS,
            [0, 1, 2]
        );
    }
    let written = copied!(scratch, write_seq);
    let outstanding =
        copied!(scratch, packets_out) | written.wrapping_sub(copied!(scratch, snd_nxt));
    let troubled =
        copied!(scratch, retransmits) | copied!(scratch, probes_out) | flags & flag::DEAD;
    if !reader.ok() || outstanding != 0 || troubled != 0 {
        return false;
    }
    // Not DEAD: it waits to be accepted, and is read in full.
    if copied!(scratch, sk_socket) == 0 {
        return false;
    }
    // SAFETY: takes no argument.
    let now = unsafe { bpf_jiffies64() } as u32;
    let quiet = is_quiet(now, copied!(scratch, lrcvtime), walk.quiet_jiffies)
        && is_quiet(now, copied!(scratch, lsndtime), walk.quiet_jiffies);
    // The fields that show a child of a listener without a backlog would cost another cache line.
    let inbound = copied!(scratch, max_ack_backlog) != 0;
    let local_port = scratch.common(fields::local_port());
    let remote_port = u16::from_be(scratch.common(fields::remote_port()));
    // It may be a child of a listener without a backlog: then it is read in full.
    if !inbound && remote_port >= EPHEMERAL && local_port < EPHEMERAL {
        return false;
    }
    let port = if inbound { local_port } else { remote_port };
    let family = scratch.common(fields::family());
    // Nothing is queued to be sent where nothing is outstanding.
    let memory = object_size(family).wrapping_add(charged(copied!(scratch, rmem_alloc)));
    if fast_path!(cgroup) != ABSENT {
        let cgroup = copied!(scratch, cgroup);
        if cgroup != cursor.cgroup {
            cursor.cgroup_id = Sock(sock).cgroup();
            cursor.cgroup = cgroup;
        }
    }
    let (time, interval, probes) = if flags & flag::KEEPALIVE != 0 {
        (
            copied!(scratch, keepalive_time),
            copied!(scratch, keepalive_intvl),
            copied!(scratch, keepalive_probes),
        )
    } else {
        (0_u32, 0_u32, 0_u8)
    };
    let rto_max = if fast_path!(rto_max) == ABSENT {
        0
    } else {
        copied!(scratch, rto_max)
    };
    scratch.class = Class {
        cgroup: cursor.cgroup_id,
        netns: cursor.inum,
        keepalive_time: time,
        keepalive_interval: interval,
        user_timeout_ms: copied!(scratch, user_timeout),
        rto: round_up_rto(copied!(scratch, rto)),
        rto_max,
        port,
        direction: if inbound {
            direction::INBOUND
        } else {
            direction::OUTBOUND
        },
        keepalive_probes: probes,
        flags: flags | bit(quiet, flag::QUIET),
        padding: [0; 3],
    };
    let class = &scratch.class;
    let known = CLASSES.get_ptr_mut(class).or_else(|| {
        let _ = CLASSES.insert(class, ClassSum::default(), u64::from(BPF_NOEXIST));
        CLASSES.get_ptr_mut(class)
    });
    let Some(known) = known else {
        return false;
    };
    // SAFETY: points into a live map value; no reference is made.
    maps::add(unsafe { &raw mut (*known).sockets }, 1);
    // SAFETY: as above.
    maps::add(unsafe { &raw mut (*known).memory }, u64::from(memory));
    true
}

/// Whether a moment of the 32-bit clock is at least this long ago.
#[inline(always)]
fn is_quiet(now: u32, then: u32, least: u32) -> bool {
    now.wrapping_add(AHEAD).wrapping_sub(then) >= least.saturating_add(AHEAD)
}
