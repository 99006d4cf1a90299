//! Hands whole maps out, entry by entry: while the kernel reads a map for a process it runs no
//! kprobe's program on that processor (`bpf_disable_instrumentation()`, include/linux/bpf.h), and an
//! event then would be missed. A program that the agent runs has no such effect.
//!
//! # Invariants
//! No entry is lost for want of room: a run stops, and the next one goes on from there.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::bpf_for_each_map_elem, macros::map, maps::PerCpuArray,
    programs::RawTracePointContext,
};
use halfopen_common::{
    Class, ClassSum, DUMP_STOPPED, Destination, Outstanding, PortsInUse, Record,
};

use super::{
    destination,
    output::{GO_ON, STOP, hand_out, has_room},
    program::test_run_program,
    sum, suspects,
};
use crate::maps;

/// More than any entry takes, with its headers.
const ENTRY_BYTES: u32 = 2_048;

/// How far a run has come. In a map like the walk's cursor, for the same reason.
#[repr(C)]
struct Position {
    /// Records without news since then are passed over.
    since_ns: u64,
    /// Entries that an earlier run handed out.
    skip: u32,
    /// Entries passed.
    passed: u32,
    /// Whether there was no room for the next: 0 or 1.
    stopped: u32,
    padding: u32,
}

#[map]
static POSITION: PerCpuArray<Position> = PerCpuArray::with_max_entries(1, 0);

test_run_program! {
    /// Every group: its key, then its counts.
    fn dump_groups(ctx) -> u32 {
        run(&ctx, maps::groups(), hand_out_group as *mut c_void)
    }
}

test_run_program! {
    /// Every network namespace: its key, then its counts.
    fn dump_counted_nets(ctx) -> u32 {
        run(&ctx, maps::nets(), hand_out_net as *mut c_void)
    }
}

test_run_program! {
    /// Every class of the walk: the class, then its sums. They are removed: the next walk starts at 0.
    fn take_classes(ctx) -> u32 {
        run(&ctx, sum::classes(), take_class as *mut c_void)
    }
}

test_run_program! {
    /// Every destination of the walk, and the ports it takes. They are removed, as classes are.
    fn take_destinations(ctx) -> u32 {
        run(&ctx, destination::destinations(), take_destination as *mut c_void)
    }
}

test_run_program! {
    /// Reads every socket whose record has news: [`suspects::at`].
    fn suspects(ctx) -> u32 {
        run(&ctx, maps::sockets(), read_suspect as *mut c_void)
    }
}

/// The entries passed, with [`DUMP_STOPPED`] when some are left. The arguments are how many to skip,
/// and since when a record must have news.
#[inline(always)]
fn run(ctx: &RawTracePointContext, map: *const c_void, each: *mut c_void) -> u32 {
    let begin = Position {
        since_ns: ctx.arg(1),
        skip: ctx.arg(0),
        passed: 0,
        stopped: 0,
        padding: 0,
    };
    if POSITION.set(0, &begin, 0).is_err() {
        return DUMP_STOPPED;
    }
    // SAFETY: `map` is a map of this object, and `each` has the signature for its entries.
    unsafe { bpf_for_each_map_elem(map.cast_mut(), each, core::ptr::null_mut(), 0) };
    // Looked up again: the callbacks have written it.
    let Some(position) = POSITION.get(0) else {
        return DUMP_STOPPED;
    };
    let stopped = if position.stopped == 0 {
        0
    } else {
        DUMP_STOPPED
    };
    position.passed | stopped
}

/// Passes one entry, handing it out unless an earlier run did.
#[inline(always)]
fn pass(each: impl FnOnce(&Position)) -> i64 {
    let Some(position) = POSITION.get_ptr_mut(0) else {
        return STOP;
    };
    // SAFETY: per-CPU value; the program is not preempted.
    let position = unsafe { &mut *position };
    if position.passed >= position.skip {
        if !has_room(ENTRY_BYTES) {
            position.stopped = 1;
            return STOP;
        }
        each(position);
    }
    position.passed += 1;
    GO_ON
}

/// Called for each entry, live for as long as the call lasts.
macro_rules! hand_out_pairs {
    ($name:ident, $key:ty, $value:ty) => {
        extern "C" fn $name(
            _map: *mut c_void,
            key: &$key,
            value: &$value,
            _nothing: *mut c_void,
        ) -> i64 {
            pass(|_| {
                hand_out(key);
                hand_out(value);
            })
        }
    };
}
hand_out_pairs!(
    hand_out_group,
    halfopen_common::GroupKey,
    halfopen_common::GroupCounts
);
hand_out_pairs!(
    hand_out_net,
    halfopen_common::NetKey,
    halfopen_common::NetCounts
);

extern "C" fn take_class(
    _map: *mut c_void,
    class: &Class,
    sum: &ClassSum,
    _nothing: *mut c_void,
) -> i64 {
    pass(|_| {
        hand_out(class);
        hand_out(sum);
        // It stays readable until the program ends.
        sum::remove(class);
    })
}

extern "C" fn take_destination(
    _map: *mut c_void,
    destination: &Destination,
    ports: &PortsInUse,
    _nothing: *mut c_void,
) -> i64 {
    pass(|_| {
        hand_out(destination);
        hand_out(ports);
        // It stays readable until the program ends.
        destination::remove(destination);
    })
}

extern "C" fn read_suspect(
    _map: *mut c_void,
    sock: &u64,
    record: *mut Record,
    _nothing: *mut c_void,
) -> i64 {
    pass(|position| {
        // SAFETY: the kernel hands over a live entry of that map.
        let known = unsafe { &*record };
        if known.outstanding != Outstanding::NONE || known.last_ns >= position.since_ns {
            suspects::at(*sock, Some(record));
        }
    })
}
