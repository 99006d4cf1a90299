//! The maps of the hooks: one static each, and the accessors.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd},
};

use aya_ebpf::{
    bindings::{
        BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_NOEXIST, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP,
        BPF_RB_NO_WAKEUP,
    },
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use halfopen_common::{
    Ending, EventRecord, GroupCounts, GroupKey, IDLE_BOUNDS_S, IgnoredDeaths, ListenerKey,
    Listeners, Loss, NetCounts, NetKey, Record, RequestTimer, SILENCE_BOUNDS_S, SilenceTable,
    Start, Tally, TimerContext, switch,
};
use zerocopy::FromZeros as _;

/// Room for some 4,600 events.
const EVENTS_BYTES: u32 = 1 << 20;

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
static TIMER_CONTEXTS: PerCpuArray<TimerContext> = PerCpuArray::with_max_entries(1, 0);
#[map]
static REQUEST_TIMERS: PerCpuArray<RequestTimer> = PerCpuArray::with_max_entries(1, 0);
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);
#[map]
pub static START_TIMES: HashMap<u64, Start> = HashMap::with_max_entries(65_536, 0);
/// Whose each listening port is.
#[map]
static LISTENERS: HashMap<ListenerKey, Listeners> = HashMap::with_max_entries(8_192, 0);
/// Deaths that agents were asked to ignore: of the agent alone, beside the counts that it shows less of them.
#[map]
static IGNORED: HashMap<GroupKey, IgnoredDeaths> =
    HashMap::with_max_entries(4_096, BPF_F_NO_PREALLOC);
#[map]
static SILENCES: Array<SilenceTable> = Array::with_max_entries(1, BPF_F_MMAPABLE);

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

/// The running processor's timer context.
#[inline(always)]
pub fn timer_context() -> Option<*mut TimerContext> {
    TIMER_CONTEXTS.get_ptr_mut(0)
}

/// The request whose timer runs on this processor.
#[inline(always)]
pub fn request_timer() -> Option<*mut RequestTimer> {
    REQUEST_TIMERS.get_ptr_mut(0)
}

/// What is known of a connection's start and close; `None` if no hook saw the start.
#[inline(always)]
pub fn start(sock: u64) -> Option<Start> {
    // SAFETY: only read, and copied at once.
    if let Some(start) = unsafe { START_TIMES.get(sock) } {
        return Some(*start);
    }
    let context = timer_context()?;
    // SAFETY: per-CPU value, only read.
    let context = unsafe { &*context };
    (context.destroyed == sock).then_some(context.start)
}

/// Notes that we close a connection, which has been idle for so long.
#[inline(always)]
pub fn closing(sock: u64, idle_jiffies: impl Fn() -> Option<u32>) {
    if let Some(start) = START_TIMES.get_ptr_mut(sock)
        && let Some(idle) = idle_jiffies()
    {
        // SAFETY: points into a live map value; the socket is locked.
        let start = unsafe { &mut *start };
        start.idle_jiffies = idle;
        start.flags |= Start::CLOSING;
    }
}

/// Notes that a connection's change to CLOSE was seen.
#[inline(always)]
pub fn close(sock: u64) {
    if let Some(start) = START_TIMES.get_ptr_mut(sock) {
        // SAFETY: points into a live map value; the socket is locked.
        unsafe { (*start).flags |= Start::CLOSED };
    }
}

/// Whether a connection's change to CLOSE was seen; `None` where its start was not.
#[inline(always)]
pub fn was_closed(sock: u64) -> Option<bool> {
    // SAFETY: only read, and copied at once.
    let start = unsafe { START_TIMES.get(sock) }?;
    Some(start.flags & Start::CLOSED != 0)
}

/// Forgets a connection's start, but for what still follows in the same run on this processor.
#[inline(always)]
pub fn forget_start(sock: u64) {
    // SAFETY: only read, and copied at once.
    if let Some(start) = unsafe { START_TIMES.get(sock) } {
        if let Some(context) = timer_context() {
            // SAFETY: per-CPU value; the borrow ends with the program.
            let context = unsafe { &mut *context };
            context.start = *start;
            context.destroyed = sock;
        }
        let _ = START_TIMES.remove(sock);
    }
}

/// Notes that one more socket, of this cgroup, listens there.
#[inline(always)]
pub fn listen(key: &ListenerKey, cgroup: u64) {
    if let Some(known) = LISTENERS.get_ptr_mut(key) {
        // SAFETY: points into a live map value; no reference is made.
        unsafe { (*known).cgroup = cgroup };
        // SAFETY: as above.
        add(unsafe { &raw mut (*known).sockets }, 1);
        return;
    }
    let first = Listeners { cgroup, sockets: 1 };
    if LISTENERS.insert(key, first, 0).is_err() {
        lose(Loss::ListenersFull);
    }
}

