//! The maps and the constants handed over at load: one static and one accessor each.
//! It must never know what is counted, only where.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd},
};

use aya_ebpf::{
    bindings::{
        BPF_F_MMAPABLE, BPF_NOEXIST, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP,
    },
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use halfopen_common::{
    Ending, GROUP_OVERFLOW_DIRECTION, GroupCounts, GroupKey, Kernel, Loss, NetCounts, NetKey,
    Notice, Record, SILENCE_BOUNDS_S, SilenceTable, Tally, switch,
};
use zerocopy::FromZeros as _;

use crate::{bracket::Bracket, request::Pending};

/// Room for some 5,000 notices.
const EVENTS_BYTES: u32 = 1 << 20;

/// Filled by the agent from the running kernel's BTF before the programs are loaded.
#[unsafe(no_mangle)]
static KERNEL: Kernel = zerocopy::transmute!([0_u8; size_of::<Kernel>()]);

/// Which programs these are among those that share pinned maps: overridden at load, 0 where no map is
/// pinned.
#[unsafe(no_mangle)]
static GENERATION: u32 = 0;

/// What a new group and a new record start from: too large for the stack, so never passed by value.
static NO_COUNTS: GroupCounts = zerocopy::transmute!([0_u8; size_of::<GroupCounts>()]);
static NO_RECORD: Record = zerocopy::transmute!([0_u8; size_of::<Record>()]);

#[map]
static SOCKETS: HashMap<u64, Record> = HashMap::with_max_entries(65_536, 0);
#[map]
static GROUPS: HashMap<GroupKey, GroupCounts> = HashMap::with_max_entries(4_096, 0);
/// Made in advance like the others: an allocator that is called upon inside a timer may have nothing
/// at hand just when many namespaces appear at once.
#[map]
static NETS: HashMap<NetKey, NetCounts> = HashMap::with_max_entries(8_192, 0);
#[map]
static LOSSES: Array<u64> = Array::with_max_entries(Loss::COUNT, BPF_F_MMAPABLE);
#[map]
static SWITCHES: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static BRACKETS: PerCpuArray<Bracket> = PerCpuArray::with_max_entries(1, 0);
#[map]
static PENDING: PerCpuArray<Pending> = PerCpuArray::with_max_entries(1, 0);
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);
/// When connections began, by the address of their `struct sock`; the lowest bit is [`CLOSED`].
#[map]
static BIRTHS: HashMap<u64, u64> = HashMap::with_max_entries(65_536, 0);
#[map]
static SILENCES: Array<SilenceTable> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// One constant of the running kernel.
macro_rules! kernel {
    ($field:ident) => {{
        // SAFETY: KERNEL is a live static; volatile because the agent rewrites it before load.
        unsafe { core::ptr::read_volatile($crate::maps::kernel_field(|k| &raw const (*k).$field)) }
    }};
}
pub(crate) use kernel;

/// Address of one field of [`KERNEL`], for `kernel!`.
#[inline(always)]
pub fn kernel_field<T>(field: impl FnOnce(*const Kernel) -> *const T) -> *const T {
    field(&raw const KERNEL)
}

/// Monotonic nanoseconds.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper takes no pointer.
    unsafe { bpf_ktime_get_ns() }
}

/// Adds to a counter that several processors may bump at once.
#[inline(always)]
pub fn add(counter: *mut u64, n: u64) {
    // SAFETY: every caller passes a pointer into a live map value.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, n);
    }
}

/// Notes a loss.
#[inline(always)]
pub fn lose(loss: Loss) {
    if let Some(counter) = LOSSES.get_ptr_mut(loss as u32) {
        add(counter, 1);
    }
}

/// What the agent has set; read whole, as it is written.
#[inline(always)]
fn switches() -> u64 {
    SWITCHES.get(0).map_or(0, |switches| {
        // SAFETY: points into a live map value.
        unsafe { core::ptr::read_volatile(switches) }
    })
}

/// Whether the agent has set this bit of [`halfopen_common::switch`].
#[inline(always)]
pub fn switched(bits: u32) -> bool {
    switches() as u32 & bits != 0
}

/// Whether these programs are the ones that count: while another agent takes over pinned maps, the
/// programs of both are attached. To the verifier the generation is a constant: where it is 0, nothing
/// is left of this.
#[inline(always)]
pub fn is_active() -> bool {
    // SAFETY: a live static; volatile because the agent rewrites it before load.
    let generation = unsafe { core::ptr::read_volatile(&raw const GENERATION) };
    generation == 0 || (switches() >> switch::GENERATION_SHIFT) as u32 == generation
}

/// The running processor's bracket.
#[inline(always)]
pub fn bracket() -> Option<*mut Bracket> {
    BRACKETS.get_ptr_mut(0)
}

/// The request whose timer runs on this processor.
#[inline(always)]
pub fn pending() -> Option<*mut Pending> {
    PENDING.get_ptr_mut(0)
}

/// Set in a connection's beginning, at the cost of a nanosecond, when its change to CLOSE was seen.
const CLOSED: u64 = 1;

/// Notes that a connection begins.
#[inline(always)]
pub fn begin(sock: u64) {
    if BIRTHS.insert(sock, now_ns() & !CLOSED, 0).is_err() {
        lose(Loss::BirthsFull);
    }
}

