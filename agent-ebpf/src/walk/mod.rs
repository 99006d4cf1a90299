//! Reads the kernel's own tables of TCP sockets, a stretch at each run, whatever their namespaces.
//! It must never follow a chain without bounds, nor trust one that changed under it.
//!
//! Never attached: the agent runs these programs (BPF_PROG_TEST_RUN), which puts them under
//! rcu_read_lock(). Sockets are SLAB_TYPESAFE_BY_RCU: one that is freed meanwhile still reads as a
//! socket, perhaps another one, in another chain; its hash and the chain's end tell
//! (Documentation/RCU/rculist_nulls.rst).

/// The entry point of a program that is run by hand, whose return value its runner gets; that of
/// [`aya_ebpf::macros::raw_tracepoint`] returns 0 whatever the function does.
macro_rules! by_hand {
    ($(#[$doc:meta])* fn $name:ident($ctx:ident) -> u32 $body:block) => {
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "raw_tp/tcp_destroy_sock")]
        fn $name(context: *mut core::ffi::c_void) -> u32 {
            let $ctx = aya_ebpf::programs::RawTracePointContext::new(context);
            $body
        }
    };
}

mod dump;
mod facts;
mod look;
mod nets;
mod sum;

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_loop,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use halfopen_common::{Class, ClassSum, Quick, Walk, table};

use crate::{
    maps::kernel,
    read::{Reader, word},
};
use facts::Scratch;

/// Steps of one run: far above what an honest table needs, so that every run ends.
const MOST_STEPS: u32 = 1 << 17;
/// Buckets of one run: looking at an empty one takes some 20 ns.
const MOST_BUCKETS: u32 = 8_192;
/// Heads of buckets read at once.
const HEADS: usize = 32;
/// Room for some 1,300 sockets: a run's, with the last bucket's chain.
const WALKED_BYTES: u32 = 1 << 18;

#[map]
static WALK: Array<Walk> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static WALKED: RingBuf = RingBuf::with_byte_size(WALKED_BYTES, 0);
#[map]
static CLASSES: HashMap<Class, ClassSum> = HashMap::with_max_entries(16_384, 0);
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[map]
static CURSOR: PerCpuArray<Cursor> = PerCpuArray::with_max_entries(1, 0);

/// Filled by the agent like `KERNEL`.
#[unsafe(no_mangle)]
static QUICK: Quick = zerocopy::transmute!([0_u8; size_of::<Quick>()]);

/// One constant of [`QUICK`].
macro_rules! quick {
    ($($field:tt)+) => {{
        // SAFETY: QUICK is a live static; volatile because the agent rewrites it before load.
        unsafe { core::ptr::read_volatile(&raw const $crate::walk::QUICK.$($field)+) }
    }};
}
pub(crate) use quick;

/// Copies stretches of a socket, each to its place.
macro_rules! copy {
    ($reader:ident, $scratch:ident, $stretches:ident, $first:expr, [$($n:literal),*]) => {$(
        if quick!($stretches[$n].length) != 0 {
            let place = Quick::HEAD as usize + ($first + $n) * Quick::PLACE as usize;
            $reader.bytes(
                // SAFETY: within the copies, whose room is made for all places.
                unsafe { $scratch.copies.as_mut_ptr().add(place) },
                quick!($stretches[$n].offset),
                quick!($stretches[$n].length),
            );
        }
    )*};
}
pub(crate) use copy;

/// What one step needs of the ones before. Kept in a map, not on the stack: of a map's value the
/// verifier knows nothing, so that one look at a step does for all steps.
#[repr(C)]
struct Cursor {
    /// The network namespace last met, which most sockets share with their neighbours.
    net: u64,
    /// The cgroup last met, likewise.
    cgroup: u64,
    /// Its id.
    cgroup_id: u64,
    /// The socket's node in its chain; 0 before a bucket's first.
    node: u64,
    /// Sockets passed in this bucket.
    passed: u32,
    /// Buckets finished in this run.
    buckets: u32,
    /// `ns.inum` of `net`.
    inum: u32,
    /// Which stretch of heads was read.
    stretch: u32,
}