/// The cgroup of the socket that listens there.
#[inline(always)]
pub fn listener(key: &ListenerKey) -> Option<u64> {
    // SAFETY: only read, and copied at once.
    unsafe { LISTENERS.get(key) }.map(|known| known.cgroup)
}

/// Notes that one socket less listens there.
#[inline(always)]
pub fn listen_no_more(key: &ListenerKey) {
    if let Some(known) = LISTENERS.get_ptr_mut(key) {
        // SAFETY: points into a live map value; only read.
        if unsafe { (*known).sockets } > 1 {
            // SAFETY: as above; no reference is made.
            add(unsafe { &raw mut (*known).sockets }, u64::MAX);
        } else {
            let _ = LISTENERS.remove(key);
        }
    }
}

/// Counts the silence before a death.
#[inline(always)]
pub fn silence(ending: u8, silence_ns: u64) {
    let Some(table) = SILENCES.get_ptr_mut(0) else {
        return;
    };
    let path = usize::from(ending) & (Ending::COUNT - 1);
    // SAFETY: points into a live map value; no reference is made.
    let silences = unsafe { &raw mut (*table).0[path] };
    let bucket = bucket(&SILENCE_BOUNDS_S, silence_ns);
    if bucket <= SILENCE_BOUNDS_S.len() {
        // SAFETY: points into a live map value; no reference is made.
        add(unsafe { &raw mut (*silences).deaths[bucket] }, 1);
        // SAFETY: as above.
        add(unsafe { &raw mut (*silences).sum_ns }, silence_ns);
    }
}

/// Counts for how long a connection had been idle when we closed it.
#[inline(always)]
pub fn idle_before_close(group: &GroupKey, idle_ns: u64) {
    let Some(counts) = self::group(group) else {
        return;
    };
    let bucket = bucket(&IDLE_BOUNDS_S, idle_ns);
    if bucket <= IDLE_BOUNDS_S.len() {
        // SAFETY: points into a live map value; no reference is made.
        add(unsafe { &raw mut (*counts).idle_before_close[bucket] }, 1);
        // SAFETY: as above.
        add(unsafe { &raw mut (*counts).idle_before_close_ns }, idle_ns);
    }
}

/// The first of these bounds, seconds, that is not exceeded; their number if all are.
#[inline(always)]
fn bucket<const N: usize>(bounds: &[u32; N], ns: u64) -> usize {
    const SECOND: u64 = 1_000_000_000;
    let mut bucket = 0;
    for bound in bounds {
        bucket += usize::from(ns > u64::from(*bound) * SECOND);
    }
    bucket
}

/// Counts of a group, made if new; those of the overflow group when there is no room.
#[inline(never)]
pub fn group(key: &GroupKey) -> Option<*mut GroupCounts> {
    own_group(key).or_else(|| {
        lose(Loss::GroupsFull);
        GROUPS.get_ptr_mut(GroupKey::OVERFLOW)
    })
}

/// 1 if there is no room for a group, which is made if new; else 0. A number, since what the verifier meets
/// behind a branch it walks through twice.
#[inline(never)]
pub fn overflows(key: &GroupKey) -> u8 {
    u8::from(own_group(key).is_none())
}

/// Counts of a group, made if new; `None` when there is no room.
#[inline(never)]
pub fn own_group(key: &GroupKey) -> Option<*mut GroupCounts> {
    if let Some(counts) = GROUPS.get_ptr_mut(key) {
        return Some(counts);
    }
    // Another processor may have made it in between: only the second look-up decides.
    let _ = GROUPS.insert(key, &NO_COUNTS, u64::from(BPF_NOEXIST));
    GROUPS.get_ptr_mut(key)
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

/// The groups, as such helpers want them.
#[inline(always)]
pub fn groups() -> *const c_void {
    (&raw const GROUPS).cast()
}

/// The namespaces, as such helpers want them.
#[inline(always)]
pub fn nets() -> *const c_void {
    (&raw const NETS).cast()
}

/// Forgets a record.
#[inline(always)]
pub fn forget(sock: u64) {
    let _ = SOCKETS.remove(sock);
}

/// Waking the reader for each event would cost more than the event in a storm of resets: it reads by
/// itself several times a second, and is woken when the buffer is half full.
#[inline(always)]
fn wakeup() -> u64 {
    if EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) > u64::from(EVENTS_BYTES / 2) {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Room for one event, if there is any.
#[inline(always)]
pub fn reserve_event() -> Option<RingBufEntry<EventRecord>> {
    EVENTS.reserve::<EventRecord>(0)
}

/// Hands an event out.
#[inline(always)]
pub fn submit_event(event: RingBufEntry<EventRecord>) {
    event.submit(wakeup());
}