/// When a connection began; 0 if no hook saw it.
#[inline(always)]
pub fn born(sock: u64) -> u64 {
    // SAFETY: only read, and copied at once.
    unsafe { BIRTHS.get(sock) }.copied().unwrap_or(0)
}

/// Notes that a connection's change to CLOSE was seen.
#[inline(always)]
pub fn close(sock: u64) {
    if let Some(born) = BIRTHS.get_ptr_mut(sock) {
        // SAFETY: points into a live map value; no other program changes it once it is made.
        unsafe { *born |= CLOSED };
    }
}

/// Whether a connection's change to CLOSE was seen; `None` where its beginning was not.
#[inline(always)]
pub fn was_closed(sock: u64) -> Option<bool> {
    let born = born(sock);
    (born != 0).then_some(born & CLOSED != 0)
}

/// Forgets when a connection began.
#[inline(always)]
pub fn forget_birth(sock: u64) {
    let _ = BIRTHS.remove(sock);
}

/// Counts the silence before a death.
#[inline(always)]
pub fn silence(ending: u8, silence_ns: u64) {
    const NS: u64 = 1_000_000_000;
    let Some(table) = SILENCES.get_ptr_mut(0) else {
        return;
    };
    let path = usize::from(ending) & (Ending::COUNT - 1);
    // SAFETY: points into a live map value; no reference is made.
    let silences = unsafe { &raw mut (*table).0[path] };
    let exceeded = |bound: u32| usize::from(silence_ns > u64::from(bound) * NS);
    let bucket: usize = SILENCE_BOUNDS_S.into_iter().map(exceeded).sum();
    if bucket <= SILENCE_BOUNDS_S.len() {
        // SAFETY: points into a live map value; no reference is made.
        add(unsafe { &raw mut (*silences).deaths[bucket] }, 1);
        // SAFETY: as above.
        add(unsafe { &raw mut (*silences).sum_ns }, silence_ns);
    }
}

/// Counts of a group, made if new; those of the overflow group when there is no room.
#[inline(never)]
pub fn group(key: &GroupKey) -> Option<*mut GroupCounts> {
    if let Some(counts) = GROUPS.get_ptr_mut(key) {
        return Some(counts);
    }
    // Another processor may have made it in between: only the second look-up decides.
    let _ = GROUPS.insert(key, &NO_COUNTS, u64::from(BPF_NOEXIST));
    GROUPS.get_ptr_mut(key).or_else(|| {
        lose(Loss::GroupsFull);
        let mut overflow = GroupKey::new_zeroed();
        overflow.direction = GROUP_OVERFLOW_DIRECTION;
        GROUPS.get_ptr_mut(overflow)
    })
}

/// Bumps the tally of a network namespace; that of the all-zero key when there is no room.
#[inline(never)]
pub fn tally(net: &NetKey, which: Tally, n: u64) {
    let counts = NETS.get_ptr_mut(net).or_else(|| {
        let _ = NETS.insert(net, NetCounts::default(), u64::from(BPF_NOEXIST));
        NETS.get_ptr_mut(net)
    });
    let counts = counts.or_else(|| {
        lose(Loss::NetsFull);
        NETS.get_ptr_mut(NetKey::new_zeroed())
    });
    if let Some(counts) = counts {
        // SAFETY: `counts` points into a live map value; no reference is made.
        add(unsafe { &raw mut (*counts).counted[which as usize] }, n);
    }
}

/// A socket's record, if it has one.
#[inline(always)]
pub fn record(sock: u64) -> Option<*mut Record> {
    SOCKETS.get_ptr_mut(sock)
}

/// A new, empty record; `None` when there is no room.
#[inline(always)]
pub fn new_record(sock: u64) -> Option<*mut Record> {
    if SOCKETS.insert(sock, &NO_RECORD, 0).is_err() {
        lose(Loss::RecordsFull);
        return None;
    }
    SOCKETS.get_ptr_mut(sock)
}

/// The records, as helpers that go through a whole map want them.
#[inline(always)]
pub fn sockets() -> *const c_void {
    (&raw const SOCKETS).cast()
}

/// The groups, likewise.
#[inline(always)]
pub fn groups() -> *const c_void {
    (&raw const GROUPS).cast()
}

/// The namespaces, likewise.
#[inline(always)]
pub fn nets() -> *const c_void {
    (&raw const NETS).cast()
}

/// Forgets a record.
#[inline(always)]
pub fn forget(sock: u64) {
    let _ = SOCKETS.remove(sock);
}

/// Waking the reader for each notice would cost more than the notice in a storm of resets: it looks
/// by itself several times a second, and is woken when the buffer is half full.
#[inline(always)]
fn wakeup() -> u64 {
    if EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) > u64::from(EVENTS_BYTES / 2) {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Room for one notice, if there is any.
#[inline(always)]
pub fn reserve_notice() -> Option<RingBufEntry<Notice>> {
    EVENTS.reserve::<Notice>(0)
}

/// Hands a notice out.
#[inline(always)]
pub fn submit_notice(notice: RingBufEntry<Notice>) {
    notice.submit(wakeup());
}