by_hand! {
    /// One run: reads a stretch of the table.
    fn walk(_ctx) -> u32 {
        let Some(progress) = WALK.get_ptr_mut(0) else {
            return 0;
        };
        // SAFETY: points into a live map value; the agent waits while the program runs.
        let progress = unsafe { &mut *progress };
        progress.found = 0;
        progress.done = 0;
        let Some(cursor) = CURSOR.get_ptr_mut(0) else {
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
        cursor.stretch = u32::MAX;
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

const GO_ON: i64 = 0;
const STOP: i64 = 1;

/// One step: to the next bucket, or past one socket.
extern "C" fn step(_index: u32, _nothing: *mut core::ffi::c_void) -> i64 {
    let Some(cursor) = CURSOR.get_ptr_mut(0) else {
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
            walk.torn += 1;
        }
        return leave(cursor, walk);
    }
    let sock = cursor.node - u64::from(kernel!(node));
    let next = if cursor.passed >= walk.skip {
        match facts::visit(sock, cursor, walk) {
            facts::Outcome::Read(next) => next,
            facts::Outcome::Unreadable => {
                walk.unreadable += 1;
                word(cursor.node).unwrap_or(0)
            }
            facts::Outcome::NoRoom => {
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
        return tear(cursor, walk);
    }
    GO_ON
}

/// Goes to the head of the next bucket's chain, if there is one and this run may.
#[inline(always)]
fn enter(cursor: &mut Cursor, walk: &mut Walk) -> i64 {
    if walk.bucket > walk.mask {
        walk.done = 1;
        return STOP;
    }
    if walk.found >= walk.limit || cursor.buckets >= MOST_BUCKETS {
        return STOP;
    }
    cursor.passed = 0;
    // A table is a power of two: a stretch of heads goes past the end of none but the smallest.
    if walk.table == table::ESTABLISHED && walk.mask >= HEADS as u32 {
        return enter_next_filled(cursor, walk);
    }
    let (size, head) = if walk.table == table::ESTABLISHED {
        (size_of::<u64>() as u32, 0)
    } else {
        (kernel!(listen_bucket_size), kernel!(listen_head))
    };
    let offset = u64::from(walk.bucket) * u64::from(size) + u64::from(head);
    match word(walk.base + offset) {
        Some(first) if first != 0 => cursor.node = first,
        _ => return tear(cursor, walk),
    }
    GO_ON
}

/// Passes over empty buckets, up to the end of the stretch of heads that were read together.
#[inline(always)]
fn enter_next_filled(cursor: &mut Cursor, walk: &mut Walk) -> i64 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return STOP;
    };
    // SAFETY: per-CPU value; the program is not preempted.
    let heads = unsafe { &mut (*scratch).heads };
    let stretch = walk.bucket / HEADS as u32;
    // Heads are kept within one run only: under rcu_read_lock() they cannot dangle.
    if cursor.stretch != stretch {
        let mut reader =
            Reader::of(walk.base + u64::from(stretch) * size_of::<[u64; HEADS]>() as u64);
        reader.field(&raw mut *heads, 0);
        if !reader.ok() {
            return tear(cursor, walk);
        }
        cursor.stretch = stretch;
    }
    let first = walk.bucket % HEADS as u32;
    for (number, head) in (0_u32..).zip(heads) {
        // An empty bucket's head is its end.
        if number >= first && *head & 1 == 0 {
            if *head == 0 {
                return tear(cursor, walk);
            }
            if number != first {
                walk.skip = 0;
            }
            cursor.buckets += number - first;
            cursor.node = *head;
            walk.bucket = stretch * HEADS as u32 + number;
            return GO_ON;
        }
    }
    cursor.buckets += HEADS as u32 - first;
    walk.skip = 0;
    walk.bucket = (stretch + 1) * HEADS as u32;
    GO_ON
}

/// Leaves the rest of a chain that changed under the reader.
#[inline(always)]
fn tear(cursor: &mut Cursor, walk: &mut Walk) -> i64 {
    walk.torn += 1;
    leave(cursor, walk)
}

#[inline(always)]
fn leave(cursor: &mut Cursor, walk: &mut Walk) -> i64 {
    walk.bucket += 1;
    walk.skip = 0;
    cursor.buckets += 1;
    cursor.node = 0;
    GO_ON
}

/// Hands a record to the agent, which reads after each run; `false` when there is no room.
#[inline(always)]
fn hand_out<T: 'static>(record: &T) -> bool {
    WALKED
        .output::<T>(record, u64::from(BPF_RB_NO_WAKEUP))
        .is_ok()
}
