//! Reads a part of a table of sockets at each run, whatever their namespaces.
//!
//! Sockets are SLAB_TYPESAFE_BY_RCU: one that is freed meanwhile still reads as a socket, perhaps
//! another one, in another chain; its hash and the chain's end show it
//! (Documentation/RCU/rculist_nulls.rst).
//!
//! # Invariants
//! No chain is followed without bounds, nor trusted once it has changed under the reader.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, helpers::generated::bpf_loop, macros::map, maps::Array};
use halfopen_common::{WalkProgress, table};

use super::{
    output::{GO_ON, STOP},
    program::test_run_program,
    scratch::{self, Cursor, HEADS},
    socket,
};
use crate::{
    fields,
    kernel::kernel,
    read::{FieldReader, Offset, word},
};

/// Steps of one run: far more than any table needs, so that every run ends.
const MOST_STEPS: u32 = 1 << 17;
/// Buckets of one run: looking at an empty one takes some 20 ns.
const MOST_BUCKETS: u32 = 8_192;

#[map]
static WALK: Array<WalkProgress> = Array::with_max_entries(1, BPF_F_MMAPABLE);

test_run_program! {
    /// One run: reads a part of the table.
    fn walk(_ctx) -> u32 {
        let Some(progress) = WALK.get_ptr_mut(0) else {
            return 0;
        };
        // SAFETY: points into a live map value; the agent waits while the program runs.
        let progress = unsafe { &mut *progress };
        progress.found = 0;
        progress.done = 0;
        let Some(cursor) = scratch::cursor() else {
            return 0;
        };
        // SAFETY: per-CPU value; the program is not preempted.
        let cursor = unsafe { &mut *cursor };
        cursor.net = 0;
        cursor.cgroup = 0;
        cursor.cgroup_id = 0;
        cursor.node = 0;
        cursor.passed = 0;
        cursor.buckets = 0;
        cursor.inum = 0;
        cursor.port_range = 0;
        cursor.heads_read = u32::MAX;
        // SAFETY: `step` has the signature that bpf_loop() asks for; it is handed nothing.
        unsafe {
            bpf_loop(
                MOST_STEPS,
                step as *mut core::ffi::c_void,
                core::ptr::null_mut(),
                0,
            );
        }
        0
    }
}

/// One step: to the next bucket, or past one socket.
extern "C" fn step(_index: u32, _nothing: *mut core::ffi::c_void) -> i64 {
    let Some(cursor) = scratch::cursor() else {
        return STOP;
    };
    // SAFETY: per-CPU value; the program is not preempted.
    let cursor = unsafe { &mut *cursor };
    let Some(walk) = WALK.get_ptr_mut(0) else {
        return STOP;
    };
    // SAFETY: points into a live map value; the agent waits while the program runs.
    let walk = unsafe { &mut *walk };
    if cursor.node == 0 {
        return enter(cursor, walk);
    }
    if cursor.node & 1 != 0 {
        // The end of a chain names its bucket.
        if walk.table == table::ESTABLISHED && cursor.node >> 1 != u64::from(walk.bucket) {
            walk.changed_chains += 1;
        }
        return leave(cursor, walk);
    }
    let sock = fields::node().owner(cursor.node);
    let next = if cursor.passed >= walk.skip {
        match socket::visit(sock, cursor, walk) {
            socket::ReadOutcome::Read(next) => next,
            socket::ReadOutcome::Unreadable => {
                walk.unreadable += 1;
                word(cursor.node).unwrap_or(0)
            }
            socket::ReadOutcome::NoRoom => {
                walk.skip = cursor.passed;
                return STOP;
            }
        }
    } else {
        word(cursor.node).unwrap_or(0)
    };
    cursor.passed += 1;
    cursor.node = next;
    if next == 0 {
        return leave_changed(cursor, walk);
    }
    GO_ON
}

/// Goes to the head of the next bucket's chain, if there is one and this run may.
#[inline(always)]
fn enter(cursor: &mut Cursor, walk: &mut WalkProgress) -> i64 {
    if walk.bucket > walk.mask {
        walk.done = 1;
        return STOP;
    }
    if walk.found >= walk.limit || cursor.buckets >= MOST_BUCKETS {
        return STOP;
    }
    cursor.passed = 0;
    // A table is a power of two: a group of heads goes past the end of none but the smallest.
    if walk.table == table::ESTABLISHED && walk.mask >= HEADS as u32 {
        return enter_next_filled(cursor, walk);
    }
    let (size, head) = if walk.table == table::ESTABLISHED {
        (size_of::<u64>() as u32, 0)
    } else {
        (kernel!(listen_bucket_size), fields::listen_head().bytes())
    };
    let offset = u64::from(walk.bucket) * u64::from(size) + u64::from(head);
    match word(walk.base + offset) {
        Some(first) if first != 0 => cursor.node = first,
        _ => return leave_changed(cursor, walk),
    }
    GO_ON
}

/// Passes over empty buckets, up to the end of the group of heads that were read together.
#[inline(always)]
fn enter_next_filled(cursor: &mut Cursor, walk: &mut WalkProgress) -> i64 {
    let Some(scratch) = scratch::scratch() else {
        return STOP;
    };
    // SAFETY: per-CPU value; the program is not preempted.
    let heads = unsafe { &mut (*scratch).heads };
    let group = walk.bucket / HEADS as u32;
    // Heads are kept within one run only: under rcu_read_lock() they cannot dangle.
    if cursor.heads_read != group {
        let mut reader =
            FieldReader::of(walk.base + u64::from(group) * size_of::<[u64; HEADS]>() as u64);
        reader.field(&raw mut *heads, Offset::new(0));
        if !reader.ok() {
            return leave_changed(cursor, walk);
        }
        cursor.heads_read = group;
    }
    let first = walk.bucket % HEADS as u32;
    for (number, head) in (0_u32..).zip(heads) {
        // An empty bucket's head is its end.
        if number >= first && *head & 1 == 0 {
            if *head == 0 {
                return leave_changed(cursor, walk);
            }
            if number != first {
                walk.skip = 0;
            }
            cursor.buckets += number - first;
            cursor.node = *head;
            walk.bucket = group * HEADS as u32 + number;
            return GO_ON;
        }
    }
    cursor.buckets += HEADS as u32 - first;
    walk.skip = 0;
    walk.bucket = (group + 1) * HEADS as u32;
    GO_ON
}

/// Leaves the rest of a chain that changed under the reader.
#[inline(always)]
fn leave_changed(cursor: &mut Cursor, walk: &mut WalkProgress) -> i64 {
    walk.changed_chains += 1;
    leave(cursor, walk)
}

#[inline(always)]
fn leave(cursor: &mut Cursor, walk: &mut WalkProgress) -> i64 {
    walk.bucket += 1;
    walk.skip = 0;
    cursor.buckets += 1;
    cursor.node = 0;
    GO_ON
}
