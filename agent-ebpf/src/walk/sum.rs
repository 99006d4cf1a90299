//! Established sockets with nothing outstanding are added up by what they have in common.
//! It must never sum what could be judged otherwise than its neighbours.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_jiffies64};
use halfopen_common::{ABSENT, Class, ClassSum, EPHEMERAL, Quick, Walk, direction, flag};

use super::{
    CLASSES, Cursor, copy,
    facts::{Scratch, bit, charged, flags, object_size},
    quick,
};
use crate::{
    maps::{self, kernel},
    read::Reader,
    sock::Sock,
};

/// A time stamp this little ahead of the clock was taken after the clock was read.
const AHEAD: u32 = 4_096;

/// Adds an established socket with nothing outstanding, whose stretches were copied, to its class;
/// `false` for any other.
#[inline(always)]
pub fn sum(sock: u64, scratch: &mut Scratch, cursor: &mut Cursor, walk: &Walk) -> bool {
    if quick!(usable) == 0 {
        return false;
    }
    let flags = flags(scratch);
    let mut reader = Reader::of(sock);
    if flags & flag::KEEPALIVE != 0 {
        copy!(reader, scratch, keepalive, Quick::ALWAYS, [0, 1, 2, 3]);
    }
    let written: u32 = scratch.copied(quick!(write_seq));
    let outstanding = scratch.copied::<u32>(quick!(packets_out))
        | written.wrapping_sub(scratch.copied(quick!(snd_nxt)));
    let troubled = scratch.copied::<u8>(quick!(retransmits))
        | scratch.copied::<u8>(quick!(probes_out))
        | flags & flag::DEAD;
    if !reader.ok() || outstanding != 0 || troubled != 0 {
        return false;
    }
    // SAFETY: takes no argument.
    let now = unsafe { bpf_jiffies64() } as u32;
    let quiet = is_quiet(now, scratch.copied(quick!(lrcvtime)), walk.quiet_jiffies)
        && is_quiet(now, scratch.copied(quick!(lsndtime)), walk.quiet_jiffies);
    // What a child has of a listener without a backlog would cost a cache line more.
    let inbound = scratch.copied::<u32>(quick!(max_ack_backlog)) != 0;
    let local_port: u16 = scratch.common(kernel!(local_port));
    let remote_port = u16::from_be(scratch.common(kernel!(remote_port)));
    // Perhaps a child of a listener without a backlog: looked at by itself, it tells.
    if !inbound && remote_port >= EPHEMERAL && local_port < EPHEMERAL {
        return false;
    }
    let port = if inbound { local_port } else { remote_port };
    let family: u16 = scratch.common(kernel!(family));
    // Nothing is queued to be sent where nothing is outstanding.
    let memory = object_size(family).wrapping_add(charged(scratch.copied(quick!(rmem_alloc))));
    if quick!(cgroup) != ABSENT {
        let cgroup: u64 = scratch.copied(quick!(cgroup));
        if cgroup != cursor.cgroup {
            cursor.cgroup_id = Sock(sock).cgroup();
            cursor.cgroup = cgroup;
        }
    }
    let (user_timeout, time, interval, probes) = if flags & flag::KEEPALIVE != 0 {
        (
            scratch.copied(quick!(user_timeout)),
            scratch.copied(quick!(keepalive_time)),
            scratch.copied(quick!(keepalive_intvl)),
            scratch.copied(quick!(keepalive_probes)),
        )
    } else {
        (0_u32, 0_u32, 0_u32, 0_u8)
    };
    scratch.class = Class {
        cgroup: cursor.cgroup_id,
        netns: cursor.inum,
        keepalive_time: time,
        keepalive_interval: interval,
        user_timeout_ms: user_timeout,
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
